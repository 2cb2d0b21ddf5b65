package wire_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
)

// readStream is what a wire makes of an event stream.
func readStream(t *testing.T, events string) providers.Exchange {
	prepared := plain
	prepared.Stream = true
	return build(t, endpoint("https://a.test"), answering(strings.NewReader(events))).Send(t.Context(), prepared)
}

// An error in a stream is read whatever shape it has, and never taken for an
// answer that was cut.
func TestErrorEvents(t *testing.T) {
	const (
		chatStart     = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"He"}}]}` + "\n\n"
		messagesStart = `data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":3}}}` + "\n\n" +
			`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"He"}}` + "\n\n"
		chatEnd = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	)
	for _, tc := range []struct {
		name, event string
		class       nightshift.ErrorClass
		message     string
	}{
		{"nested", `data: {"error":{"message":"slow","code":429}}`, nightshift.ClassRateLimit, "slow"},
		{"DeepInfra's detail", `data: {"detail":{"error":"Model busy, retry later"}}`, nightshift.ClassOverloaded,
			"Model busy"},
		{"a message and nothing else, named error", "event: error\ndata: {\"message\":\"Model busy\"}",
			nightshift.ClassOverloaded, "Model busy"},
		{"an unknown field, named error", "event: error\ndata: {\"reason\":\"gone\"}", nightshift.ClassServer, ""},
		{"words, named error", "event: error\ndata: it broke", nightshift.ClassServer, "it broke"},
		{"flat, typed error", `data: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}`,
			nightshift.ClassRateLimit, "slow"},
		{"flat, its type a class", `data: {"type":"overloaded_error","message":"Overloaded"}`,
			nightshift.ClassOverloaded, "Overloaded"},
		{"flat, a code", `data: {"code":"429","message":"slow"}`, nightshift.ClassRateLimit, "slow"},
		{"flat, with prefixes", `data: {"error_type":"rate_limit_error","error_message":"slow"}`,
			nightshift.ClassRateLimit, "slow"},
		{"flat, beside no choices", `data: {"object":"error","message":"slow","code":429,"choices":[]}`,
			nightshift.ClassRateLimit, "slow"},
	} {
		for start, text := range map[string]string{"": "", "chat ": chatStart, "messages ": messagesStart} {
			t.Run(start+tc.name, func(t *testing.T) {
				ex := readStream(t, text+tc.event+"\n\ndata: [DONE]\n\n")
				if ex.Err == nil || ex.Err.Class != tc.class || !strings.Contains(ex.Err.Message, tc.message) {
					t.Fatalf("%v, want %s: %s", ex.Err, tc.class, tc.message)
				}
				if text != "" && !ex.Err.MaybeBilled {
					t.Error("a part of the answer had come: it may have been billed")
				}
			})
		}
		t.Run("after the end "+tc.name, func(t *testing.T) {
			if ex := readStream(t, chatStart+chatEnd+tc.event+"\n\ndata: [DONE]\n\n"); ex.Err != nil ||
				!slices.Contains(ex.Response.Flags, "error_after_end") {
				t.Errorf("the answer was whole: %v, flags %v", ex.Err, ex.Response.Flags)
			}
		})
	}
}

// A limit of tokens a minute fails the rows that are larger than it, and pauses
// the others; a limit of the day says when it ends.
func TestLimitsThatBodiesName(t *testing.T) {
	limit := func(quota, value string) string {
		return `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota.",` +
			`"details":[{"violations":[{"quotaId":"` + quota +
			`","quotaValue":"` + value + `"}]},{"retryDelay":"36s"}]}}]`
	}
	const tokens = "GenerateContentInputTokensPerModelPerMinute"
	for _, tc := range []struct {
		name, body string
		text       int64 // bytes of the prompt
		class      nightshift.ErrorClass
		wait       time.Duration
	}{
		{"larger than the limit", limit(tokens, "1000"), 7000, nightshift.ClassExceedsLimit, 0},
		{"not larger", limit(tokens, "1000"), 5000, nightshift.ClassRateLimit, 36 * time.Second},
		{"requests", limit("GenerateRequestsPerMinutePerProjectPerModel", "5"), 7000, nightshift.ClassRateLimit,
			36 * time.Second},
		{"of the day", limit("GenerateRequestsPerDayPerProjectPerModel", "20"), 10, nightshift.ClassQuota, 8 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			prepared := plain
			prepared.InputText = tc.text
			synctest.Test(t, func(t *testing.T) { // it is midnight in London
				x := build(t, endpoint("https://a.test"), refusing(429, tc.body)).Send(t.Context(), prepared)
				if x.Err == nil || x.Err.Class != tc.class || x.Limits.RetryAfter != tc.wait {
					t.Errorf("%v, after %v, want %s after %v", x.Err, x.Limits.RetryAfter, tc.class, tc.wait)
				}
			})
		})
	}
}

// refusing is a transport that answers with an error.
func refusing(status int, body string) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
			ContentLength: -1}, nil
	}
}

// An answer of a Responses server that says that it failed is an error under
// HTTP 200, whatever it says of why.
func TestAnswersThatFailed(t *testing.T) {
	failed := func(fault string) string {
		return `{"id":"r","object":"response","status":"failed","model":"m","output":[],"error":` + fault + `}`
	}
	const began = `data: {"type":"response.created","response":{"id":"r","object":"response",` +
		`"status":"in_progress","output":[]}}` + "\n\n"
	for _, tc := range []struct {
		name, fault string
		class       nightshift.ErrorClass
		code        string
	}{
		{"no word", `null`, nightshift.ClassServer, ""},
		{"the server", `{"code":"server_error","message":"sorry"}`, nightshift.ClassServer, "server_error"},
		{"no quota", `{"code":"insufficient_quota","message":"x"}`, nightshift.ClassQuota, "insufficient_quota"},
		{"too large for the limit",
			`{"code":"rate_limit_exceeded","message":"Request too large: Limit 1, Requested 30."}`,
			nightshift.ClassExceedsLimit, "rate_limit_exceeded"},
		{"policy", `{"code":"bio_policy","message":"x"}`, nightshift.ClassContentPolicy, "bio_policy"},
	} {
		for how, body := range map[string]string{
			"whole":    failed(tc.fault),
			"streamed": began + `data: {"type":"response.failed","response":` + failed(tc.fault) + "}\n\n",
		} {
			prepared := plain
			prepared.Stream = how == "streamed"
			e := endpoint("https://a.test")
			e.Protocol = nightshift.Responses
			x := build(t, e, answering(strings.NewReader(body))).Send(t.Context(), prepared)
			if x.Err == nil || x.Err.Class != tc.class || tc.code != "" && x.Err.Code != tc.code {
				t.Errorf("%s, %s: %v, want %s %s", tc.name, how, x.Err, tc.class, tc.code)
			}
		}
	}
	flat := began + `data: {"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null,` +
		`"sequence_number":1}` + "\n\n"
	e := endpoint("https://a.test")
	e.Protocol = nightshift.Responses
	prepared := plain
	prepared.Stream = true
	if x := build(t, e, answering(strings.NewReader(flat))).Send(t.Context(), prepared); x.Err == nil ||
		x.Err.Code != "rate_limit_exceeded" {
		t.Errorf("a flat event: %+v", x.Err)
	}
}
