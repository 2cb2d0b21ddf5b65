package providers

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   nightshift.ErrorClass // "" for no error
	}{
		{"an answer", 200, `{"choices":[]}`, ""},
		{"an answer after blank lines", 200, "\n\n   \n" + `{"id":"x","choices":[]}`, ""},
		{"Mistral, too many texts", 400,
			`{"object":"error","message":"Batch size too large","type":"invalid_request_batch_error","code":"3210"}`,
			nightshift.ClassTooLarge},
		{"Mistral, too much text", 400,
			`{"object":"error","message":"Too many tokens overall, split into more batches.","code":"3210"}`,
			nightshift.ClassTooLarge},
		{"llama.cpp, too much text", 500,
			`{"error":{"code":500,"message":"input (900 tokens) is too large to process. increase the physical ` +
				`batch size (current batch size: 512)","type":"server_error"}}`, nightshift.ClassTooLarge},
		{"TEI, too many texts", 422,
			`{"error":"batch size 65 > maximum allowed batch size 32","error_type":"Validation"}`, nightshift.ClassTooLarge},
		{"error null beside an answer", 200, `{"error":null,"choices":[{}]}`, ""},
		{"an envelope that went well", 200, `{"success":true,"code":"200","message":"successful","data":{"choices":[]}}`, ""},
		{"envelope code success", 200, `{"code":"success","data":{"content":[]}}`, ""},
		{"base_resp zero", 200, `{"base_resp":{"status_code":0,"status_msg":""},"choices":[{}]}`, ""},
		{"BOM", 200, "\xef\xbb\xbf{\"choices\":[]}", ""},

		{"empty 200", 200, "", nightshift.ClassEmptyResponse},
		{"blank 200", 200, " \n ", nightshift.ClassEmptyResponse},
		{"204", 204, "", nightshift.ClassEmptyResponse},
		{"206", 206, `{"choices":[]}`, nightshift.ClassCut},
		{"101", 101, "", nightshift.ClassBadResponse},
		{"999", 999, "denied", nightshift.ClassBadResponse},
		{"redirect", 307, "", nightshift.ClassRedirect},
		{"html 200", 200, "<!doctype html><title>Console</title>", nightshift.ClassNotAnAPI},
		{"html 403", 403, "<html>Just a moment...</html>", nightshift.ClassPermission},
		{"html 502", 502, "<html>Bad gateway</html>", nightshift.ClassServer},
		{"html 524", 524, "<html>timeout</html>", nightshift.ClassServer},
		{"text 503", 503, "upstream connect error", nightshift.ClassServer},
		{"text 200", 200, "hello", nightshift.ClassBadResponse},
		{"null", 200, "null", nightshift.ClassBadResponse},
		{"number", 200, "42", nightshift.ClassBadResponse},
		{"string", 200, `"ok"`, nightshift.ClassBadResponse},
		{"empty list", 200, `[]`, nightshift.ClassBadResponse},
		{"cut JSON", 200, `{"choices":[{"message":{"con`, nightshift.ClassCut},
		{"garbage after a brace", 200, `{choices}`, nightshift.ClassBadResponse},
		{"empty 429", 429, "", nightshift.ClassRateLimit},
		{"empty 500", 500, "", nightshift.ClassServer},

		{"error object on 200", 200, `{"error":{"message":"x","type":"invalid_request_error"}}`,
			nightshift.ClassInvalidRequest},
		{"error text on 200", 200, `{"error":"boom"}`, nightshift.ClassServer},
		{"status inside on 200", 200, `{"error":{"code":502,"message":"Provider returned error"}}`, nightshift.ClassServer},
		{"overloaded on 200", 200, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`,
			nightshift.ClassOverloaded},
		{"error beside choices", 200, `{"choices":[],"error":{"message":"no","code":429}}`, nightshift.ClassRateLimit},
		{"list of errors", 400,
			`[{"error":{"code":400,"message":"Unknown name \"x\": Cannot find field.","status":"INVALID_ARGUMENT"}}]`,
			nightshift.ClassInvalidRequest},
		{"Gemini bad key", 400,
			`[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.",` +
				`"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]`, nightshift.ClassAuth},
		{"Gemini per day", 429,
			`[{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED",` +
				`"details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]`,
			nightshift.ClassQuota},
		{"Gemini per minute", 429,
			`[{"error":{"code":429,"message":"Quota exceeded for metric, limit: 15","status":"RESOURCE_EXHAUSTED",` +
				`"details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}]}}]`,
			nightshift.ClassRateLimit},
		{"success false", 200, `{"success":false,"code":"401","message":"bad token"}`, nightshift.ClassAuth},
		{"MiniMax no balance", 200, `{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}`,
			nightshift.ClassQuota},
		{"MiniMax content", 200, `{"choices":null,"base_resp":{"status_code":1026,"status_msg":"sensitive"}}`,
			nightshift.ClassContentPolicy},
		{"MiniMax retry", 200, `{"base_resp":{"status_code":1000,"status_msg":"unknown"}}`, nightshift.ClassServer},
		{"MiniMax tokens", 200, `{"base_resp":{"status_code":1039,"status_msg":"tpm"}}`, nightshift.ClassRateLimit},
		{"MiniMax key", 200, `{"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}`, nightshift.ClassAuth},
		{"MiniMax params", 200, `{"base_resp":{"status_code":2013,"status_msg":"bad"}}`, nightshift.ClassInvalidRequest},
		{"Zhipu arrears", 429, `{"error":{"code":"1113","message":"您的账户已欠费"}}`, nightshift.ClassQuota},
		{"Zhipu locked", 429, `{"error":{"code":"1121","message":"locked"}}`, nightshift.ClassPermission},
		{"Zhipu concurrency", 429, `{"error":{"code":"1302","message":"并发数过高"}}`, nightshift.ClassRateLimit},
		{"Zhipu content", 400, `{"error":{"code":"1301","message":"敏感内容"}}`, nightshift.ClassContentPolicy},
		{"Zhipu period", 429, `{"error":{"code":"1308","message":"已达上限"}}`, nightshift.ClassQuota},
		{"old vLLM", 400,
			`{"object":"error","message":"This model's maximum context length is 2048 tokens",` +
				`"type":"BadRequestError","code":400}`, nightshift.ClassContextLength},
		{"old vLLM on 200", 200, `{"object":"error","message":"nope","type":"NotFoundError","code":404}`,
			nightshift.ClassNotFound},
		{"new vLLM", 404,
			`{"error":{"message":"The model x does not exist.","type":"NotFoundError","param":null,"code":404}}`,
			nightshift.ClassNotFound},
		{"llama.cpp context", 400,
			`{"error":{"code":400,"message":"the request exceeds the available context size",` +
				`"type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}}`, nightshift.ClassContextLength},
		{"llama.cpp context 500", 500,
			`{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}`,
			nightshift.ClassContextLength},
		{"llama.cpp loading", 503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`,
			nightshift.ClassOverloaded},
		{"FastAPI", 422, `{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}`,
			nightshift.ClassInvalidRequest},
		{"detail on 200", 200, `{"detail":"Not Found"}`, nightshift.ClassServer},
		{"string too long is not context", 400,
			`{"error":{"message":"string too long","type":"invalid_request_error","param":"user",` +
				`"code":"string_above_max_length"}}`, nightshift.ClassInvalidRequest},

		{"bad token of new-api", 401,
			`{"error":{"message":"无效的令牌 (request id: 2026)","type":"new_api_error","code":""}}`, nightshift.ClassAuth},
		{"token quota on 401", 401,
			`{"error":{"message":"该令牌额度已用尽 (request id: 2026)","type":"new_api_error","code":""}}`, nightshift.ClassQuota},
		{"account quota on 403", 403,
			`{"error":{"message":"x","type":"new_api_error","code":"insufficient_user_quota"}}`, nightshift.ClassQuota},
		{"group on 403", 403, `{"error":{"message":"无权访问","type":"new_api_error","code":"access_denied"}}`,
			nightshift.ClassPermission},
		{"no channel", 503, `{"error":{"message":"当前分组下对于模型 x 无可用渠道","type":"new_api_error","code":"model_not_found"}}`,
			nightshift.ClassNotFound},
		{"no channel in words", 503, `{"error":{"message":"当前分组下对于模型 x 无可用渠道","type":"one_api_error"}}`,
			nightshift.ClassNotFound},
		{"bad request on 500", 500,
			`{"error":{"message":"field model is required","type":"new_api_error","code":"invalid_request"}}`,
			nightshift.ClassInvalidRequest},
		{"blocked words on 500", 500,
			`{"error":{"message":"x","type":"new_api_error","code":"sensitive_words_detected"}}`, nightshift.ClassContentPolicy},
		{"channel trouble", 500, `{"error":{"message":"x","type":"new_api_error","code":"channel:invalid_key"}}`,
			nightshift.ClassServer},
		{"busy over a bill", 429,
			`{"error":{"message":"当前分组上游负载已饱和，请稍后再试","type":"insufficient_quota","code":"insufficient_quota"}}`,
			nightshift.ClassRateLimit},
		{"busy over a 404", 429,
			`{"error":{"message":"当前分组上游负载已饱和，请稍后再试","type":"upstream_error","param":"404",` +
				`"code":"bad_response_status_code"}}`, nightshift.ClassNotFound},
		{"nil type", 502, `{"type":"error","error":{"type":"<nil>","message":"bad gateway"}}`, nightshift.ClassServer},
		{"numeric type", 400, `{"type":"error","error":{"type":"400","message":"x"}}`, nightshift.ClassInvalidRequest},
		{"entitlement", 429, `{"error":{"message":"x","code":"entitlement_tokens_limit_exceeded"}}`, nightshift.ClassQuota},

		{"no credit at Anthropic", 400,
			`{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to ` +
				`access the Anthropic API."}}`, nightshift.ClassQuota},
		{"402", 402, `{"error":{"message":"Insufficient Balance"}}`, nightshift.ClassQuota},
		{"conflict", 409, `{"type":"error","error":{"type":"conflict_error","message":"x"}}`, nightshift.ClassConflict},
		{"body cut in transit", 400,
			`{"type":"error","error":{"type":"invalid_request_error","message":"The request body is not valid ` +
				`JSON: unexpected end of data: line 1 column 9"}}`, nightshift.ClassConflict},
		{"too large for TPM", 429,
			`{"error":{"message":"Request too large for gpt-4 in organization o on tokens per min (TPM): Limit ` +
				`10000, Requested 12000.","type":"tokens","code":"rate_limit_exceeded"}}`, nightshift.ClassExceedsLimit},
		{"fits TPM", 429,
			`{"error":{"message":"Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Used 9000, ` +
				`Requested 2000.","type":"tokens","code":"rate_limit_exceeded"}}`, nightshift.ClassRateLimit},
		{"too large for TPM on 413", 413,
			`{"error":{"message":"Request too large for model on tokens per minute (TPM): Limit 6,000, Requested 7,` +
				`000","type":"tokens","code":"rate_limit_exceeded"}}`, nightshift.ClassExceedsLimit},
		{"per day", 429,
			`{"error":{"message":"Rate limit reached for gpt-4 on requests per day (RPD): Limit 200, Used 200, ` +
				`Requested 1.","type":"requests","code":"rate_limit_exceeded"}}`, nightshift.ClassQuota},
		{"free models", 429, `{"error":{"message":"Rate limit exceeded: free-models-per-day","code":429}}`,
			nightshift.ClassQuota},
		{"deactivated", 401, `{"error":{"message":"x","code":"account_deactivated"}}`, nightshift.ClassPermission},
		{"Groq flex", 498, `{"error":{"message":"capacity","code":"capacity_exceeded"}}`, nightshift.ClassNoCapacity},
		{"xAI bad key", 400,
			`{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}`, nightshift.ClassAuth},
		{"moderation of OpenRouter", 403,
			`{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged"}}`,
			nightshift.ClassContentPolicy},
		{"413 in text", 413, "Request Entity Too Large", nightshift.ClassTooLarge},
		{"425", 425, "", nightshift.ClassConflict},
		{"407", 407, "<html>proxy</html>", nightshift.ClassAuth},
		{"event stream error", 529,
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"," +
				"\"message\":\"Overloaded\"}}\n\n", nightshift.ClassOverloaded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Classify(tc.status, http.Header{}, []byte(tc.body))
			var got nightshift.ErrorClass
			if e != nil {
				got = e.Class
			}
			if got != tc.want {
				t.Errorf("Classify(%d, %s) = %q (%v), want %q", tc.status, tc.body, got, e, tc.want)
			}
		})
	}
}

func TestClassifyMaybeBilled(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   bool
	}{
		{200, "", true},
		{200, `{"choices":[{"mess`, true},
		{200, "garbage", true},
		{200, "<html>", false},
		{200, `{"error":{"message":"x"}}`, false},
		{204, "", true},
		{206, "x", true},
		{400, `{"error":{"message":"x"}}`, false},
		{429, "", false},
		{500, "", false},
		{503, "<html>", false},
		{504, `{"type":"error","error":{"type":"timeout_error","message":"x"}}`, false},
		{504, "<html>gateway timeout</html>", true},
		{524, "<html>", true},
		{999, "x", false},
	} {
		if got := Classify(tc.status, nil, []byte(tc.body)).MaybeBilled; got != tc.want {
			t.Errorf("Classify(%d, %q).MaybeBilled = %v, want %v", tc.status, tc.body, got, tc.want)
		}
	}
}

