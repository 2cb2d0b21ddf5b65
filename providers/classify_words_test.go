package providers

import (
	"net/http"
	"strings"
	"testing"

	"nightshift"
)

// Limits of a minute, an hour or a day in the words of an empty account, and
// empty accounts in the words of a limit.
func TestClassifyQuotaOrLimit(t *testing.T) {
	const gemini = `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and ` +
		`billing details. WAIT","status":"RESOURCE_EXHAUSTED","details":[{"violations":[VIOLATIONS]},{"retryDelay":"36s"}]}}`
	geminiOf := func(quotaIDs ...string) string {
		var list []string
		for _, id := range quotaIDs {
			list = append(list, `{"quotaId":"`+id+`"}`)
		}
		return strings.Replace(gemini, "VIOLATIONS", strings.Join(list, ","), 1)
	}
	const (
		quota = nightshift.ClassQuota
		limit = nightshift.ClassRateLimit
	)
	for _, tc := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   nightshift.ErrorClass
	}{
		{"Gemini per minute, paid", 429, nil, geminiOf("GenerateContentPaidTierInputTokensPerModelPerMinute"), limit},
		{"Gemini per minute, free", 429, nil,
			"[" + geminiOf("GenerateRequestsPerMinutePerProjectPerModel-FreeTier") + "]", limit},
		{"Gemini per day, whatever the delay", 429, nil, geminiOf("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
			quota},
		{"Gemini tokens per day", 429, nil, geminiOf("GenerateContentInputTokensPerModelPerDay-FreeTier"), quota},
		{"Gemini minute and day: the longest rules", 429, nil,
			geminiOf("GenerateRequestsPerMinutePerProject", "GenerateRequestsPerDayPerProject"), quota},
		{"Gemini without details", 429, nil,
			`{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing ` +
				`details. Please retry in 48.9s.","status":"RESOURCE_EXHAUSTED"}}`, limit},
		{"Gemini without details or delay", 429, nil,
			`{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing ` +
				`details.","status":"RESOURCE_EXHAUSTED"}}`, quota},
		{"Gemini, a model not in the plan", 429, nil,
			`{"error":{"code":429,"message":"You exceeded your current quota. * Quota exceeded for metric: ` +
				`x/free_tier_requests, limit: 0, model: pro\nPlease retry in 5s.","status":"RESOURCE_EXHAUSTED"}}`, quota},
		{"Google, a limit of 0", 429, nil,
			`{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED",` +
				`"details":[{"reason":"RATE_LIMIT_EXCEEDED","metadata":{"quota_limit_value":"0",` +
				`"quota_limit":"RequestsPerMinutePerRegion"}}]}}`, quota},
		{"Vertex", 429, nil,
			`{"error":{"code":429,"message":"Quota exceeded for ` +
				`aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model with base ` +
				`model: x.","status":"RESOURCE_EXHAUSTED"}}`, limit},
		{"Gemini in a gateway's message", 429, nil,
			`{"error":{"message":"Error from provider: You exceeded your current quota, please check your plan. ` +
				`GenerateRequestsPerMinutePerProjectPerModel","type":"rate_limit_error","code":"insufficient_quota"}}`, limit},

		{"OpenAI without money", 429, nil,
			`{"error":{"message":"You exceeded your current quota, please check your plan and billing details.",` +
				`"type":"insufficient_quota","code":"insufficient_quota"}}`, quota},
		{"OpenAI's code of a minute", 429, nil,
			`{"error":{"message":"Quota exceeded: 60 requests per minute","type":"insufficient_quota",` +
				`"code":"insufficient_quota"}}`, limit},
		{"OpenAI's code and a header", 429, http.Header{"Retry-After": {"20"}},
			`{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`, limit},
		{"OpenAI's code and a header of a day", 429, http.Header{"Retry-After": {"86400"}},
			`{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`, quota},
		{"OpenAI's code and its own no", 429, http.Header{"Retry-After": {"20"}, "X-Should-Retry": {"false"}},
			`{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`, quota},
		{"no credits, and a header", 429, http.Header{"Retry-After": {"20"}},
			`{"error":{"message":"You have no credits remaining.","type":"insufficient_quota",` +
				`"code":"credit_balance_exhausted"}}`, quota},
		{"no balance, in a vague code", 429, http.Header{"Retry-After": {"20"}},
			`{"error":{"message":"your balance is used up","code":"insufficient_quota"}}`, quota},
		{"402 with a header", 402, http.Header{"Retry-After": {"20"}},
			`{"error":{"message":"quota exceeded, retry in 3s","code":"quota_exceeded"}}`, quota},

		{"DashScope tokens a minute", 429, nil,
			`{"error":{"message":"Allocated quota exceeded, please increase your quota limit.",` +
				`"type":"insufficient_quota","code":"insufficient_quota"}}`, limit},
		{"DashScope natively", 429, nil,
			`{"code":"Throttling.AllocationQuota","message":"Allocated quota exceeded, please increase your quota ` +
				`limit."}`, limit},
		{"DashScope free tier used up", 429, nil,
			`{"code":"Throttling.AllocationQuota","message":"Free allocated quota exceeded."}`, quota},
		{"DashScope arrears", 400, nil,
			`{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}`, quota},
		{"DashScope requests", 429, nil,
			`{"error":{"message":"You exceeded your current requests list.","code":"limit_requests",` +
				`"type":"limit_requests"}}`, limit},
		{"Ark tokens a minute", 429, nil,
			`{"error":{"code":"ModelAccountTpmRateLimitExceeded","message":"The TPM limit of the account is ` +
				`exceeded","type":"TooManyRequests"}}`, limit},
		{"Ark endpoint", 429, nil,
			`{"error":{"code":"RateLimitExceeded.EndpointRPMExceeded","message":"x","type":"TooManyRequests"}}`, limit},
		{"Ark tokens a day", 429, nil,
			`{"error":{"code":"RateLimitExceeded.FoundationModelTPDExceeded","message":"x","type":"TooManyRequests"}}`, quota},
		{"Ark overdue", 403, nil, `{"error":{"code":"AccountOverdueError","message":"overdue balance"}}`, quota},
		{"Cerebras a minute", 429, nil,
			`{"message":"Tokens per minute limit exceeded - too many tokens processed.",` +
				`"type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}`, limit},
		{"Cerebras a day", 429, nil,
			`{"message":"Tokens per day limit exceeded - too many tokens processed.",` +
				`"type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}`, quota},
		{"Cerebras an hour", 429, nil,
			`{"message":"Requests per hour limit exceeded - too many requests sent.",` +
				`"type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}`, limit},
		{"an hour in words", 429, nil,
			`{"error":{"message":"You have used up your hourly quota","code":"quota_exceeded"}}`, limit},
		{"a day in words", 429, nil,
			`{"error":{"message":"You have used up your daily quota, try again in 3s","code":"quota_exceeded"}}`, quota},
		{"a month in words", 429, nil,
			`{"error":{"message":"Monthly token quota exceeded","code":"rate_limit_exceeded"}}`, quota},
		{"API Management, quota of some minutes", 403, nil,
			`{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:12:30."}`, limit},
		{"API Management, quota of days", 403, nil,
			`{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 3.01:12:30."}`, quota},
		{"GitHub per minute", 429, nil,
			`{"error":{"code":"RateLimitReached","message":"Rate limit of 10 per 60s exceeded for ` +
				`UserByModelByMinute. Please wait 12 seconds before retrying."}}`, limit},
		{"GitHub per day", 429, nil,
			`{"error":{"code":"RateLimitReached","message":"Rate limit of 50 per 86400s exceeded for ` +
				`UserByModelByDay. Please wait 12345 seconds before retrying."}}`, quota},
		{"Moonshot per minute", 429, nil,
			`{"error":{"message":"Your account reached max request TPM, please try again after 1 seconds",` +
				`"type":"exceeded_current_quota_error"}}`, limit},
		{"Moonshot without money", 429, nil,
			`{"error":{"message":"You exceeded your current token quota, please check your account balance",` +
				`"type":"exceeded_current_quota_error"}}`, quota},
		{"xAI without money", 429, nil,
			`{"code":"Some resource has been exhausted","error":"Your team has either used all available credits ` +
				`or reached its monthly spending limit."}`, quota},
		{"Fireworks suspended", 412, nil,
			`{"error":{"message":"Account x is suspended, possibly due to reaching the monthly spending limit"}}`, quota},
		{"SiliconFlow", 403, nil, `{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}`,
			quota},
		{"Chinese a minute", 429, nil, `{"error":{"message":"您的额度已达上限：每分钟 60 次","code":"quota_exceeded"}}`, limit},
		{"Chinese a day", 429, nil, `{"error":{"message":"今日额度已用完，请明天再试","code":"rate_limit_exceeded"}}`, quota},
		{"Chinese a minute, used up", 429, nil, `{"error":{"message":"该令牌每分钟额度已用尽","type":"new_api_error"}}`, limit},
		{"Chinese token used up", 429, nil, `{"error":{"message":"该令牌额度已用尽","type":"new_api_error"}}`, quota},
		{"new-api's entitlement of a minute", 429, nil,
			`{"error":{"message":"60 requests per minute","code":"entitlement_requests_limit_exceeded"}}`, limit},
		{"Google's reason", 403, nil,
			`{"error":{"code":403,"message":"Rate Limit Exceeded","errors":[{"reason":"userRateLimitExceeded"}]}}`, limit},
		{"Google's reason of a day", 403, nil,
			`{"error":{"code":403,"message":"Daily Limit Exceeded","errors":[{"reason":"dailyLimitExceeded"}]}}`, quota},
		{"Google's quota of seconds", 403, nil,
			`{"error":{"code":403,"message":"Quota exceeded: 600 requests in 100 seconds",` +
				`"errors":[{"reason":"quotaExceeded"}]}}`, limit},
		{"until midnight", 429, nil,
			`{"error":{"message":"Your quota is used up until midnight UTC","code":"rate_limit_exceeded"}}`, quota},
		{"24 hours", 429, nil, `{"error":{"message":"50 requests per 24 hours","code":"insufficient_quota"}}`, quota},
		{"five hours", 429, nil,
			`{"error":{"message":"Quota of 50 requests per 5 hours exceeded","code":"insufficient_quota"}}`, limit},
		{"a slash and a number", 429, nil,
			`{"error":{"message":"Quota exceeded (60 requests / 1 minute)","code":"quota_exceeded"}}`, limit},
		{"no balance beside a limit", 429, nil,
			`{"error":{"message":"insufficient balance; free accounts have 3 requests per minute"}}`, quota},
		{"Chinese wait", 429, nil, `{"error":{"message":"配额已用完，请在 30 秒后重试","code":"insufficient_quota"}}`, limit},

		{"LiteLLM over Messages", 429, nil,
			`{"type":"error","error":{"type":"rate_limit_error","message":"litellm.RateLimitError: OpenAIException ` +
				`- You exceeded your current quota, please check your plan and billing details."}}`, quota},
		{"LiteLLM over Messages, a code in the message", 429, nil,
			`{"type":"error","error":{"type":"rate_limit_error","message":"{'error': {'code': 'insufficient_quota'}}"}}`, quota},
		{"a plain rate limit", 429, nil,
			`{"error":{"message":"Rate limit reached on requests per min (RPM): Limit 3 / min. Please try again in ` +
				`20s. Add a payment method to raise it.","type":"requests","code":"rate_limit_exceeded"}}`, limit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if e := Classify(tc.status, tc.header, []byte(tc.body)); e.Class != tc.want {
				t.Errorf("%s: %v, want %s", tc.body, e, tc.want)
			}
		})
	}
}

