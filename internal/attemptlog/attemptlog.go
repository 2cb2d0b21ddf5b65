// Package attemptlog writes and reads the attempt log of a record, which is a
// JSON array of attempts in one text column.
package attemptlog

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
)

// Append appends a log as a JSON array to dst, byte for byte as
// encoding/json writes it with <, > and & as they are. Every row has a log, so
// it is written by hand. Times must have years from 0 to 9999 and numbers be
// finite.
func Append(dst []byte, log []nightshift.Attempt) []byte {
	dst = append(dst, '[')
	for i := range log {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAttempt(dst, &log[i])
	}
	return append(dst, ']')
}

func appendAttempt(dst []byte, a *nightshift.Attempt) []byte {
	o := object(append(dst, '{'))
	o = o.integer("n", int64(a.N)).time("started_at", a.StartedAt).number("duration_ms", a.DurationMS)
	if a.QueuedMS != 0 {
		o = o.number("queued_ms", a.QueuedMS)
	}
	if a.BackoffMS != 0 {
		o = o.number("backoff_ms", a.BackoffMS)
	}
	o = o.text("route", a.Route)
	if a.Status != 0 {
		o = o.integer("status", int64(a.Status))
	}
	o = o.text("class", string(a.Class)).text("message", a.Message)
	o = o.text("request_id", a.RequestID).text("served_model", a.ServedModel)
	if a.Usage != (nightshift.Usage{}) {
		o = o.key("usage").usage(&a.Usage)
	}
	o = o.money("cost_nano_usd", a.Cost).text("price_id", a.PriceID)
	if a.MaybeBilled {
		o = append(o.key("maybe_billed"), "true"...)
	}
	if a.WorstTokens != 0 {
		o = o.integer("worst_tokens", a.WorstTokens)
	}
	if a.WorstCost != 0 {
		o = o.integer("worst_cost_nano_usd", int64(a.WorstCost))
	}
	o = o.text("partial", a.Kept).text("job", a.Job).text("batch", a.Batch).text("worker", a.Worker)
	if a.Cache != nil {
		o = o.key("cache").caching(a.Cache)
	}
	return append(o, '}')
}

func (o object) caching(c *nightshift.Caching) object {
	o = append(append(append(o, '{'), `"prefix":`...), rawjson.AppendString(nil, c.Prefix)...)
	o = o.integer("tokens", c.Tokens)
	if c.Expected != 0 {
		o = o.integer("expected_read", c.Expected)
	}
	return append(o.text("marker", c.Marker).text("key", c.Key), '}')
}

func (o object) usage(u *nightshift.Usage) object {
	o = append(o, '{').
		count("input", u.Input).count("cache_read", u.CacheRead).
		count("cache_write_5m", u.CacheWrite5m).count("cache_write_1h", u.CacheWrite1h).
		count("output", u.Output).count("reasoning", u.Reasoning).
		count("audio_input", u.AudioInput).count("image_input", u.ImageInput).
		count("audio_output", u.AudioOutput).count("image_output", u.ImageOutput).
		count("searches", u.Searches).
		text("service_tier", u.ServiceTier).text("region", u.Region).money("reported_cost", u.Reported)
	return append(o, '}')
}

// An object is JSON text that ends within an object.
type object []byte

func (o object) key(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	o = append(append(o, '"'), name...)
	return append(o, '"', ':')
}

func (o object) integer(name string, n int64) object { return strconv.AppendInt(o.key(name), n, 10) }

// text leaves the member out when it is empty.
func (o object) text(name, s string) object {
	if s == "" {
		return o
	}
	return rawjson.AppendString(o.key(name), s)
}

func (o object) count(name string, c nightshift.Count) object {
	if !c.Known() {
		return o
	}
	return o.integer(name, c.N())
}

func (o object) money(name string, n *nightshift.NanoUSD) object {
	if n == nil {
		return o
	}
	return o.integer(name, int64(*n))
}

func (o object) time(name string, t time.Time) object {
	o = t.AppendFormat(append(o.key(name), '"'), time.RFC3339Nano)
	return append(o, '"')
}

func (o object) number(name string, x float64) object {
	o = o.key(name)
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		b, _ := json.Marshal(x) // in its own way with exponents
		return append(o, b...)
	}
	return strconv.AppendFloat(o, x, 'f', -1, 64)
}

// Parse reads a log that [Append] wrote, and any other JSON array of attempts.
func Parse(log string) ([]nightshift.Attempt, error) {
	var list []nightshift.Attempt
	err := rawjson.Unmarshal([]byte(log), &list)
	return list, err
}

// Jobs lists the Job of each attempt that has one, in a log that [Append] wrote. It
// costs a tenth of [Parse]. ok is false where only Parse can tell.
func Jobs(log string) (jobs []string, ok bool) {
	const member = `,"job":"` // within a text its quotes would be escaped
	for {
		_, rest, found := strings.Cut(log, member)
		if !found {
			return jobs, true
		}
		job, rest, whole := strings.Cut(rest, `"`)
		if !whole || strings.Contains(job, `\`) {
			return nil, false
		}
		jobs, log = append(jobs, job), rest
	}
}
