package providers

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/limits"
)

// MaxWait is the longest wait that ParseLimits reports. A longer one, and a
// number too large to be one, is reported as MaxWait: far above what a client
// should wait for, so it will park the endpoint.
const MaxWait = 366 * 24 * time.Hour

// ParseLimits reads what an answer's headers say about rate limits, in every
// dialect known: Anthropic's, OpenAI's and Groq's, Azure's, Together's,
// OpenRouter's, Mistral's, and LiteLLM's copies of its upstream's. now is when
// the answer came; waits that are given as a date count from the answer's own
// Date header where it has one, so that a wrong clock on either side does not
// matter.
//
// What makes no sense is as if it had not been sent: negative or unreadable
// numbers, a limit of 0, a remainder above the limit. A reset in the past is
// 0. Of Retry-After and Retry-After-Ms the larger counts. The status is not
// looked at, though servers send Retry-After with good answers too: see
// [RetryAfterCounts].
func ParseLimits(h http.Header, now time.Time) limits.Report {
	p := &headerParser{h: h, now: now}
	var r limits.Report
	r.RetryAfter, r.HasRetryAfter = p.retryAfter()
	r.ShouldRetry = p.shouldRetry()
	if !namesLimits(h) {
		return r
	}
	p.anthropic(&r)
	p.openAI(&r, "")
	p.mistral(&r)
	p.unsuffixed(&r)
	if r.Requests == nil && r.Tokens == nil && r.Input == nil && r.Output == nil {
		p.openAI(&r, "Llm_provider-")
	}
	return r
}

// namesLimits reports whether any header is about limits; most answers have
// none, and looking for each of forty names takes longer than the decoding of
// a short answer.
func namesLimits(h http.Header) bool {
	for name := range h {
		if strings.Contains(name, "Ratelimit-") {
			return true
		}
	}
	return false
}

// first is Header.Get for a name in canonical form.
func first(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// RetryAfterCounts reports whether a server that answers with this status
// means its Retry-After. Anthropic sends one with good answers too.
func RetryAfterCounts(status int) bool {
	switch status {
	case 408, 409, 425, 429, 498:
		return true
	}
	return status >= 500
}

type headerParser struct {
	h    http.Header
	now  time.Time
	date time.Time // the server's own now; zero until it is asked for
}

// until is how long the server has to go until a moment: its own Date is its
// now.
func (p *headerParser) until(at time.Time) time.Duration {
	if p.date.IsZero() {
		p.date = p.now
		if date, err := http.ParseTime(first(p.h, "Date")); err == nil {
			p.date = date
		}
	}
	return clampWait(at.Sub(p.date))
}

// retryAfter takes the larger of the two headers: Azure was seen sending 0 ms
// beside 1 s.
func (p *headerParser) retryAfter() (time.Duration, bool) {
	var longest time.Duration
	found := false
	for _, v := range p.h.Values("Retry-After-Ms") {
		if d, ok := waitOf(v, time.Millisecond); ok {
			longest, found = max(longest, d), true
		}
	}
	for _, v := range p.h.Values("Retry-After") {
		if d, ok := waitOf(v, time.Second); ok {
			longest, found = max(longest, d), true
		} else if at, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
			longest, found = max(longest, p.until(at)), true
		}
	}
	return longest, found
}

// wait reads a bare number of units. Negative numbers, NaN, infinities and
// words are no waits; a number that overflows is MaxWait.
func waitOf(text string, unit time.Duration) (time.Duration, bool) {
	n, ok := plainNumber(text)
	if !ok {
		return 0, false
	}
	return scaleWait(n, unit), true
}

func scaleWait(n float64, unit time.Duration) time.Duration {
	if n >= float64(MaxWait)/float64(unit) {
		return MaxWait
	}
	return time.Duration(n * float64(unit))
}

func clampWait(d time.Duration) time.Duration { return min(max(d, 0), MaxWait) }

// number reads a plain decimal number that is not negative. An overflow is
// +Inf; hexadecimal, NaN and the like are refused.
func plainNumber(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" || !strings.ContainsAny(text, "0123456789") {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(n, 1) || n < 0 || math.Signbit(n) {
		return 0, false
	}
	return n, true
}

func (p *headerParser) shouldRetry() *bool {
	yes, no := true, false
	switch strings.ToLower(strings.TrimSpace(first(p.h, "X-Should-Retry"))) {
	case "true":
		return &yes
	case "false":
		return &no
	}
	return nil
}

// window reads one dimension; nil when the headers say nothing usable.
func (p *headerParser) window(limit, remaining, reset string) *limits.Window {
	w := limits.Window{Remaining: -1, Reset: -1}
	found := false
	if n, ok := plainNumber(first(p.h, limit)); ok && n >= 1 && n < 1e15 {
		w.Limit, found = n, true
	}
	if n, ok := plainNumber(first(p.h, remaining)); ok && n < 1e15 && (w.Limit == 0 || n <= w.Limit) {
		w.Remaining, found = n, true
	}
	if !found {
		return nil
	}
	if d, ok := p.reset(first(p.h, reset)); ok {
		w.Reset = d
	}
	return &w
}