// What gateways say, as their real builds were seen to.
func TestClassifyGateways(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   nightshift.ErrorClass
		hint   string // a part of it
	}{
		{"one-api is full", 429,
			`{"error":{"message":"当前分组上游负载已饱和，请稍后再试 (request id: 2)","type":"insufficient_quota",` +
				`"code":"insufficient_quota"}}`, nightshift.ClassRateLimit, "try again later"},
		{"new-api is full over Messages", 429,
			`{"type":"error","error":{"type":"insufficient_quota","message":"当前分组上游负载已饱和，请稍后再试"}}`,
			nightshift.ClassRateLimit, ""},
		{"new-api is full with 503", 503, `{"error":{"message":"当前分组上游负载已饱和","type":"new_api_error"}}`,
			nightshift.ClassOverloaded, ""},

		{"reservation, Messages", 403,
			`{"type":"error","error":{"type":"new_api_error","message":"预扣费额度失败, 用户剩余额度: ＄0.003, 需要预扣费额度: ＄0.0075 ` +
				`(request id: 1)"}}`, nightshift.ClassQuota, "lower max_tokens"},
		{"reservation of a token, Messages", 403,
			`{"type":"error","error":{"type":"permission_error","message":"token quota is not enough, token remain ` +
				`quota: ＄0.003, need quota: ＄0.0075"}}`, nightshift.ClassQuota, "lower max_tokens"},
		{"reservation of 2025, Messages", 403,
			`{"type":"error","error":{"type":"new_api_error","message":"chat pre-consumed quota failed, user ` +
				`quota: ＄0.003, need quota: ＄0.0075"}}`, nightshift.ClassQuota, "lower max_tokens"},
		{"reservation, Chat", 403,
			`{"error":{"message":"token quota is not enough, token remain quota: ＄0.003","type":"new_api_error",` +
				`"code":"pre_consume_token_quota_failed"}}`, nightshift.ClassQuota, "lower max_tokens"},

		{"a model without a price", 400, `{"error":{"message":"模型 m 的价格未配置","type":"new_api_error"}}`,
			nightshift.ClassNotFound, "no price"},
		{"a model without a price, long", 500,
			`{"error":{"message":"模型 m 倍率或价格未配置，请联系管理员设置；Model m ratio or price not set, please set or start ` +
				`self-use mode","type":"new_api_error","code":"model_price_error"}}`, nightshift.ClassNotFound, "no price"},

		{"LiteLLM content policy", 400,
			`{"error":{"message":"litellm.BadRequestError: litellm.ContentPolicyViolationError: x","type":null,` +
				`"code":"400"}}`, nightshift.ClassContentPolicy, ""},
		{"LiteLLM safety system", 400,
			`{"error":{"message":"Your request was rejected as a result of our safety system.",` +
				`"type":"invalid_request_error"}}`, nightshift.ClassContentPolicy, ""},
		{"LiteLLM unknown model", 400,
			`{"error":{"message":"/chat/completions: Invalid model name passed in model=nope. Call /v1/models",` +
				`"type":"None","code":"400"}}`, nightshift.ClassNotFound, ""},
		{"LiteLLM wrong key", 400, `{"error":{"message":"No connected db.","type":"no_db_connection","code":"400"}}`,
			nightshift.ClassAuth, ""},
		{"LiteLLM timeout", 408,
			`{"error":{"message":"litellm.Timeout: APITimeoutError - Request timed out.","type":null,"code":"408"}}`,
			nightshift.ClassServer, ""},
		{"CCAPI wrong key", 400, `{"error":{"message":"未认证","type":"invalid_request_error"}}`, nightshift.ClassAuth, ""},
		{"Portkey without a provider", 400,
			`{"status":"failure","message":"Either x-portkey-config or x-portkey-provider header is required"}`,
			nightshift.ClassNotFound, "headers"},
		{"Portkey with a wrong one", 400, `{"status":"failure","message":"Invalid provider passed"}`,
			nightshift.ClassNotFound, "headers"},
		{"Portkey, format not served", 500, `{"status":"failure","message":"messages is not supported by openai"}`,
			nightshift.ClassNotFound, "protocol"},
		{"new-api of 2025, format not served", 500,
			`{"type":"error","error":{"type":"new_api_error","message":"you are using openai channel type with ` +
				`path /v1/messages, only claude model supported convert, but got gpt-4o"}}`, nightshift.ClassNotFound, "protocol"},

		{"llama.cpp, an image", 500,
			`{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may ` +
				`need to provide the mmproj","type":"server_error"}}`, nightshift.ClassInvalidRequest, "--mmproj"},
		{"a 500 for what the row asks", 500,
			`{"error":{"code":500,"message":"This model does not support tools","type":"server_error"}}`,
			nightshift.ClassInvalidRequest, ""},
		{"DeepInfra is busy", 503, `{"error":{"message":"Model busy, retry later"}}`, nightshift.ClassOverloaded, ""},
		{"DeepInfra's detail", 500, `{"detail":{"error":"inference error"}}`, nightshift.ClassServer, ""},
		{"Gemini's country", 400,
			`{"error":{"code":400,"message":"User location is not supported for the API use.",` +
				`"status":"FAILED_PRECONDITION"}}`, nightshift.ClassPermission, ""},
		{"Gemini is full", 503,
			`{"error":{"code":503,"message":"This model is currently experiencing high demand.",` +
				`"status":"UNAVAILABLE"}}`, nightshift.ClassOverloaded, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Classify(tc.status, nil, []byte(tc.body))
			if e.Class != tc.want || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("%s: %v, want %s and %q", tc.body, e, tc.want, tc.hint)
			}
		})
	}
}

