package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/providers/limits"
)

var answered = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		name   string
		header http.Header
		want   time.Duration
		has    bool
	}{
		{"none", header(), 0, false},
		{"seconds", header("Retry-After", "7"), 7 * time.Second, true},
		{"spaces", header("Retry-After", " 7 "), 7 * time.Second, true},
		{"decimals", header("Retry-After", "1.5"), 1500 * time.Millisecond, true},
		{"zero", header("Retry-After", "0"), 0, true},
		{"milliseconds", header("Retry-After-Ms", "250"), 250 * time.Millisecond, true},
		{"Azure: the larger of both", header("Retry-After-Ms", "0", "Retry-After", "1"), time.Second, true},
		{"the larger is the milliseconds", header("Retry-After-Ms", "2500", "Retry-After", "2"),
			2500 * time.Millisecond, true},
		{"date without Date", header("Retry-After", "Fri, 02 Jan 2026 03:05:05 GMT"), time.Minute, true},
		{"date against the answer's own",
			header("Retry-After", "Fri, 02 Jan 2026 03:05:05 GMT", "Date", "Fri, 02 Jan 2026 03:05:00 GMT"),
			5 * time.Second, true},
		{"date in the past", header("Retry-After", "Fri, 02 Jan 2026 03:00:00 GMT"), 0, true},
		{"negative", header("Retry-After", "-5"), 0, false},
		{"NaN", header("Retry-After", "NaN"), 0, false},
		{"infinite", header("Retry-After", "Inf"), 0, false},
		{"hexadecimal", header("Retry-After", "0x10"), 0, false},
		{"empty", header("Retry-After", ""), 0, false},
		{"words", header("Retry-After", "soon"), 0, false},
		{"a dot", header("Retry-After", "."), 0, false},
		{"a year", header("Retry-After", "31536000"), 365 * 24 * time.Hour, true},
		{"a century", header("Retry-After", "3153600000"), MaxWait, true},
		{"overflow", header("Retry-After", "99999999999999999999999"), MaxWait, true},
		{"float overflow", header("Retry-After", "1e400"), MaxWait, true},
		{"nonsense beside sense", header("Retry-After", "soon", "Retry-After", "3"), 3 * time.Second, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ParseLimits(tc.header, answered)
			if got.RetryAfter != tc.want || got.HasRetryAfter != tc.has {
				t.Errorf("RetryAfter = %v, %v, want %v, %v", got.RetryAfter, got.HasRetryAfter, tc.want, tc.has)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	const day, hour = 24 * time.Hour, time.Hour
	yes := true
	for _, tc := range []struct {
		name   string
		header http.Header
		want   limits.Report
	}{
		{"Anthropic", header(
			"Anthropic-Ratelimit-Requests-Limit", "50", "Anthropic-Ratelimit-Requests-Remaining", "49",
			"Anthropic-Ratelimit-Requests-Reset", "2026-01-02T03:04:06Z",
			"Anthropic-Ratelimit-Tokens-Limit", "9500000", "Anthropic-Ratelimit-Tokens-Remaining", "9500000",
			"Anthropic-Ratelimit-Tokens-Reset", "2026-01-02T03:04:05Z",
			"Anthropic-Ratelimit-Input-Tokens-Limit", "40000", "Anthropic-Ratelimit-Input-Tokens-Remaining", "39000",
			"Anthropic-Ratelimit-Input-Tokens-Reset", "2026-01-02T03:04:07Z",
			"Anthropic-Ratelimit-Output-Tokens-Limit", "8000", "Anthropic-Ratelimit-Output-Tokens-Remaining", "0",
			"Anthropic-Ratelimit-Output-Tokens-Reset", "2026-01-02T03:05:05Z",
			"X-Should-Retry", "true"), limits.Report{
			Requests:    &limits.Window{Limit: 50, Remaining: 49, Reset: time.Second},
			Tokens:      &limits.Window{Limit: 9500000, Remaining: 9500000},
			Input:       &limits.Window{Limit: 40000, Remaining: 39000, Reset: 2 * time.Second},
			Output:      &limits.Window{Limit: 8000, Remaining: 0, Reset: time.Minute},
			ShouldRetry: &yes}},
		{"OpenAI per minute", header(
			"x-ratelimit-limit-requests", "5000", "x-ratelimit-remaining-requests", "4999", "x-ratelimit-reset-requests", "12ms",
			"x-ratelimit-limit-tokens", "160000", "x-ratelimit-remaining-tokens", "159972", "x-ratelimit-reset-tokens",
			"10ms"), limits.Report{
			Requests: &limits.Window{Limit: 5000, Remaining: 4999, Reset: 12 * time.Millisecond},
			Tokens:   &limits.Window{Limit: 160000, Remaining: 159972, Reset: 10 * time.Millisecond}}},
		{"OpenAI per day",
			header("x-ratelimit-limit-requests", "10000", "x-ratelimit-remaining-requests", "9999",
				"x-ratelimit-reset-requests", "8.64s"), limits.Report{
				Requests: &limits.Window{Limit: 10000, Remaining: 9999, Reset: 8640 * time.Millisecond, Period: day}}},
		{"Groq per day",
			header("x-ratelimit-limit-requests", "14400", "x-ratelimit-remaining-requests", "14370",
				"x-ratelimit-reset-requests", "2m59.56s"), limits.Report{
				Requests: &limits.Window{Limit: 14400, Remaining: 14370, Reset: 179560 * time.Millisecond, Period: day}}},
		{"Azure", header("x-ratelimit-limit-requests", "60", "x-ratelimit-remaining-requests", "59",
			"x-ratelimit-reset-requests", "1", "x-ratelimit-renewalperiod-requests", "60"), limits.Report{
			Requests: &limits.Window{Limit: 60, Remaining: 59, Reset: time.Second, Period: time.Minute}}},
		{"OpenRouter",
			header("X-RateLimit-Limit", "1", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1767323105000"), limits.Report{
				Requests: &limits.Window{Limit: 1, Remaining: 0, Reset: time.Minute}}},
		{"OpenRouter per day",
			header("X-RateLimit-Limit", "50", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1767359045000"), limits.Report{
				Requests: &limits.Window{Limit: 50, Remaining: 0, Reset: 10 * hour, Period: day}}},
		{"epoch seconds",
			header("X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "1767323055"), limits.Report{
				Requests: &limits.Window{Limit: 9, Remaining: 3, Reset: 10 * time.Second}}},
		{"Mistral", header("x-ratelimit-limit-req-minute", "5", "x-ratelimit-remaining-req-minute", "4",
			"x-ratelimit-limit-tokens-minute", "75000", "x-ratelimit-remaining-tokens-minute", "74932"), limits.Report{
			Requests: &limits.Window{Limit: 5, Remaining: 4, Reset: -1},
			Tokens:   &limits.Window{Limit: 75000, Remaining: 74932, Reset: -1}}},
		{"LiteLLM", header("llm_provider-x-ratelimit-limit-requests", "15000",
			"llm_provider-x-ratelimit-remaining-requests", "14999", "llm_provider-x-ratelimit-reset-requests", "4ms"),
			limits.Report{
				Requests: &limits.Window{Limit: 15000, Remaining: 14999, Reset: 4 * time.Millisecond}}},
		{"Azure without limits", header("x-ratelimit-remaining-requests", "119"), limits.Report{
			Requests: &limits.Window{Remaining: 119, Reset: -1}}},

		{"limit -1",
			header("x-ratelimit-limit-requests", "-1", "x-ratelimit-remaining-requests", "-1",
				"x-ratelimit-reset-requests", "0s"), limits.Report{}},
		{"limit 0", header("x-ratelimit-limit-requests", "0"), limits.Report{}},
		{"remaining above the limit",
			header("x-ratelimit-limit-requests", "5", "x-ratelimit-remaining-requests", "500"), limits.Report{
				Requests: &limits.Window{Limit: 5, Remaining: -1, Reset: -1}}},
		{"reset in the past",
			header("anthropic-ratelimit-requests-limit", "5", "anthropic-ratelimit-requests-reset",
				"2020-01-01T00:00:00Z"), limits.Report{
				Requests: &limits.Window{Limit: 5, Remaining: -1, Reset: 0}}},
		{"reset negative", header("x-ratelimit-limit-tokens", "5", "x-ratelimit-reset-tokens", "-3s"), limits.Report{
			Tokens: &limits.Window{Limit: 5, Remaining: -1, Reset: 0}}},
		{"reset in words", header("x-ratelimit-limit-tokens", "5", "x-ratelimit-reset-tokens", "tomorrow"), limits.Report{
			Tokens: &limits.Window{Limit: 5, Remaining: -1, Reset: -1}}},
		{"reset in units", header("x-ratelimit-limit-tokens", "5", "x-ratelimit-reset-tokens", "6m0s"), limits.Report{
			Tokens: &limits.Window{Limit: 5, Remaining: -1, Reset: 6 * time.Minute}}},
		{"reset in days", header("x-ratelimit-limit-tokens", "5", "x-ratelimit-reset-tokens", "1d2h"), limits.Report{
			Tokens: &limits.Window{Limit: 5, Remaining: -1, Reset: 26 * hour}}},
		{"NaN", header("x-ratelimit-limit-tokens", "NaN", "x-ratelimit-remaining-tokens", "Inf"), limits.Report{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ParseLimits(tc.header, answered)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBodyRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		body string
		want time.Duration
		ok   bool
	}{
		{``, 0, false},
		{`<html>`, 0, false},
		{`{"error":{"message":"slow down"}}`, 0, false},
		{`{"error":{"message":"Rate limit reached. Please try again in 6m0s."}}`, 6 * time.Minute, true},
		{`{"error":{"message":"Please try again in 1.52s. Visit"}}`, 1520 * time.Millisecond, true},
		{`{"error":{"message":"Please try again in 120ms."}}`, 120 * time.Millisecond, true},
		{`{"error":{"message":"Please retry after 20 seconds."}}`, 20 * time.Second, true},
		{`{"error":{"message":"Please retry after 1 day"}}`, 24 * time.Hour, true},
		{`{"error":{"message":"try again in 99999999999999999999 hours"}}`, MaxWait, true},
		{`{"error":{"message":"try again in 500 milliseconds"}}`, 500 * time.Millisecond, true},
		{`{"error":{"message":"Please wait 12 seconds before retrying."}}`, 12 * time.Second, true},
		{`{"error":{"message":"Daily free limit reached on model x. Try again in 2h 16m"}}`,
			2*time.Hour + 16*time.Minute, true},
		{`{"error":{"message":"quota exhausted (reset after 20m0s)"}}`, 20 * time.Minute, true},
		{`{"error":{"message":"The limit resets in 1 minute and 30 seconds"}}`, 90 * time.Second, true},
		{`{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:12:30."}`,
			12*time.Minute + 30*time.Second, true},
		{`{"message":"Quota will be replenished in 1.02:00:00."}`, 26 * time.Hour, true},
		{`{"error":{"message":"请求过于频繁，请在 20 秒后重试"}}`, 20 * time.Second, true},
		{`{"error":{"message":"请1分钟后再试"}}`, time.Minute, true},
		{`{"error":{"message":"slow down","retry_after":7}}`, 7 * time.Second, true},
		{`{"message":"slow down","retry_after_ms":"250"}`, 250 * time.Millisecond, true},
		{`{"error":{"message":"retry with 3 more messages, or wait 2 more"}}`, 0, false},
		{`{"error":{"details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]},{"retryDelay":"36s"}]}}`,
			0, false},
		{`[{"error":{"code":429,"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"54s"}]}}]`, 54 * time.Second,
			true},
		{`{"error":{"code":429,"metadata":{"headers":{"X-RateLimit-Limit":"1","X-RateLimit-Remaining":"0",` +
			`"X-RateLimit-Reset":"1767323105000"}}}}`, time.Minute, true},
		{`{"type":"error","error":{"code":"rate_limit_exceeded","message":"slow down",` +
			`"headers":{"x-ratelimit-remaining-requests":"499","x-ratelimit-reset-requests":"120ms",` +
			`"x-ratelimit-remaining-tokens":"0","x-ratelimit-reset-tokens":"50s"}}}`, 50 * time.Second, true},
		{`{"type":"error","error":{"code":"rate_limit_exceeded","message":"Please try again in 6.57s.",` +
			`"headers":{"x-ratelimit-remaining-requests":"0","x-ratelimit-reset-requests":"50s"}}}`,
			6570 * time.Millisecond, true},
		{`{"type":"error","error":{"code":"rate_limit_exceeded","message":"slow down",` +
			`"headers":{"x-ratelimit-remaining-requests":"499","x-ratelimit-reset-requests":"120ms"}}}`, 0, false},
	} {
		got, ok := BodyRetryAfter([]byte(tc.body), answered)
		if got != tc.want || ok != tc.ok {
			t.Errorf("%s: %v, %v, want %v, %v", tc.body, got, ok, tc.want, tc.ok)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, name := range requestIDs {
		if got := RequestID(header(strings.ToLower(name), "id-1")); got != "id-1" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := RequestID(header("Cf-Ray", "r", "Request-Id", "q", "X-Oneapi-Request-Id", "g")); got != "g" {
		t.Errorf("the gateway's own id comes first, not %q", got)
	}
}

func FuzzParseLimits(f *testing.F) {
	for _, v := range []string{"", "0", "-1", "1.5", "1e400", "NaN", "6m0s", "1d", "99999999999999999999",
		"2026-01-02T03:04:05Z", "1767323105000", "Fri, 02 Jan 2026 03:05:05 GMT"} {
		f.Add(v, v, v)
	}
	names := []string{
		"Retry-After", "Retry-After-Ms", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
		"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
		"Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset",
		"X-Ratelimit-Limit-Req-10-Second", "X-Ratelimit-Renewalperiod-Requests",
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		h := http.Header{"Date": {c}}
		for i, name := range names {
			h[name] = []string{[]string{a, b, c}[i%3]}
		}
		r := ParseLimits(h, answered)
		if r.RetryAfter < 0 || r.RetryAfter > MaxWait || !r.HasRetryAfter && r.RetryAfter != 0 {
			t.Fatalf("RetryAfter %v", r.RetryAfter)
		}
		for _, w := range []*limits.Window{r.Requests, r.Tokens, r.Input, r.Output} {
			if w == nil {
				continue
			}
			if w.Limit < 0 || w.Period < 0 || w.Reset > MaxWait || w.Limit > 0 && w.Remaining > w.Limit ||
				w.Limit != w.Limit || w.Remaining != w.Remaining {
				t.Fatalf("window %+v", *w)
			}
		}
		BodyRetryAfter([]byte(a), answered)
	})
}
