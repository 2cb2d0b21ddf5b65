package providers

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift"
)

// A verdict is what must follow from an error body.
type verdict struct {
	class   nightshift.ErrorClass
	ofModel bool // it stops the model asked for, not the endpoint
	code    string
}

func (v verdict) check(t *testing.T, name string, e *nightshift.Error) {
	t.Helper()
	switch {
	case e == nil:
		t.Errorf("%s: no error, want %s", name, v.class)
	case e.Class != v.class || e.OfModel != v.ofModel:
		t.Errorf("%s: %s, of the model: %v (%v); want %s, %v", name, e.Class, e.OfModel, e, v.class, v.ofModel)
	case v.code != "" && e.Code != v.code:
		t.Errorf("%s: code %q, want %q", name, e.Code, v.code)
	case e.Message == "":
		t.Errorf("%s: no message", name)
	}
}

// The classes of the recorded errors of Responses, Gemini and Completions, read
// by a person.
func TestClassifyRecordedFormats(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "recorded-more")
	for file, want := range map[string]verdict{
		"gemini-error-01":       {class: nightshift.ClassAuth},
		"gemini-error-02":       {class: nightshift.ClassRateLimit},
		"gemini-error-03":       {class: nightshift.ClassContextLength},
		"gemini-error-04":       {class: nightshift.ClassNotFound},
		"gemini-error-05":       {class: nightshift.ClassNotFound},
		"gemini-error-06":       {class: nightshift.ClassInvalidRequest},
		"gemini-error-07":       {class: nightshift.ClassPermission},
		"gemini-error-08":       {class: nightshift.ClassPermission},
		"gemini-reported-01":    {class: nightshift.ClassQuota, ofModel: true},
		"gemini-reported-02":    {class: nightshift.ClassRateLimit},
		"gemini-reported-03":    {class: nightshift.ClassRateLimit},
		"gemini-reported-04":    {class: nightshift.ClassOverloaded},
		"gemini-reported-05":    {class: nightshift.ClassOverloaded},
		"gemini-reported-06":    {class: nightshift.ClassServer},
		"gemini-reported-07":    {class: nightshift.ClassServer},
		"gemini-reported-08":    {class: nightshift.ClassPermission},
		"gemini-reported-13":    {class: nightshift.ClassInvalidRequest},
		"responses-error-01":    {class: nightshift.ClassAuth, code: "invalid_api_key"},
		"responses-error-02":    {class: nightshift.ClassContextLength, code: "context_length_exceeded"},
		"responses-error-03":    {class: nightshift.ClassNotFound, code: "model_not_found"},
		"responses-error-04":    {class: nightshift.ClassInvalidRequest},
		"responses-error-05":    {class: nightshift.ClassInvalidRequest},
		"responses-error-06":    {class: nightshift.ClassInvalidRequest, code: "previous_response_not_found"},
		"responses-error-07":    {class: nightshift.ClassInvalidRequest, code: "unsupported_value"},
		"responses-error-08":    {class: nightshift.ClassInvalidRequest},
		"responses-error-09":    {class: nightshift.ClassAuth},
		"responses-error-10":    {class: nightshift.ClassNotFound},
		"responses-error-11":    {class: nightshift.ClassAuth},
		"responses-error-12":    {class: nightshift.ClassInvalidRequest},
		"responses-reported-06": {class: nightshift.ClassInvalidRequest},

		// Events of streams.
		"responses-failed-01":   {class: nightshift.ClassQuota, code: "insufficient_quota"},
		"responses-reported-01": {class: nightshift.ClassRateLimit, code: "rate_limit_exceeded"},
		"responses-reported-02": {class: nightshift.ClassRateLimit, code: "too_many_requests"},
		"responses-reported-03": {class: nightshift.ClassContextLength, code: "context_length_exceeded"},
		"responses-reported-04": {class: nightshift.ClassServer, code: "server_error"},
		"responses-reported-05": {class: nightshift.ClassOverloaded, code: "server_is_overloaded"},
	} {
		status, header, body := recorded(t, filepath.Join(dir, file+".json"))
		if strings.HasPrefix(body, "event:") {
			_, data, _ := strings.Cut(body[strings.Index(body, "event: error\n"):], "data: ")
			data, _, _ = strings.Cut(data, "\n")
			status, body = 0, data
		}
		want.check(t, file, Classify(status, header, []byte(body)))
	}
}