// A gateway that had sent the request on may have to pay its upstream.
func TestClassifyUpstreamMaybeBilled(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   bool
	}{
		{408, `{"error":{"message":"litellm.Timeout: APITimeoutError - Request timed out."}}`, true},
		{500, `{"error":{"message":"litellm.InternalServerError: OpenAIException - Connection error."}}`, true},
		{500, `{"error":{"message":"litellm.APIConnectionError: 'usage'"}}`, true},
		{500, `{"error":{"message":"litellm.InternalServerError: Expecting value: line 1 column 1 (char 0)"}}`, true},
		{500, `{"error":{"message":"do request failed","type":"new_api_error","code":"do_request_failed"}}`, true},
		{500, `{"error":{"message":"x","code":"read_response_body_failed"}}`, true},
		{500, `{"error":{"message":"x","code":"bad_response_body"}}`, true},
		{502, `context deadline exceeded`, true},
		{500, `{"error":{"message":"internal error"}}`, false},
		{400, `{"error":{"message":"litellm.BadRequestError: Connection error."}}`, false},
		{429, `{"error":{"message":"litellm.RateLimitError: Connection error."}}`, false},
	} {
		if e := Classify(tc.status, nil, []byte(tc.body)); e.MaybeBilled != tc.want {
			t.Errorf("Classify(%d, %s).MaybeBilled = %v, want %v", tc.status, tc.body, e.MaybeBilled, tc.want)
		}
	}
}

