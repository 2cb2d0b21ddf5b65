package providers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"nightshift/internal/pattern"
	"nightshift/providers/limits"
)

// BodyRetryAfter reads a wait out of an error's body, for the servers that
// say it there and not in a header: Gemini's retryDelay, OpenRouter's copied
// headers, and the sentences of OpenAI, Groq and Gemini ("Please try again in
// 6m0s"). now is when the answer came. ok is false when the body says nothing.
//
// Google's delay is of no use beside a limit of the day, see [DayEnds], or one
// that allows nothing at all.
func BodyRetryAfter(body []byte, now time.Time) (d time.Duration, ok bool) {
	f, ok := bodyFault(body)
	if !ok || f.lastsADay() || f.allowsNothing(strings.ToLower(f.message)) {
		return 0, false
	}
	object, _ := asObject(bytes.TrimSpace(body)) // bodyFault has read it
	e := subObject(object, "error")
	for _, o := range []jsonObject{e, quotedError(f.message)} {
		if d, ok := retryDelay(o); ok {
			return d, true
		}
	}
	for _, o := range []jsonObject{e, object, subObject(e, "metadata")} {
		if d, ok := waitField(o); ok {
			return d, true
		}
	}
	if d, ok := copiedHeaders(subObject(e, "metadata"), now); ok {
		return d, true
	}
	if d, ok := sentenceWait(f.message); ok {
		return d, true
	}
	return copiedHeaders(e, now) // in events of Responses
}

// retryDelay is google.rpc.RetryInfo: {"retryDelay":"54s"}.
func retryDelay(e jsonObject) (time.Duration, bool) {
	for _, detail := range asList(e["details"]) {
		if text := jsonString(asMap(detail)["retryDelay"]); text != "" {
			d, err := time.ParseDuration(text)
			return clampWait(d), err == nil
		}
	}
	return 0, false
}

// waitFields are the names under which gateways give a wait as a number.
var waitFields = []struct {
	name string
	unit time.Duration
}{
	{"retry_after", time.Second}, {"retryAfter", time.Second}, {"retry_after_seconds", time.Second}, {"retryAfterSeconds",
		time.Second},
	{"retry_after_ms", time.Millisecond}, {"retryAfterMs", time.Millisecond},
}

func waitField(o jsonObject) (time.Duration, bool) {
	for _, f := range waitFields {
		if d, ok := waitOf(jsonScalar(o[f.name]), f.unit); ok {
			return d, true
		}
	}
	return 0, false
}

// copiedHeaders reads {"headers":{"X-RateLimit-Reset":"…"}}.
func copiedHeaders(metadata jsonObject, now time.Time) (time.Duration, bool) {
	var list map[string]json.RawMessage
	if json.Unmarshal(metadata["headers"], &list) != nil {
		return 0, false
	}
	h := http.Header{}
	for name, value := range list {
		h.Set(name, jsonScalar(value))
	}
	r := ParseLimits(h, now)
	if r.HasRetryAfter {
		return r.RetryAfter, true
	}
	for _, w := range []*limits.Window{r.Requests, r.Tokens} {
		if w != nil && w.Remaining == 0 && w.Reset >= 0 {
			return w.Reset, true
		}
	}
	return 0, false
}

var (
	tryAgainIn = pattern.Late(
		`(?i)\b(?:(?:try(?:ing)? again|retry|retrying|resets?|replenished|available|again|come back)(?: (?:in|` +
			`after|for|at least|about))+|wait(?: (?:for|at least|about))*) ` +
			`((?:[0-9]+(?:\.[0-9]+)?\s?(?:ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|` +
			`d)(?: and |,? ?))+)(?:[^a-z]|$)`)
	// Azure API Management: "replenished in 00:12:30", or "11.23:30:12" with days.
	replenishedIn = pattern.Late(
		`(?i)\b(?:replenished|try again|retry|resets?) in (?:([0-9]+)\.)?([0-9]{1,2}):([0-9]{2}):([0-9]{2})\b`)
	chineseWait = pattern.Late(`([0-9]+(?:\.[0-9]+)?) ?(毫秒|秒钟?|分钟?|小时|天)(?:之?后|再)`)
	unitWord    = pattern.Late(`([0-9.]+)\s?(ms|milli|s|m|h|d)[a-z]*`)
)

var waitUnits = map[string]time.Duration{
	"ms": time.Millisecond, "milli": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d":  24 * time.Hour,
	"毫秒": time.Millisecond, "秒": time.Second, "秒钟": time.Second, "分": time.Minute, "分钟": time.Minute, "小时": time.Hour,
	"天": 24 * time.Hour,
}

// sentenceWait reads "try again in 1m2.5s", "retry after 20 seconds" and
// their likes.
func sentenceWait(message string) (time.Duration, bool) {
	if m := replenishedIn().FindStringSubmatch(message); m != nil {
		return sumWait([][2]string{{m[1], "d"}, {m[2], "h"}, {m[3], "m"}, {m[4], "s"}})
	}
	if m := chineseWait().FindStringSubmatch(message); m != nil {
		return sumWait([][2]string{{m[1], m[2]}})
	}
	m := tryAgainIn().FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	var parts [][2]string
	for _, part := range unitWord().FindAllStringSubmatch(strings.ToLower(m[1]), -1) {
		parts = append(parts, [2]string{strings.TrimRight(part[1], "."), part[2]})
	}
	return sumWait(parts)
}

// sumWait adds numbers of units; an empty number is none.
func sumWait(parts [][2]string) (sum time.Duration, ok bool) {
	for _, part := range parts {
		if part[0] == "" {
			continue
		}
		n, ok := plainNumber(part[0])
		if !ok {
			return 0, false
		}
		sum = min(sum+scaleWait(n, waitUnits[part[1]]), MaxWait)
	}
	return sum, true
}
