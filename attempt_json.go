package nightshift

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// AppendAttempts appends a log as a JSON array to dst, byte for byte as
// encoding/json writes it with <, > and & as they are. Every row has a log, so
// it is written by hand. Times must have years from 0 to 9999 and numbers be
// finite.
func AppendAttempts(dst []byte, log []Attempt) []byte {
	dst = append(dst, '[')
	for i := range log {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = log[i].appendJSON(dst)
	}
	return append(dst, ']')
}

func (a *Attempt) appendJSON(dst []byte) []byte {
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
	o = o.text("class", string(a.Class)).text("message", a.Message).text("request_id", a.RequestID).text("served_model", a.ServedModel)
	if a.Usage != (Usage{}) {
		o = a.Usage.appendJSON(o.key("usage"))
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
	return append(o.text("partial", a.Kept), '}')
}

func (u *Usage) appendJSON(o object) object {
	o = append(o, '{').
		count("input", u.Input).count("cache_read", u.CacheRead).count("cache_write_5m", u.CacheWrite5m).count("cache_write_1h", u.CacheWrite1h).
		count("output", u.Output).count("reasoning", u.Reasoning).
		count("audio_input", u.AudioInput).count("image_input", u.ImageInput).count("audio_output", u.AudioOutput).count("image_output", u.ImageOutput).
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
	return AppendString(o.key(name), s)
}

func (o object) count(name string, c Count) object {
	if !c.known {
		return o
	}
	return o.integer(name, c.n)
}

func (o object) money(name string, n *NanoUSD) object {
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

// ParseAttempts reads a log. One that [AppendAttempts] wrote is read by hand, in
// a fifth of the time that encoding/json takes; its texts are then pieces of log.
// Any other JSON array of attempts is read too.
func ParseAttempts(log string) ([]Attempt, error) {
	w := written{rest: log}
	if list := w.attempts(); !w.other {
		return list, nil
	}
	var list []Attempt
	err := json.Unmarshal([]byte(log), &list)
	return list, err
}

// written takes apart what AppendAttempts writes. other is set once the text
// has another form; what was read is then worth nothing.
type written struct {
	rest  string
	first bool // no member of the object in hand has been read
	other bool
}

func (w *written) attempts() []Attempt {
	if w.rest == "[]" {
		return []Attempt{}
	}
	w.must("[")
	list := []Attempt{w.attempt()}
	for !w.other && w.rest != "]" {
		w.must(",")
		list = append(list, w.attempt())
	}
	return list
}

func (w *written) attempt() (a Attempt) {
	w.open()
	w.integer("n", func(n int64) { a.N = int(n) })
	w.moment("started_at", &a.StartedAt)
	w.number("duration_ms", &a.DurationMS)
	w.number("queued_ms", &a.QueuedMS)
	w.number("backoff_ms", &a.BackoffMS)
	w.text("route", &a.Route)
	w.integer("status", func(n int64) { a.Status = int(n) })
	w.text("class", (*string)(&a.Class))
	w.text("message", &a.Message)
	w.text("request_id", &a.RequestID)
	w.text("served_model", &a.ServedModel)
	if w.key("usage") {
		a.Usage = w.usage()
		w.first = false
	}
	w.money("cost_nano_usd", &a.Cost)
	w.text("price_id", &a.PriceID)
	if w.key("maybe_billed") {
		w.must("true")
		a.MaybeBilled = true
	}
	w.integer("worst_tokens", func(n int64) { a.WorstTokens = n })
	w.integer("worst_cost_nano_usd", func(n int64) { a.WorstCost = NanoUSD(n) })
	w.text("partial", &a.Kept)
	w.must("}")
	return a
}

func (w *written) usage() (u Usage) {
	w.open()
	w.count("input", &u.Input)
	w.count("cache_read", &u.CacheRead)
	w.count("cache_write_5m", &u.CacheWrite5m)
	w.count("cache_write_1h", &u.CacheWrite1h)
	w.count("output", &u.Output)
	w.count("reasoning", &u.Reasoning)
	w.count("audio_input", &u.AudioInput)
	w.count("image_input", &u.ImageInput)
	w.count("audio_output", &u.AudioOutput)
	w.count("image_output", &u.ImageOutput)
	w.count("searches", &u.Searches)
	w.text("service_tier", &u.ServiceTier)
	w.text("region", &u.Region)
	w.money("reported_cost", &u.Reported)
	w.must("}")
	return u
}

// must takes a text that has to come next.
func (w *written) must(text string) {
	rest, there := strings.CutPrefix(w.rest, text)
	w.rest, w.other = rest, w.other || !there
}

func (w *written) open() {
	w.must("{")
	w.first = true
}

// key takes a member's name when that comes next.
func (w *written) key(name string) bool {
	rest := w.rest
	if !w.first {
		if rest == "" || rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
	if len(rest) < len(name)+3 || rest[0] != '"' || rest[1:1+len(name)] != name || rest[1+len(name):3+len(name)] != `":` {
		return false
	}
	w.rest, w.first = rest[len(name)+3:], false
	return true
}

// digits takes a number without an exponent, as AppendAttempts writes it.
func (w *written) digits() string {
	end := 0
	for end < len(w.rest) && w.rest[end] != ',' && w.rest[end] != '}' {
		end++
	}
	word := w.rest[:end]
	w.rest = w.rest[end:]
	whole, part, dot := strings.Cut(strings.TrimPrefix(word, "-"), ".")
	if !allDigits(whole) || len(whole) > 1 && whole[0] == '0' || dot && !allDigits(part) {
		w.other = true
	}
	return word
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

func (w *written) integer(name string, set func(int64)) {
	if !w.key(name) {
		return
	}
	n, err := strconv.ParseInt(w.digits(), 10, 64)
	w.other = w.other || err != nil
	set(n)
}

func (w *written) count(name string, c *Count) {
	w.integer(name, func(n int64) { *c = Tokens(n) })
}

func (w *written) money(name string, m **NanoUSD) {
	w.integer(name, func(n int64) { *m = (*NanoUSD)(&n) })
}

func (w *written) number(name string, x *float64) {
	if !w.key(name) {
		return
	}
	var err error
	*x, err = strconv.ParseFloat(w.digits(), 64)
	w.other = w.other || err != nil
}

func (w *written) text(name string, s *string) {
	if w.key(name) {
		*s = w.quoted()
	}
}

// quoted takes a string of ASCII without escapes.
func (w *written) quoted() string {
	w.must(`"`)
	end := 0
	for end < len(w.rest) && plain[w.rest[end]] {
		end++
	}
	s := w.rest[:end]
	w.rest = w.rest[end:]
	w.must(`"`)
	return s
}

func (w *written) moment(name string, t *time.Time) {
	if !w.key(name) {
		return
	}
	err := t.UnmarshalText([]byte(w.quoted()))
	w.other = w.other || err != nil
}