// Errors whose fields stand beside one another, as events of streams have them.
func TestClassifyFlat(t *testing.T) {
	for _, tc := range []struct {
		body    string
		class   nightshift.ErrorClass
		message string
	}{
		{`{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null,"sequence_number":1}`,
			nightshift.ClassRateLimit, "slow down"},
		{`{"type":"error","code":"context_length_exceeded","message":"too long"}`, nightshift.ClassContextLength, "too long"},
		{`{"type":"overloaded_error","message":"Overloaded"}`, nightshift.ClassOverloaded, "Overloaded"},
		{`{"object":"error","message":"bad","type":"BadRequestError","code":400}`, nightshift.ClassInvalidRequest, "bad"},
		{`{"error_type":"rate_limit_error","error_message":"Model busy"}`, nightshift.ClassRateLimit, "Model busy"},
		{`{"detail":{"error":"Model busy, retry later"}}`, nightshift.ClassOverloaded, "Model busy, retry later"},
		{`{"status":"error","message":"oops"}`, nightshift.ClassServer, "oops"},
		{`{"status":"failed","status_code":429,"message":"slow"}`, nightshift.ClassRateLimit, "slow"},
		{`{"error":"Model busy, retry later","code":"engine_overloaded"}`, nightshift.ClassOverloaded,
			"Model busy, retry later"},
		{`{"error":"rate_limit_exceeded","message":"peak hours"}`, nightshift.ClassRateLimit, "peak hours"},
		{`{"code":"429","message":"slow","choices":[]}`, nightshift.ClassRateLimit, "slow"},
	} {
		e := Classify(0, nil, []byte(tc.body))
		if e == nil || e.Class != tc.class || e.Message != tc.message {
			t.Errorf("%s: %v, want %s: %s", tc.body, e, tc.class, tc.message)
		}
	}
	for _, body := range []string{`{"type":"ping"}`, `{"choices":[],"usage":{}}`,
		`{"id":"x","status":"in_progress","choices":[]}`, `{"type":"message","content":[]}`,
		`{"status":"failed","choices":[{}]}`} {
		if e := Classify(0, nil, []byte(body)); e != nil {
			t.Errorf("%s: %v, want no error", body, e)
		}
	}
}

func TestClassifyEvent(t *testing.T) {
	for _, tc := range []struct {
		data    string
		class   nightshift.ErrorClass
		message string
	}{
		{`{"message":"Model busy"}`, nightshift.ClassOverloaded, "Model busy"},
		{`{"error":{"message":"x","code":429}}`, nightshift.ClassRateLimit, "x"},
		{`{"reason":"gone"}`, nightshift.ClassServer, ""},
		{`upstream went away`, nightshift.ClassServer, "the server ended the stream: upstream went away"},
		{``, nightshift.ClassServer, "the server ended the stream: "},
	} {
		e := ClassifyEvent([]byte(tc.data))
		if e == nil || e.Class != tc.class || e.Message != tc.message {
			t.Errorf("%s: %v, want %s: %s", tc.data, e, tc.class, tc.message)
		}
	}
}