func TestClassifyMessage(t *testing.T) {
	for _, tc := range []struct {
		body, message, code string
	}{
		{`{"error":{"message":"无效的令牌 (request id: 20260101)","type":"new_api_error","code":""}}`, "无效的令牌", "new_api_error"},
		{`{"error":{"message":"Incorrect API key provided: sk-abcdefghijkl1234. Go","code":"invalid_api_key"}}`,
			"Incorrect API key provided: sk-***. Go", "invalid_api_key"},
		{`{"error":"just words"}`, "just words", ""},
		{`{"msg":"m","code":401}`, "m", "401"},
		{`{"err":"e"}`, "e", ""},
		{`{"error_msg":"em"}`, "em", ""},
		{`{"detail":"d"}`, "d", ""},
		{`{"detail":[{"loc":["body","n",0],"msg":"too many"},{"loc":[],"msg":"two"}]}`, "body.n.0: too many; two", ""},
		{`{"header":{"message":"hm"}}`, "hm", ""},
		{`{"response":{"error":{"message":"re"}}}`, "re", ""},
		{`{"base_resp":{"status_code":1000,"status_msg":"bm"}}`, "bm", "1000"},
		{`{"error":{"code":429,"message":"Provider returned error","metadata":{"provider_name":"Google",` +
			`"raw":"slow down"}}}`, "Provider returned error (Google: slow down)", "429"},
		{`{"error":{"message":"line\n two\ttabs"}}`, "line two tabs", ""},
	} {
		e := Classify(400, nil, []byte(tc.body))
		if e.Message != tc.message || e.Code != tc.code {
			t.Errorf("%s: message %q code %q, want %q %q", tc.body, e.Message, e.Code, tc.message, tc.code)
		}
	}
	long := Classify(400, nil, []byte(`{"error":{"message":"`+strings.Repeat("é", 100_000)+`"}}`))
	if len(long.Message) > maxMessage+4 {
		t.Errorf("message of %d bytes", len(long.Message))
	}
}