// reset reads a moment or a duration: RFC 3339, then a Go duration, then a
// number (epoch milliseconds, epoch seconds, or seconds from now, by size).
func (p *headerParser) reset(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, false
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return p.until(at), true
	}
	if n, ok := plainNumber(text); ok {
		switch {
		case n >= 1e14:
			return 0, false
		case n >= 1e12:
			return p.until(time.UnixMilli(int64(n))), true
		case n >= 1e9:
			return p.until(time.Unix(int64(n), 0)), true
		}
		return scaleWait(n, time.Second), true
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(text, " ", "")); err == nil {
		return clampWait(d), true
	}
	return dayDuration(text)
}

// days reads "1d2h3m", which time.ParseDuration does not know.
func dayDuration(text string) (time.Duration, bool) {
	count, rest, found := strings.Cut(text, "d")
	n, err := strconv.Atoi(count)
	if !found || err != nil || n < 0 || n > 10_000 {
		return 0, false
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil {
			return 0, false
		}
		d += more
	}
	return clampWait(d), true
}

func (p *headerParser) anthropic(r *limits.Report) {
	read := func(what string) *limits.Window {
		name := "Anthropic-Ratelimit-" + what
		return p.window(name+"-Limit", name+"-Remaining", name+"-Reset")
	}
	r.Requests = read("Requests")
	r.Tokens = read("Tokens")
	r.Input = read("Input-Tokens")
	r.Output = read("Output-Tokens")
}

// openAI reads x-ratelimit-limit-requests and its family, as sent by OpenAI,
// Groq, Azure and many others.
func (p *headerParser) openAI(r *limits.Report, prefix string) {
	read := func(what string) *limits.Window {
		name := prefix + "X-Ratelimit-"
		return p.window(name+"Limit-"+what, name+"Remaining-"+what, name+"Reset-"+what)
	}
	if w := read("Requests"); w != nil && r.Requests == nil {
		w.Period = p.renewal("X-Ratelimit-Renewalperiod-Requests")
		if w.Period == 0 {
			w.Period = inferPeriod(*w)
		}
		r.Requests = w
	}
	if w := read("Tokens"); w != nil && r.Tokens == nil {
		w.Period = p.renewal("X-Ratelimit-Renewalperiod-Tokens")
		r.Tokens = w
	}
}

// renewal is Azure's word for the length of the window, in seconds.
func (p *headerParser) renewal(name string) time.Duration {
	if d, ok := waitOf(first(p.h, name), time.Second); ok && d < 48*time.Hour {
		return d
	}
	return 0
}

// inferPeriod tells limits per day or hour from those per minute, which the
// headers do not say: the reset is the time in which what is used comes back,
// so limit × reset / used is the length of the whole window. 0 is a minute.
func inferPeriod(w limits.Window) time.Duration {
	used := w.Limit - w.Remaining
	if w.Limit == 0 || w.Remaining < 0 || used < 1 || w.Reset <= 0 {
		return 0
	}
	period := w.Limit * float64(w.Reset) / used
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour} {
		if ratio := period / float64(unit); ratio > 0.9 && ratio < 1.1 {
			return unit
		}
	}
	return 0
}

// mistral reads windows that name their period. The minute's counts: the
// month's is for the bill, and the ten seconds' follows from it.
func (p *headerParser) mistral(r *limits.Report) {
	const limit, remaining = "X-Ratelimit-Limit-", "X-Ratelimit-Remaining-"
	if r.Requests == nil {
		r.Requests = p.window(limit+"Req-Minute", remaining+"Req-Minute", "")
	}
	if w := p.window(limit+"Req-10-Second", remaining+"Req-10-Second", ""); w != nil && r.Requests == nil {
		w.Period = 10 * time.Second
		r.Requests = w
	}
	if r.Tokens == nil {
		r.Tokens = p.window(limit+"Tokens-Minute", remaining+"Tokens-Minute", "")
	}
}

// unsuffixed reads x-ratelimit-limit without a dimension, which counts
// requests: OpenRouter, Together and generic gateways. How far off the reset
// is tells a window of a minute from one of an hour or a day.
func (p *headerParser) unsuffixed(r *limits.Report) {
	if r.Requests != nil {
		return
	}
	w := p.window("X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset")
	if w == nil {
		w = p.window("Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset")
	}
	if w == nil {
		return
	}
	switch {
	case w.Reset > time.Hour+time.Minute:
		w.Period = 24 * time.Hour
	case w.Reset > 2*time.Minute:
		w.Period = time.Hour
	}
	r.Requests = w
}

// requestIDs are the headers in which servers name an exchange. A gateway's
// own id comes first: it is the one its operator can look up.
var requestIDs = []string{
	"X-Oneapi-Request-Id", "Request-Id", "X-Request-Id", "Apim-Request-Id", "X-Generation-Id",
	"X-Ds-Trace-Id", "X-Trace-Id", "Mistral-Correlation-Id", "X-Ms-Request-Id", "X-Amzn-Requestid",
	"X-Litellm-Call-Id", "X-Correlation-Id", "Cf-Ray",
}

// RequestID is the server's id of the exchange; empty when it gave none.
func RequestID(h http.Header) string {
	for _, name := range requestIDs {
		if id := first(h, name); id != "" {
			return clip(id, maxCode)
		}
	}
	return ""
}
