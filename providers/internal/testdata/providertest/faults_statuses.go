package providertest

import (
	"strconv"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// statuses are rows 9 to 17: what a status means, and what a body means that
// contradicts it.
func statuses() []Fault {
	says := func(status int, kind, code, message string, headers ...string) func(*Exchange) {
		return func(x *Exchange) { x.Problem(status, kind, code, message, headers...) }
	}
	want := func(o Outcome, class nightshift.ErrorClass) Want { return Want{Outcome: o, Class: class} }
	page := func(status int) func(*Exchange) {
		return func(x *Exchange) {
			x.Answer(status, "<!doctype html><html><head><title>Sign in</title></head></html>", "Content-Type", "text/html")
		}
	}
	hint := func(part string) func(testing.TB, Case, providers.Exchange) {
		return func(tb testing.TB, _ Case, x providers.Exchange) {
			if !strings.Contains(x.Err.Hint, part) {
				tb.Errorf("hint %q, want it to hold %q", x.Err.Hint, part)
			}
		}
	}
	portal := want(RetryStop, nightshift.ClassNotAnAPI)
	portal.Also = hint("is not that of an API")
	key := want(Stop, nightshift.ClassAuth)
	key.Also = hint("check the key")
	faults := []Fault{
		{Number: 9, Name: "401", Respond: says(401, "authentication_error", "invalid_api_key", "bad key"), Want: key},
		{Number: 9, Name: "401 with a web page", Respond: page(401), Want: key},
		{Number: 9, Name: "403", Respond: says(403, "permission_error", "", "not yours"),
			Want: want(Stop, nightshift.ClassPermission)},
		{Number: 9, Name: "407", Respond: says(407, "", "", "proxy"), Want: want(Stop, nightshift.ClassAuth)},
		{Number: 10, Name: "404", Respond: says(404, "not_found_error", "model_not_found", "model: x"),
			Want: want(StopModel, nightshift.ClassNotFound)},
		{Number: 10, Name: "404 with nothing", Respond: func(x *Exchange) {
			x.Answer(404, "")
		}, Want: want(StopModel, nightshift.ClassNotFound)},
		{Number: 10, Name: "503 that means an unknown model",
			Respond: says(503, "model_not_found", "model_not_found", "no channel"),
			Want:    want(StopModel, nightshift.ClassNotFound)},
		{Number: 11, Name: "400", Respond: says(400, "invalid_request_error", "unsupported_parameter", "no"),
			Want: want(Fail, nightshift.ClassInvalidRequest)},
		{Number: 11, Name: "422", Respond: func(x *Exchange) {
			x.Answer(422, `{"detail":[{"loc":["body"],"msg":"bad","type":"x"}]}`)
		}, Want: want(Fail, nightshift.ClassInvalidRequest)},
		{Number: 11, Name: "content policy", Respond: says(400, "content_filter", "content_filter", "filtered"),
			Want: want(Fail, nightshift.ClassContentPolicy)},
		{Number: 11, Name: "context too long",
			Respond: says(400, "invalid_request_error", "context_length_exceeded", "prompt is too long"),
			Want:    want(Fail, nightshift.ClassContextLength)},
		{Number: 11, Name: "500 that means a bad request",
			Respond: says(500, "invalid_request", "invalid_request", "x"), Want: want(Fail, nightshift.ClassInvalidRequest)},
		{Number: 12, Name: "408", Respond: says(408, "", "", "late"), Want: want(Retry, nightshift.ClassConflict)},
		{Number: 12, Name: "409", Respond: says(409, "conflict_error", "", "lock"),
			Want: want(Retry, nightshift.ClassConflict)},
		{Number: 12, Name: "425", Respond: func(x *Exchange) {
			x.Answer(425, "")
		}, Want: want(Retry, nightshift.ClassConflict)},
		{Number: 13, Name: "413", Respond: func(x *Exchange) {
			x.Answer(413, "<html>too large</html>")
		}, Want: want(Fail, nightshift.ClassTooLarge)},
		{Number: 14, Name: "500", Respond: says(500, "api_error", "server_error", "oops"),
			Want: want(Break, nightshift.ClassServer), Client: true},
		{Number: 16, Name: "200 with a web page", Respond: page(200), Want: portal, Client: true},
		{Number: 16, Name: "404 with a web page", Respond: page(404),
			Want: Want{Outcome: StopModel, Class: nightshift.ClassNotFound, Also: hint("is not that of an API")}},
		{Number: 17, Name: "200 with overloaded",
			Respond: says(200, "overloaded_error", "overloaded_error", "Overloaded"),
			Want:    want(Break, nightshift.ClassOverloaded)},
		{Number: 17, Name: "200 with a bad key",
			Respond: says(200, "authentication_error", "invalid_api_key", "bad key"), Want: want(Stop, nightshift.ClassAuth)},
		{Number: 17, Name: "200 with a rate limit",
			Respond: says(200, "rate_limit_error", "rate_limit_exceeded", "slow"), Want: want(Wait, nightshift.ClassRateLimit)},
		{Number: 17, Name: "200 with success false", Respond: func(x *Exchange) {
			x.Answer(200, `{"success":false,"code":"402","message":"no money"}`)
		}, Want: want(Stop, nightshift.ClassQuota)},
		{Number: 17, Name: "200 with base_resp", Respond: func(x *Exchange) {
			x.Answer(200, `{"base_resp":{"status_code":1002,"status_msg":"rpm"}}`)
		}, Want: want(Wait, nightshift.ClassRateLimit)},
		{Number: 17, Name: "200 with a list of errors", Respond: func(x *Exchange) {
			x.Answer(200, `[{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]`)
		}, Want: want(Fail, nightshift.ClassInvalidRequest)},
	}
	for _, status := range []int{500, 502, 503, 504, 529} {
		f := Fault{Number: 15, Name: "everybody gets " + strconv.Itoa(status),
			Respond: says(status, "api_error", "server_error", "down", "Retry-After", "3"),
			Want:    want(Break, nightshift.ClassServer), Client: true}
		if status == 529 {
			f.Want.Class = nightshift.ClassOverloaded
		}
		f.Want.RetryAfter, f.Want.CheckRetryAfter = 3e9, true
		faults = append(faults, f)
	}
	return faults
}
