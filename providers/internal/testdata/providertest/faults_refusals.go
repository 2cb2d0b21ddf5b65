package providertest

import (
	"net/http"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
)

// refusals are rows 1 to 8: rate limits, and what their headers say.
func refusals() []Fault {
	limited := func(headers ...string) func(*Exchange) {
		return func(x *Exchange) {
			x.Problem(429, "rate_limit_error", "rate_limit_exceeded", "slow down", headers...)
		}
	}
	wait := func(d time.Duration) Want {
		return Want{Outcome: Wait, Class: nightshift.ClassRateLimit, RetryAfter: d, CheckRetryAfter: true}
	}
	const silence = -1
	in30 := func(x *Exchange) {
		// A server whose clock is an hour behind ours.
		then := time.Now().Add(-time.Hour)
		x.Problem(429, "rate_limit_error", "", "slow down", "Date", then.UTC().Format(http.TimeFormat), "Retry-After",
			then.Add(30*time.Second).UTC().Format(http.TimeFormat))
	}
	quota := Want{Outcome: Stop, Class: nightshift.ClassQuota}
	return []Fault{
		{Number: 1, Name: "retry-after in seconds", Respond: limited("Retry-After", "7"), Want: wait(7 * time.Second)},
		{Number: 1, Name: "retry-after in decimals", Respond: limited("Retry-After", "1.5"),
			Want: wait(1500 * time.Millisecond)},
		{Number: 1, Name: "retry-after-ms", Respond: limited("Retry-After-Ms", "250"), Want: wait(250 * time.Millisecond)},
		{Number: 1, Name: "retry-after-ms 0 beside retry-after 1",
			Respond: limited("Retry-After-Ms", "0", "Retry-After", "1"), Want: wait(time.Second)},
		{Number: 1, Name: "retry-after as a date of a clock that is behind", Respond: in30, Want: wait(30 * time.Second)},
		{Number: 2, Name: "429 without a hint", Respond: limited(), Want: wait(silence)},
		{Number: 2, Name: "429 with an empty body", Respond: func(x *Exchange) { x.Answer(429, "") }, Want: wait(silence)},
		{Number: 2, Name: "429 that hints in words", Respond: func(x *Exchange) {
			x.Problem(429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 6m0s.")
		}, Want: wait(6 * time.Minute)},
		{Number: 3, Name: "retry-after negative", Respond: limited("Retry-After", "-7"), Want: wait(silence)},
		{Number: 3, Name: "retry-after NaN", Respond: limited("Retry-After", "NaN"), Want: wait(silence)},
		{Number: 3, Name: "retry-after empty", Respond: limited("Retry-After", ""), Want: wait(silence)},
		{Number: 3, Name: "retry-after in words", Respond: limited("Retry-After", "in a while"), Want: wait(silence)},
		{Number: 4, Name: "retry-after of a year", Respond: limited("Retry-After", "31536000"),
			Want: wait(365 * 24 * time.Hour), Client: true},
		{Number: 4, Name: "retry-after that overflows", Respond: limited("Retry-After", "999999999999999999999999"),
			Want: wait(providers.MaxWait), Client: true},
		{Number: 5, Name: "retry-after 0", Respond: limited("Retry-After", "0"), Want: wait(0), Client: true},
		{Number: 6, Name: "a row larger than the limit", Respond: func(x *Exchange) {
			x.Problem(429, "tokens", "rate_limit_exceeded", "Request too large on tokens per min (TPM): Limit 10, Requested 20.")
		}, Want: Want{Outcome: Fail, Class: nightshift.ClassExceedsLimit}, Client: true},
		{Number: 7, Name: "429 that means no money", Respond: func(x *Exchange) {
			x.Problem(429, "insufficient_quota", "credit_balance_exhausted", "no credits remaining")
		}, Want: quota},
		{Number: 7, Name: "429 of a gateway that is busy, with its upstream's code", Respond: func(x *Exchange) {
			x.Answer(429, `{"error":{"message":"当前分组上游负载已饱和，请稍后再试","type":"insufficient_quota","code":"insufficient_quota"}}`)
		}, Want: wait(silence)},
		{Number: 7, Name: "429 of a minute in the words of an empty account", Respond: func(x *Exchange) {
			x.Answer(429,
				`{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and `+
					`billing details. Please retry in 1.2s.","status":"RESOURCE_EXHAUSTED"}}`)
		}, Want: wait(1200 * time.Millisecond)},
		{Number: 7, Name: "402", Respond: func(x *Exchange) { x.Problem(402, "billing_error", "", "pay") }, Want: quota},
		{Number: 7, Name: "400 that means no money", Respond: func(x *Exchange) {
			x.Problem(400, "invalid_request_error", "", "Your credit balance is too low to access the API.")
		}, Want: quota},
		{Number: 8, Name: "rate headers of nonsense", Respond: func(x *Exchange) {
			x.Good("X-Ratelimit-Limit-Requests", "-1", "X-Ratelimit-Remaining-Requests", "NaN",
				"X-Ratelimit-Reset-Requests", "yesterday",
				"X-Ratelimit-Limit-Tokens", "0", "Anthropic-Ratelimit-Output-Tokens-Limit", "5",
				"Anthropic-Ratelimit-Output-Tokens-Remaining", "500",
				"Anthropic-Ratelimit-Output-Tokens-Reset", "2001-01-01T00:00:00Z", "Retry-After", "50")
		}, Want: Want{Outcome: OK, Text: fullText, CheckRetryAfter: true, RetryAfter: silence,
			Also: func(tb testing.TB, _ Case, x providers.Exchange) {
				l := x.Limits
				if l.Requests != nil || l.Tokens != nil || l.Output == nil || l.Output.Limit != 5 ||
					l.Output.Remaining >= 0 || l.Output.Reset != 0 {
					tb.Errorf("limits %+v, output %+v", l, l.Output)
				}
			}}},
		{Number: 8, Name: "rate headers in every unit", Respond: func(x *Exchange) {
			x.Good("X-Ratelimit-Limit-Requests", "100", "X-Ratelimit-Remaining-Requests", "40",
				"X-Ratelimit-Reset-Requests", "6m0s",
				"X-Ratelimit-Limit-Tokens", "1000", "X-Ratelimit-Remaining-Tokens", "400", "X-Ratelimit-Reset-Tokens", "1s",
				"Anthropic-Ratelimit-Input-Tokens-Limit", "9", "Anthropic-Ratelimit-Input-Tokens-Remaining", "9",
				"Anthropic-Ratelimit-Input-Tokens-Reset", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}, Want: Want{Outcome: OK, Text: fullText, Also: func(tb testing.TB, _ Case, x providers.Exchange) {
			l := x.Limits
			if l.Requests == nil || l.Requests.Reset != 6*time.Minute || l.Tokens == nil ||
				l.Tokens.Reset != time.Second || l.Input == nil || l.Input.Reset < 50*time.Minute {
				tb.Errorf("limits %+v", l)
			}
		}}},
	}
}