// The classes of the recorded errors, read by a person.
func TestClassifyRecorded(t *testing.T) {
	dir := sharedDir(t)
	for file, want := range map[string]nightshift.ErrorClass{
		"chat-error-01":        nightshift.ClassAuth,
		"chat-error-02":        nightshift.ClassNotFound,
		"chat-error-03":        nightshift.ClassInvalidRequest,
		"chat-error-04":        nightshift.ClassInvalidRequest,
		"chat-error-05":        nightshift.ClassAuth,
		"chat-error-06":        nightshift.ClassAuth,
		"chat-error-07":        nightshift.ClassAuth,
		"chat-error-08":        nightshift.ClassContextLength,
		"chat-error-09":        nightshift.ClassContextLength,
		"chat-error-10":        nightshift.ClassRateLimit,
		"chat-error-11":        nightshift.ClassRateLimit,
		"chat-error-12":        nightshift.ClassRateLimit,
		"chat-error-13":        nightshift.ClassServer,
		"chat-filter-02":       nightshift.ClassContentPolicy,
		"chat-groq-03":         nightshift.ClassInvalidRequest,
		"chat-reported-01":     nightshift.ClassQuota,
		"chat-reported-02":     nightshift.ClassQuota,
		"chat-reported-03":     nightshift.ClassRateLimit,
		"chat-reported-04":     nightshift.ClassNotFound,
		"chat-reported-05":     nightshift.ClassRateLimit,
		"messages-error-01":    nightshift.ClassAuth,
		"messages-error-02":    nightshift.ClassContextLength,
		"messages-error-03":    nightshift.ClassNotFound,
		"messages-error-04":    nightshift.ClassInvalidRequest,
		"messages-error-05":    nightshift.ClassRateLimit,
		"messages-error-06":    nightshift.ClassInvalidRequest,
		"messages-reported-01": nightshift.ClassOverloaded,
	} {
		raw, err := os.ReadFile(filepath.Join(dir, "recorded", file+".json"))
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
		h := http.Header{}
		for name, value := range x.Response.Headers {
			h.Set(name, value)
		}
		e := Classify(x.Response.Status, h, []byte(x.Response.Body))
		if e == nil || e.Class != want {
			t.Errorf("%s: %v, want class %s", file, e, want)
		}
	}
}

// sharedDir finds the reference data beside the checkout, which is not part
// of it.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			shared := filepath.Join(dir, "..", "shared")
			if _, err := os.Stat(shared); err != nil {
				t.Skip("needs ../shared, which is not there")
			}
			return shared
		}
	}
	t.Skip("needs ../shared, which is not there")
	return ""
}

func FuzzClassify(f *testing.F) {
	for _, body := range []string{"", "{}", "[]", `{"error":{"code":429}}`, `[{"error":"x"}]`,
		`{"base_resp":{"status_code":1}}`, "<title>x", "data: {",
		`{"error":{"metadata":{"raw":"{\"error\":{\"metadata\":{\"raw\":\"x\"}}}"}}}`} {
		f.Add(200, []byte(body))
		f.Add(429, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := Classify(status, http.Header{}, body)
		if e == nil {
			if !claimsSuccess(status) {
				t.Fatalf("status %d is no error", status)
			}
			return
		}
		if e.Class == "" || e.Status != status || len(e.Message) > maxMessage+4 {
			t.Fatalf("%#v", e)
		}
		PolicyOf(e)
	})
}