func recorded(t *testing.T, file string) (status int, h http.Header, body string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Response struct {
			Status  int
			Headers map[string]string
			Body    string
		}
	}
	if err := json.Unmarshal(raw, &x); err != nil {
		t.Fatal(err)
	}
	h = http.Header{}
	for name, value := range x.Response.Headers {
		h.Set(name, value)
	}
	return x.Response.Status, h, x.Response.Body
}

// google is an error of Google's services.
func google(code int, status, message, details string) string {
	body, _ := json.Marshal(map[string]any{"error": map[string]any{
		"code": code, "status": status, "message": message, "details": json.RawMessage("[" + details + "]"),
	}})
	return string(body)
}

// violated is a google.rpc.QuotaFailure of quota ids and values in turn.
func violated(idsAndValues ...string) string {
	var list []map[string]string
	for i := 0; i+1 < len(idsAndValues); i += 2 {
		list = append(list, map[string]string{"quotaId": idsAndValues[i], "quotaValue": idsAndValues[i+1]})
	}
	detail, _ := json.Marshal(map[string]any{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": list})
	return string(detail)
}

const (
	everyLimit = "You exceeded your current quota, please check your plan and billing details. For more " +
		"information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
	in36s    = `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}`
	idMinute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
	idDay    = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
	ofMetric = "\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_" +
		"requests, limit: "
)

// What one of Google's 429 means is said by the names of the limits that were
// hit, not by its message, which is the same for all of them.
func TestClassifyGoogleQuota(t *testing.T) {
	const exhausted = "RESOURCE_EXHAUSTED"
	behindChat := func(message string) string {
		body, _ := json.Marshal(
			map[string]any{"error": map[string]any{"message": message, "type": "upstream_error", "code": "429"}})
		return string(body)
	}
	limit := verdict{class: nightshift.ClassRateLimit}
	ofModel := verdict{class: nightshift.ClassQuota, ofModel: true}
	ofAccount := verdict{class: nightshift.ClassQuota}
	for _, tc := range []struct {
		name, body string
		want       verdict
		wait       time.Duration // 0: none; negative: until midnight in California
	}{
		{"a minute", google(429, exhausted, everyLimit, violated(idMinute, "15")+","+in36s), limit, 36 * time.Second},
		{"a minute without a delay", google(429, exhausted, everyLimit, violated(idMinute, "15")), limit, 0},
		{"a minute, in an array", "[" + google(429, exhausted, everyLimit, violated(idMinute, "15")+","+in36s) + "]",
			limit, 36 * time.Second},
		{"a day", google(429, exhausted, everyLimit, violated(idDay, "20")+","+in36s), ofModel, -1},
		{"a day, in an array", "[" + google(429, exhausted, everyLimit, violated(idDay, "20")+","+in36s) + "]", ofModel, -1},
		{"a day, and a wait in words",
			google(429, exhausted, everyLimit+ofMetric+"20, model: m\nPlease retry in 36.4s.", violated(idDay, "20")),
			ofModel, -1},
		{"a minute and a day", google(429, exhausted, everyLimit, violated(idMinute, "15", idDay, "20")+","+in36s),
			ofModel, -1},
		{"a day and a minute", google(429, exhausted, everyLimit, violated(idDay, "20", idMinute, "15")+","+in36s),
			ofModel, -1},
		{"a limit of nothing", google(429, exhausted, everyLimit, violated(idMinute, "0")+","+in36s), ofModel, 0},
		{"nothing a day", google(429, exhausted, everyLimit, violated(idMinute, "15", idDay, "0")+","+in36s), ofModel, 0},
		{"a limit of nothing in words",
			google(429, exhausted, everyLimit+ofMetric+"0, model: m\nPlease retry in 36.4s.", ""), ofModel, 0},
		{"a limit of nothing at a line's end",
			google(429, exhausted, everyLimit+ofMetric+"0\nPlease retry in 36.4s.", ""), ofModel, 0},
		{"a limit of nothing, Vertex",
			google(429, exhausted, "Quota exceeded for quota metric 'x'",
				`{"reason":"RATE_LIMIT_EXCEEDED","metadata":{"quota_limit":"RequestsPerMinutePerProjectPerRegion",`+
					`"quota_limit_value":"0"}}`), ofModel, 0},
		{"no details", google(429, exhausted, "Resource exhausted. Please try again later.", ""), limit, 0},
		{"no details, the message of all", google(429, exhausted, everyLimit, ""), ofAccount, 0},
		{"no money",
			google(429, exhausted,
				"Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.", ""),
			ofAccount, 0},
		{"a cap on spending", google(429, exhausted, "Your project has exceeded its monthly spending cap.", ""),
			ofAccount, 0},
		{"a spend cap", google(429, exhausted, "The billing account has reached its spend cap.", ""), ofAccount, 0},
		{"behind Chat, with its limit", behindChat(everyLimit + ofMetric + "20, model: m\nPlease retry in 36.4s."),
			limit, 36400 * time.Millisecond},
		{"behind Chat, without a wait", behindChat(everyLimit + ofMetric + "20, model: m"), limit, 0},
		{"behind Chat, a limit of nothing", behindChat(everyLimit + ofMetric + "0, model: m\nPlease retry in 36.4s."),
			ofModel, 0},
		{"behind Chat, the day in the metric",
			behindChat("Quota exceeded for metric: generativelanguage.googleapis.com/generate_requests_per_model_" +
				"per_day, limit: 250\nPlease retry in 36.4s."), ofModel, -1},
		{"behind Chat, quoted whole, a day",
			behindChat("litellm.RateLimitError: geminiException - " + google(429, exhausted, everyLimit,
				violated(idDay, "20")+","+in36s)), ofModel, -1},
		{"behind Chat, quoted whole, a minute",
			behindChat("litellm.RateLimitError: geminiException - " + google(429, exhausted, everyLimit,
				violated(idMinute, "20")+","+in36s)), limit, 36 * time.Second},
		{"behind OpenRouter, a day",
			`{"error":{"code":429,"message":"Provider returned error","metadata":{"provider_name":"Google",` +
				`"raw":` + quoted(google(429, exhausted, everyLimit, violated(idDay, "20")+","+in36s)) + `}}}`, ofModel, -1},
		{"OpenAI's own empty account",
			`{"error":{"message":"You exceeded your current quota, please check your plan and billing details.",` +
				`"type":"insufficient_quota","code":"insufficient_quota"}}`, ofAccount, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.check(t, tc.body, Classify(429, nil, []byte(tc.body)))
			now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) // 4 o'clock in California
			if got, ok := BodyRetryAfter([]byte(tc.body), now); got != max(tc.wait, 0) || ok != (tc.wait > 0) {
				t.Errorf("a wait of %v, %v; want %v", got, ok, tc.wait)
			}
			if got, ok := DayEnds([]byte(tc.body), now); ok != (tc.wait < 0) || ok && got != 20*time.Hour {
				t.Errorf("the day ends in %v, %v", got, ok)
			}
		})
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// Limits of the day end at midnight in California, in summer an hour earlier.
func TestMidnightPacific(t *testing.T) {
	for now, want := range map[string]time.Duration{
		"2026-11-27T07:59:00Z": time.Minute,
		"2026-11-27T08:00:00Z": 24 * time.Hour,
		"2026-07-01T06:30:00Z": 30 * time.Minute,
	} {
		at, _ := time.Parse(time.RFC3339, now)
		if got := untilMidnightPacific(at); got != want {
			t.Errorf("%s: %v, want %v", now, got, want)
		}
	}
}

// A limit of tokens a minute that the prompt alone exceeds will never let it
// pass.
func TestTokenLimit(t *testing.T) {
	const tokens, paid = "GenerateContentInputTokensPerModelPerMinute-FreeTier",
		"GenerateContentPaidTierInputTokensPerModelPerMinute"
	for _, tc := range []struct {
		name, body string
		want       int64
	}{
		{"tokens", google(429, "RESOURCE_EXHAUSTED", everyLimit, violated(tokens, "250000")), 250000},
		{"paid", google(429, "RESOURCE_EXHAUSTED", everyLimit, violated(paid, "1000000")+","+in36s), 1000000},
		{"the least of two", google(429, "RESOURCE_EXHAUSTED", everyLimit, violated(tokens, "250000", paid, "1000")), 1000},
		{"requests", google(429, "RESOURCE_EXHAUSTED", everyLimit, violated(idMinute, "15")), 0},
		{"in words",
			`{"error":{"message":"Quota exceeded for metric: ` +
				`generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count, limit: 1000000, ` +
				`model: m"}}`, 1000000},
		{"nothing", `{"error":{"message":"slow down"}}`, 0},
		{"no JSON", `slow down`, 0},
	} {
		if got, ok := BodyInputLimit([]byte(tc.body)); got != tc.want || ok != (tc.want > 0) {
			t.Errorf("%s: %d, %v, want %d", tc.name, got, ok, tc.want)
		}
	}
}

// Errors of Responses, Gemini and Completions, and what servers of those formats
// make of them.
func TestClassifyFormats(t *testing.T) {
	class := func(c nightshift.ErrorClass) verdict { return verdict{class: c} }
	coded := func(c nightshift.ErrorClass, code string) verdict { return verdict{class: c, code: code} }
	const tooBig = "Request too large for gpt-4o on tokens per min (TPM): Limit 1, Requested 30."
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   verdict
	}{
		{"precondition, location", 400,
			google(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", ""),
			class(nightshift.ClassPermission)},
		{"precondition, billing", 400,
			google(400, "FAILED_PRECONDITION",
				"Gemini API free tier is not available in your country. Please enable billing on your project.", ""),
			class(nightshift.ClassPermission)},
		{"precondition in a stream", 0, google(400, "FAILED_PRECONDITION", "Please enable billing.", ""),
			class(nightshift.ClassPermission)},
		{"precondition, a file of the row", 400,
			google(400, "FAILED_PRECONDITION", "The File abc is not in an ACTIVE state and usage is not allowed.", ""),
			class(nightshift.ClassInvalidRequest)},
		{"Fireworks suspended", 412,
			`{"error":{"code":"FAILED_PRECONDITION","message":"Account x is suspended, possibly due to reaching ` +
				`the monthly spending limit"}}`, class(nightshift.ClassQuota)},
		{"key expired", 400,
			google(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.",
				`{"reason":"API_KEY_INVALID"}`), class(nightshift.ClassAuth)},
		{"key expired behind Chat", 400,
			`{"error":{"message":"API key expired. Please renew the API key.","type":"upstream_error","code":400}}`,
			class(nightshift.ClassAuth)},
		{"key not found", 400, google(400, "INVALID_ARGUMENT", "API Key not found. Please pass a valid API key.", ""),
			class(nightshift.ClassAuth)},
		{"high demand", 503,
			google(503, "UNAVAILABLE",
				"This model is currently experiencing high demand. Spikes in demand are usually temporary.", ""),
			class(nightshift.ClassOverloaded)},
		{"high demand in a stream", 0,
			google(503, "UNAVAILABLE", "This model is currently experiencing high demand.", ""),
			class(nightshift.ClassOverloaded)},
		{"cancelled", 499, google(499, "CANCELLED", "The operation was cancelled.", ""), class(nightshift.ClassServer)},
		{"cancelled in a stream", 0, google(499, "CANCELLED", "The operation was cancelled.", ""),
			class(nightshift.ClassServer)},
		{"deadline", 504, google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", ""),
			class(nightshift.ClassServer)},
		{"payload size", 400,
			google(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.", ""),
			class(nightshift.ClassTooLarge)},

		{"flat event", 0,
			`{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null,"sequence_number":2}`,
			coded(nightshift.ClassRateLimit, "rate_limit_exceeded")},
		{"flat event of the server", 0, `{"type":"error","code":"server_error","message":"sorry","param":null}`,
			coded(nightshift.ClassServer, "server_error")},
		{"flat event, prompt", 0, `{"type":"error","code":"invalid_prompt","message":"no","param":null}`,
			coded(nightshift.ClassContentPolicy, "invalid_prompt")},
		{"too large, flat", 0, `{"type":"error","code":"rate_limit_exceeded","message":"` + tooBig + `"}`,
			class(nightshift.ClassExceedsLimit)},
		{"too large, nested", 0,
			`{"type":"error","error":{"type":"tokens","code":"rate_limit_exceeded","message":"` + tooBig + `"}}`,
			class(nightshift.ClassExceedsLimit)},
		{"too large, failed", 0,
			`{"type":"response.failed","response":{"object":"response","status":"failed",` +
				`"error":{"code":"rate_limit_exceeded","message":"` + tooBig + `"}}}`, class(nightshift.ClassExceedsLimit)},
		{"too large, whole", 200,
			`{"object":"response","status":"failed","output":[],"error":{"code":"rate_limit_exceeded",` +
				`"message":"` + tooBig + `"}}`, class(nightshift.ClassExceedsLimit)},
		{"failed and no word", 0,
			`{"type":"response.failed","response":{"id":"r","object":"response","status":"failed","error":null,` +
				`"output":[]}}`, class(nightshift.ClassServer)},
		{"failed and no word, whole", 200, `{"id":"r","object":"response","status":"failed","error":null,"output":[]}`,
			class(nightshift.ClassServer)},
		{"cancelled answer", 200, `{"id":"r","object":"response","status":"cancelled","error":null,"output":[]}`,
			class(nightshift.ClassServer)},
		{"failed, no quota", 200,
			`{"object":"response","status":"failed","error":{"code":"insufficient_quota","message":"x"},"output":[]}`,
			coded(nightshift.ClassQuota, "insufficient_quota")},
		{"failed, no store", 200,
			`{"object":"response","status":"failed","error":{"code":"vector_store_timeout","message":"x"}}`,
			class(nightshift.ClassServer)},
		{"failed, policy", 200, `{"object":"response","status":"failed","error":{"code":"bio_policy","message":"x"}}`,
			class(nightshift.ClassContentPolicy)},
		{"failed, picture", 200,
			`{"object":"response","status":"failed","error":{"code":"image_content_policy_violation","message":"x"}}`,
			class(nightshift.ClassContentPolicy)},
		{"failed, picture too large", 200,
			`{"object":"response","status":"failed","error":{"code":"image_too_large","message":"x"}}`,
			class(nightshift.ClassInvalidRequest)},
		{"failed, no picture", 200,
			`{"object":"response","status":"failed","error":{"code":"failed_to_download_image","message":"x"}}`,
			class(nightshift.ClassInvalidRequest)},
		{"failed, residency", 200,
			`{"object":"response","status":"failed","error":{"code":"data_residency_mismatch","message":"x"}}`,
			class(nightshift.ClassPermission)},
		{"code before prose", 0,
			`{"type":"error","error":{"code":"rate_limit_exceeded","message":"Rate limit reached. Try again, or ` +
				`reduce the length of the messages."}}`, class(nightshift.ClassRateLimit)},
		{"code before prose, quota", 0,
			`{"type":"error","error":{"code":"insufficient_quota","message":"The prompt is too long for the credit ` +
				`that is left."}}`, class(nightshift.ClassQuota)},

		{"no such model, as Responses say it", 400,
			`{"error":{"message":"The requested model 'x' does not exist.","type":"invalid_request_error",` +
				`"param":"model","code":"model_not_found"}}`, class(nightshift.ClassNotFound)},
		{"xAI's bad key", 400,
			`{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from ` +
				`https://console.x.ai."}`, coded(nightshift.ClassAuth, "invalid-argument")},
		{"xAI's unknown model", 400, `{"code":"invalid-argument","error":"Model not found: grok-x"}`,
			class(nightshift.ClassNotFound)},
		{"xAI's bad request", 400, `{"code":"invalid-argument","error":"temperature must be below 2"}`,
			class(nightshift.ClassInvalidRequest)},
		{"detail, token", 401, `{"detail":"Could not parse your authentication token."}`, class(nightshift.ClassAuth)},
		{"detail, model", 400,
			`{"detail":"The 'gpt-x' model is not supported when using Codex with a ChatGPT account."}`,
			class(nightshift.ClassNotFound)},
		{"detail in an array", 400, `[{"detail":"bad"}]`, class(nightshift.ClassInvalidRequest)},
		{"an error in an array", 500,
			`[{"error":{"code":500,"message":"Internal error encountered.","errors":[{"reason":"backendError"}],` +
				`"status":"INTERNAL"}}]`, class(nightshift.ClassServer)},

		{"a chat model asked for a text", 404,
			`{"error":{"message":"This is a chat model and not supported in the v1/completions endpoint. Did you ` +
				`mean to use v1/chat/completions?","type":"invalid_request_error","param":"model","code":null}}`,
			class(nightshift.ClassNotFound)},
		{"a model not to be sampled from", 403,
			`{"error":{"message":"You are not allowed to sample from this model","type":"invalid_request_error",` +
				`"param":null,"code":null}}`, verdict{class: nightshift.ClassPermission, ofModel: true}},
		{"a model without access", 403,
			`{"error":{"message":"You don't have access to the model with the specified model ID.",` +
				`"type":"permission_error"}}`, verdict{class: nightshift.ClassPermission, ofModel: true}},
		{"any other 403", 403,
			`{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden"}}`,
			class(nightshift.ClassPermission)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.check(t, tc.body, Classify(tc.status, nil, []byte(tc.body)))
		})
	}
}

// What concerns one model leaves the endpoint to the others.
func TestPolicyOfModel(t *testing.T) {
	for _, class := range []nightshift.ErrorClass{nightshift.ClassQuota, nightshift.ClassPermission} {
		if p := PolicyOf(&nightshift.Error{Class: class, OfModel: true}); p.StopsEndpoint || !p.StopsModel {
			t.Errorf("%s of a model: %+v", class, p)
		}
		if p := PolicyOf(&nightshift.Error{Class: class}); !p.StopsEndpoint || p.StopsModel {
			t.Errorf("%s: %+v", class, p)
		}
	}
}
