package providers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// BodyRetryAfter reads a wait out of an error's body, for the servers that
// say it there and not in a header: Gemini's retryDelay, OpenRouter's copied
// headers, and the sentences of OpenAI, Groq and Gemini ("Please try again in
// 6m0s"). now is when the answer came. ok is false when the body says nothing.
func BodyRetryAfter(body []byte, now time.Time) (d time.Duration, ok bool) {
	text := bytes.TrimSpace(body)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return 0, false
	}
	object, err := asObject(text)
	if err != nil {
		return 0, false
	}
	e := subObject(object, "error")
	if d, ok := retryDelay(e); ok {
		return d, true
	}
	if d, ok := copiedHeaders(subObject(e, "metadata"), now); ok {
		return d, true
	}
	return sentenceWait(firstText(object, textOf(e["message"])))
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
	if r.Requests != nil && r.Requests.Reset >= 0 {
		return r.Requests.Reset, true
	}
	return 0, false
}

var tryAgainIn = regexp.MustCompile(`(?i)(?:try again|retry) (?:in|after) ((?:[0-9]+(?:\.[0-9]+)?\s?(?:ms|s|m|h|d)[a-z]*\s?)+)`)

var unitWord = regexp.MustCompile(`([0-9.]+)\s?(ms|s|m|h|d)[a-z]*`)

// sentence reads "try again in 1m2.5s" and "retry after 20 seconds".
func sentenceWait(message string) (time.Duration, bool) {
	m := tryAgainIn.FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	var sum time.Duration
	for _, part := range unitWord.FindAllStringSubmatch(strings.ToLower(m[1]), -1) {
		n, ok := plainNumber(strings.TrimRight(part[1], "."))
		if !ok {
			return 0, false
		}
		sum = min(sum+scaleWait(n, units[part[2]]), MaxWait)
	}
	return sum, true
}
