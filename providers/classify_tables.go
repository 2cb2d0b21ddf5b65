package providers

import (
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/pattern"
)

// byStatus is what a status means when nothing in the body says more. 0, the
// inside of a stream, is a server's fault.
func byStatus(status int) nightshift.ErrorClass {
	switch status {
	case 400, 406, 411, 412, 415, 422:
		return nightshift.ClassInvalidRequest
	case 401, 407:
		return nightshift.ClassAuth
	case 402:
		return nightshift.ClassQuota
	case 403, 451:
		return nightshift.ClassPermission
	case 404, 405, 410, 501:
		return nightshift.ClassNotFound
	case 408, 409, 425:
		return nightshift.ClassConflict
	case 413, 414, 431:
		return nightshift.ClassTooLarge
	case 429:
		return nightshift.ClassRateLimit
	case 498: // Groq's flex tier
		return nightshift.ClassNoCapacity
	case 529:
		return nightshift.ClassOverloaded
	}
	if status >= 400 && status < 498 {
		return nightshift.ClassInvalidRequest
	}
	if status >= 200 && status < 300 {
		return nightshift.ClassBadResponse
	}
	return nightshift.ClassServer
}

// specificWords are codes and types that say what is the matter whatever the
// status: OpenAI, Anthropic, Azure, Google, one-api and new-api, and the
// servers people run themselves.
var specificWords = map[string]nightshift.ErrorClass{
	"insufficient_quota":             nightshift.ClassQuota,
	"insufficient_quota_error":       nightshift.ClassQuota,
	"credit_balance_exhausted":       nightshift.ClassQuota,
	"billing_not_active":             nightshift.ClassQuota,
	"billing_hard_limit_reached":     nightshift.ClassQuota,
	"quota_exceeded":                 nightshift.ClassQuota,
	"insufficient_balance":           nightshift.ClassQuota,
	"insufficient_credits":           nightshift.ClassQuota,
	"insufficient_user_quota":        nightshift.ClassQuota,
	"pre_consume_token_quota_failed": nightshift.ClassQuota,
	"billing_error":                  nightshift.ClassQuota,
	"payment_required":               nightshift.ClassQuota,
	"exceeded_current_quota_error":   nightshift.ClassQuota, // Moonshot
	"quotaexceeded":                  nightshift.ClassQuota, // Google's reason, Volcengine Ark
	"dailylimitexceeded":             nightshift.ClassQuota, // Google's reason
	"accountoverdueerror":            nightshift.ClassQuota, // Volcengine Ark, its table of errors, with 403
	"operationdenied.serviceoverdue": nightshift.ClassQuota, // the same
	"arrearage":                      nightshift.ClassQuota, // DashScope, its table of errors, with 400
	"prepaidbilloverdue":             nightshift.ClassQuota, // the same, with 429
	"postpaidbilloverdue":            nightshift.ClassQuota, // the same
	"commoditynotpurchased":          nightshift.ClassQuota, // the same
	"allocationquota.freetieronly":   nightshift.ClassQuota, // the same, with 403

	"account_deactivated":          nightshift.ClassPermission,
	"access_terminated":            nightshift.ClassPermission,
	"access_denied":                nightshift.ClassPermission,
	"permission_error":             nightshift.ClassPermission,
	"permission_denied":            nightshift.ClassPermission,
	"unsupported_country":          nightshift.ClassPermission,
	"unsupported_country_region":   nightshift.ClassPermission,
	"request_forbidden":            nightshift.ClassPermission,
	"organization_restricted":      nightshift.ClassPermission,
	"model_terms_required":         nightshift.ClassPermission,
	"data_residency_mismatch":      nightshift.ClassPermission, // OpenAI, of an answer that failed
	"service_disabled":             nightshift.ClassPermission,
	"permissiondenied":             nightshift.ClassPermission,
	"invalid_api_key":              nightshift.ClassAuth,
	"api_key_invalid":              nightshift.ClassAuth,
	"authentication_error":         nightshift.ClassAuth,
	"invalid_authentication":       nightshift.ClassAuth,
	"invalid_authentication_error": nightshift.ClassAuth, // Moonshot
	"incorrect_api_key_error":      nightshift.ClassAuth,
	"unauthenticated":              nightshift.ClassAuth,
	"unauthorized":                 nightshift.ClassAuth,
	"invalid_token":                nightshift.ClassAuth,
	"auth_error":                   nightshift.ClassAuth, // LiteLLM
	"token_expired":                nightshift.ClassAuth,
	"no_db_connection":             nightshift.ClassAuth, // LiteLLM's proxy without a database: any key but its own
	"model_not_found":              nightshift.ClassNotFound,
	"model_not_found_error":        nightshift.ClassNotFound,
	"model_not_exist":              nightshift.ClassNotFound,
	"unknown_model":                nightshift.ClassNotFound,
	"invalid_model":                nightshift.ClassNotFound,
	"not_found_error":              nightshift.ClassNotFound,
	"deploymentnotfound":           nightshift.ClassNotFound,
	"notfounderror":                nightshift.ClassNotFound, // vLLM
	"resource_not_found_error":     nightshift.ClassNotFound, // Moonshot
	"get_channel_failed":           nightshift.ClassNotFound,
	"api_not_implemented":          nightshift.ClassNotFound,
	"model_decommissioned":         nightshift.ClassNotFound,
	// new-api: nobody has set the model's price, so it is not served
	"model_price_error":             nightshift.ClassNotFound,
	"content_filter":                nightshift.ClassContentPolicy,
	"content_policy_violation":      nightshift.ClassContentPolicy,
	"content_policy":                nightshift.ClassContentPolicy,
	"contentpolicyviolationerror":   nightshift.ClassContentPolicy, // LiteLLM
	"moderation_error":              nightshift.ClassContentPolicy,
	"responsibleaipolicyviolation":  nightshift.ClassContentPolicy,
	"moderation_blocked":            nightshift.ClassContentPolicy,
	"sensitive_words_detected":      nightshift.ClassContentPolicy,
	"prompt_blocked":                nightshift.ClassContentPolicy,
	"data_inspection_failed":        nightshift.ClassContentPolicy, // DashScope
	"contentfilter":                 nightshift.ClassContentPolicy,
	"invalid_prompt":                nightshift.ClassContentPolicy, // OpenAI: flagged as violating the usage policy
	"bio_policy":                    nightshift.ClassContentPolicy, // OpenAI, of an answer that failed
	"cyber_policy":                  nightshift.ClassContentPolicy, // the same
	"overloaded_error":              nightshift.ClassOverloaded,
	"engine_overloaded_error":       nightshift.ClassOverloaded, // Moonshot
	"service_unavailable_error":     nightshift.ClassOverloaded,
	"unavailable_error":             nightshift.ClassOverloaded, // llama.cpp while loading
	"capacity_exceeded":             nightshift.ClassOverloaded,
	"server_is_overloaded":          nightshift.ClassOverloaded, // OpenAI, in a stream
	"engine_overloaded":             nightshift.ClassOverloaded, // DeepInfra: "Model busy, retry later"
	"serveroverloaded":              nightshift.ClassOverloaded, // Volcengine Ark
	"rate_limit_error":              nightshift.ClassRateLimit,
	"rate_limit_exceeded":           nightshift.ClassRateLimit,
	"rate_limit_reached_error":      nightshift.ClassRateLimit, // Moonshot
	"ratelimitreached":              nightshift.ClassRateLimit, // Azure
	"too_many_requests":             nightshift.ClassRateLimit,
	"throttling":                    nightshift.ClassRateLimit,
	"throttlingexception":           nightshift.ClassRateLimit,
	"too_many_requests_error":       nightshift.ClassRateLimit, // Cerebras
	"request_quota_exceeded":        nightshift.ClassRateLimit, // Cerebras: per minute, hour or day, as the message says
	"token_quota_exceeded":          nightshift.ClassRateLimit, // the same
	"throttling.ratequota":          nightshift.ClassRateLimit, // DashScope: requests a minute
	"throttling.allocationquota":    nightshift.ClassRateLimit, // DashScope: tokens a minute
	"throttling.burstrate":          nightshift.ClassRateLimit, // DashScope: the rate rose too fast
	"limit_requests":                nightshift.ClassRateLimit, // the same over Chat Completions
	"limitrequests":                 nightshift.ClassRateLimit,
	"limit_burst_rate":              nightshift.ClassRateLimit,
	"requestbursttoofast":           nightshift.ClassRateLimit, // Volcengine Ark
	"inflightbatchsizeexceeded":     nightshift.ClassRateLimit, // Volcengine Ark: requests in flight
	"request_too_large":             nightshift.ClassTooLarge,
	"invalid_request":               nightshift.ClassInvalidRequest, // new-api, with a 500
	"unsupported_parameter":         nightshift.ClassInvalidRequest,
	"unsupported_value":             nightshift.ClassInvalidRequest,
	"missing_required_parameter":    nightshift.ClassInvalidRequest,
	"invalid_value":                 nightshift.ClassInvalidRequest,
	"empty_array":                   nightshift.ClassInvalidRequest,
	"tool_use_failed":               nightshift.ClassInvalidRequest, // Groq: the model wrote a bad call
	"convert_request_failed":        nightshift.ClassInvalidRequest,
	"do_request_failed":             nightshift.ClassServer,
	"empty_response":                nightshift.ClassServer,
	"read_response_body_failed":     nightshift.ClassServer,
	"bad_response_body":             nightshift.ClassServer,
	"new_api_panic":                 nightshift.ClassServer,
	"one_api_panic":                 nightshift.ClassServer,
	"insufficient_system_resource":  nightshift.ClassServer,
	"prompt_too_long_for_cache_ttl": nightshift.ClassInvalidRequest,
}

// wordPatterns are families of codes.
var wordPatterns = []struct {
	prefix, part, suffix string
	class                nightshift.ErrorClass
}{
	{"entitlement_", "", "_limit_exceeded", nightshift.ClassQuota},
	{"channel:", "", "", nightshift.ClassServer},
	{"", "content_policy", "", nightshift.ClassContentPolicy},
	{"", "_image", "", nightshift.ClassInvalidRequest}, // OpenAI: a dozen codes of pictures that cannot be used
	{"image_", "", "", nightshift.ClassInvalidRequest},
	{"empty_image", "", "", nightshift.ClassInvalidRequest},
	// Volcengine Ark: ModelAccountTpmRateLimitExceeded and its family
	{"", "ratelimitexceeded", "", nightshift.ClassRateLimit},
}

// failedPrecondition is Google's word for a request that the account may not
// make: from this place, or without a billing account.
const failedPrecondition = "failed_precondition"

// genericWords are types that say no more than a status does.
var genericWords = map[string]nightshift.ErrorClass{
	"invalid_request_error": nightshift.ClassInvalidRequest,
	"invalid_argument":      nightshift.ClassInvalidRequest,
	"badrequesterror":       nightshift.ClassInvalidRequest,
	"badrequest":            nightshift.ClassInvalidRequest,
	failedPrecondition:      nightshift.ClassPermission,
	"not_found":             nightshift.ClassNotFound,
	"resource_exhausted":    nightshift.ClassRateLimit,
	"requests":              nightshift.ClassRateLimit,
	"tokens":                nightshift.ClassRateLimit,
	"conflict_error":        nightshift.ClassConflict,
	"timeout_error":         nightshift.ClassServer,
	"api_error":             nightshift.ClassServer,
	"server_error":          nightshift.ClassServer,
	"internal_server_error": nightshift.ClassServer,
	"internalservererror":   nightshift.ClassServer,
	"internal":              nightshift.ClassServer,
	"unavailable":           nightshift.ClassOverloaded,
	"deadline_exceeded":     nightshift.ClassServer,
	"upstream_error":        nightshift.ClassServer,
	"new_api_error":         nightshift.ClassServer,
}

// zhipuCodes are Zhipu's error.code texts, sent with several statuses.
var zhipuCodes = map[string]nightshift.ErrorClass{
	"1000": nightshift.ClassAuth,
	"1001": nightshift.ClassAuth,
	"1002": nightshift.ClassAuth,
	"1003": nightshift.ClassAuth,
	"1004": nightshift.ClassAuth,
	"1112": nightshift.ClassPermission, // account locked
	"1113": nightshift.ClassQuota,      // in arrears
	"1121": nightshift.ClassPermission, // account locked
	"1211": nightshift.ClassNotFound,
	"1220": nightshift.ClassPermission,
	"1210": nightshift.ClassInvalidRequest,
	"1213": nightshift.ClassInvalidRequest,
	"1214": nightshift.ClassInvalidRequest,
	"1215": nightshift.ClassInvalidRequest,
	"1234": nightshift.ClassServer, // network trouble of theirs
	"1261": nightshift.ClassContextLength,
	"1301": nightshift.ClassContentPolicy,
	"1302": nightshift.ClassRateLimit,
	"1303": nightshift.ClassRateLimit,
	"1304": nightshift.ClassQuota, // calls of the day
	"1305": nightshift.ClassOverloaded,
	"1308": nightshift.ClassQuota,
	"1309": nightshift.ClassQuota,
	"1310": nightshift.ClassQuota,
}

// minimaxCodes are MiniMax's base_resp.status_code, often on HTTP 200.
var minimaxCodes = map[string]nightshift.ErrorClass{
	"1000": nightshift.ClassServer,
	"1001": nightshift.ClassServer,
	"1002": nightshift.ClassRateLimit,
	"1004": nightshift.ClassAuth,
	"1008": nightshift.ClassQuota,
	"1013": nightshift.ClassServer,
	"1024": nightshift.ClassServer,
	"1026": nightshift.ClassContentPolicy,
	"1027": nightshift.ClassContentPolicy,
	"1033": nightshift.ClassServer,
	"1039": nightshift.ClassRateLimit,
	"2013": nightshift.ClassInvalidRequest,
	"2049": nightshift.ClassAuth,
}

var lengthWords = map[string]bool{
	"context_length_exceeded":   true,
	"exceed_context_size_error": true,
	"too_many_prompt_tokens":    true,
}

var lengthPhrases = []string{
	"prompt is too long",
	"input is too long",
	"exceed context limit",
	"maximum context length",
	"context length is",
	"context_length_exceeded",
	"available context size",
	"context size has been exceeded",
	"prompt too long",
	"total length of all messages is too long",
	"exceeds the maximum number of tokens",
	"input token count",
	"reduce the length of the messages",
}

// A phrase is a part of a message, in lower case, that says what is the matter.
// It counts for the statuses it was seen with only; 0 is a claimed success.
type phrase struct {
	text     string
	statuses []int
	class    nightshift.ErrorClass
}

// decisivePhrases outweigh every code and type beside them: gateways put a
// code of their own, or an upstream's, beside words that say more.
var decisivePhrases = []phrase{
	// one-api and new-api: the upstream of a group is full. Beside it stands
	// any code of the upstream, insufficient_quota too.
	{"负载已饱和", []int{429}, nightshift.ClassRateLimit},
	{"负载已饱和", []int{0, 500, 503}, nightshift.ClassOverloaded},

	// one-api and new-api reserve what a request may cost; in Messages format
	// no code says so.
	{"quota is not enough", []int{0, 403, 429}, nightshift.ClassQuota},
	{"pre-consumed quota failed", []int{0, 403, 429, 500}, nightshift.ClassQuota},
	{"pre-consume token quota failed", []int{0, 403, 429, 500}, nightshift.ClassQuota},
	{"预扣费额度失败", []int{0, 403, 429, 500}, nightshift.ClassQuota},
	{"剩余额度", []int{0, 403, 429}, nightshift.ClassQuota},

	// new-api: nobody has set a price for the model, so it is not served.
	{"价格未配置", []int{0, 400, 403, 500}, nightshift.ClassNotFound},
	{"ratio or price not set", []int{0, 400, 403, 500}, nightshift.ClassNotFound},

	// DashScope over Chat Completions: tokens a minute, beside insufficient_quota.
	{"free allocated quota exceeded", []int{0, 403, 429}, nightshift.ClassQuota},
	{"allocated quota exceeded", []int{0, 403, 429}, nightshift.ClassRateLimit},

	{"contentpolicyviolationerror", []int{0, 400, 403, 500}, nightshift.ClassContentPolicy}, // LiteLLM
	{"our safety system", []int{0, 400, 403, 500}, nightshift.ClassContentPolicy},           // OpenAI through LiteLLM
}

// phrases are what messages say where codes say nothing.
var phrases = []phrase{
	{"credit balance is too low", []int{0, 400, 402, 403, 429}, nightshift.ClassQuota},
	{"spend limit", []int{0, 400, 403, 429}, nightshift.ClassQuota},
	{"spending limit", []int{0, 400, 403, 412, 429}, nightshift.ClassQuota}, // xAI, Fireworks with 412
	{"spend cap", []int{0, 400, 403, 429}, nightshift.ClassQuota},           // Gemini
	{"spending cap", []int{0, 400, 403, 429}, nightshift.ClassQuota},        // the same
	{"used all available credits", []int{0, 403, 429}, nightshift.ClassQuota},
	{"doesn't have any credits", []int{0, 403, 429}, nightshift.ClassQuota}, // xAI
	{"no credits remaining", []int{0, 402, 403, 429}, nightshift.ClassQuota},
	{"prepayment credits are depleted", []int{0, 403, 429}, nightshift.ClassQuota}, // Gemini
	{"specified api usage limits", []int{0, 400, 403, 429}, nightshift.ClassQuota},
	{"insufficient balance", []int{0, 400, 401, 402, 403, 429}, nightshift.ClassQuota},
	{"balance is insufficient", []int{0, 400, 402, 403, 429}, nightshift.ClassQuota}, // SiliconFlow
	{"insufficient credits", []int{0, 400, 402, 403, 429}, nightshift.ClassQuota},
	{"exceeded your current quota", []int{0, 401, 403, 429}, nightshift.ClassQuota}, // also of a limit per minute
	{"out of call volume quota", []int{403, 429}, nightshift.ClassQuota},            // Azure API Management
	{"额度已用尽", []int{0, 401, 403, 429}, nightshift.ClassQuota},
	{"额度不足", []int{0, 401, 403, 429}, nightshift.ClassQuota},
	{"余额不足", []int{0, 401, 402, 403, 429}, nightshift.ClassQuota},

	{"api key not valid", []int{0, 400, 403}, nightshift.ClassAuth},
	{"api key expired", []int{0, 400, 403}, nightshift.ClassAuth},
	{"api key not found", []int{0, 400, 403}, nightshift.ClassAuth},
	{"incorrect api key", []int{0, 400, 403}, nightshift.ClassAuth},
	{"invalid api key", []int{0, 400, 403}, nightshift.ClassAuth},
	{"无效的令牌", []int{0, 400, 401, 403, 500}, nightshift.ClassAuth},
	{"未认证", []int{0, 400, 403}, nightshift.ClassAuth},                         // CCAPI, its document
	{"no connected db", []int{0, 400, 500}, nightshift.ClassAuth},             // LiteLLM's proxy without a database
	{"location is not supported", []int{400}, nightshift.ClassPermission},     // Gemini
	{"not in an active state", []int{0, 400}, nightshift.ClassInvalidRequest}, // Gemini, of a file of the row
	{"request payload size exceeds", []int{0, 400}, nightshift.ClassTooLarge}, // Gemini
	// Of too many texts, or too much of them, for one request for vectors.
	{"batch size too large", []int{0, 400}, nightshift.ClassTooLarge},            // Mistral
	{"split into more batches", []int{0, 400}, nightshift.ClassTooLarge},         // Mistral
	{"too large to process", []int{0, 400, 500}, nightshift.ClassTooLarge},       // llama.cpp
	{"maximum allowed batch size", []int{0, 413, 422}, nightshift.ClassTooLarge}, // text-embeddings-inference

	{"is not a valid model", []int{0, 400}, nightshift.ClassNotFound},
	{"invalid model name", []int{0, 400}, nightshift.ClassNotFound}, // LiteLLM
	{"model not exist", []int{0, 400}, nightshift.ClassNotFound},
	{"model is not supported when using", []int{0, 400}, nightshift.ClassNotFound}, // ChatGPT's backend
	{"model not found", []int{0, 400, 500}, nightshift.ClassNotFound},
	{"invalid url (", []int{0, 400, 404}, nightshift.ClassNotFound},
	{"无可用渠道", []int{0, 503, 500}, nightshift.ClassNotFound},
	// Portkey: the plan's headers are wrong
	{"invalid provider passed", []int{0, 400}, nightshift.ClassNotFound},
	{"x-portkey-provider header is required", []int{0, 400}, nightshift.ClassNotFound}, // the same
	{"messages is not supported by", []int{500}, nightshift.ClassNotFound},             // Portkey: its route, not the row
	{"only claude model supported convert", []int{500}, nightshift.ClassNotFound},      // new-api of 2025, the same

	{"content management policy", []int{0, 400}, nightshift.ClassContentPolicy},
	{"content filtering policy", []int{0, 400}, nightshift.ClassContentPolicy},
	{"requires moderation", []int{0, 403}, nightshift.ClassContentPolicy},
	{"flagged", []int{403}, nightshift.ClassContentPolicy},
	{"violates our usage policies", []int{0, 400, 403}, nightshift.ClassContentPolicy},
	{"violating our usage policy", []int{0, 400, 403}, nightshift.ClassContentPolicy},
	{"content exists risk", []int{0, 400, 422}, nightshift.ClassContentPolicy}, // DeepSeek

	{"overloaded", []int{0, 500, 502, 503}, nightshift.ClassOverloaded},
	{"at capacity", []int{0, 500, 502, 503}, nightshift.ClassOverloaded},
	{"capacity exceeded", []int{0, 500, 503}, nightshift.ClassOverloaded},
	{"model busy", []int{0, 500, 503}, nightshift.ClassOverloaded},  // DeepInfra
	{"high demand", []int{0, 500, 503}, nightshift.ClassOverloaded}, // Gemini
	{"too many requests", []int{0, 500, 503}, nightshift.ClassRateLimit},

	// A 500 for what the row asks, whatever the server's health.
	{"image input is not supported", []int{0, 500}, nightshift.ClassInvalidRequest}, // llama.cpp without mmproj
	{"does not support", []int{500}, nightshift.ClassInvalidRequest},

	{"litellm.timeout", []int{408}, nightshift.ClassServer}, // the upstream had the request

	// The server saw only a part of the body: it was cut on its way there.
	{"unexpected end of data", []int{400}, nightshift.ClassConflict},
}

// upstreamFailures are the words of gateways that had sent the request on: the
// upstream may have answered, and charged for, it.
var upstreamFailures = []string{
	"litellm.timeout", "litellm.apiconnectionerror", "connection error.", "expecting value: line 1 column 1", // LiteLLM
	"do request failed", "do_request_failed", "read_response_body_failed", "bad_response_body", // new-api, one-api
	"context deadline exceeded", // any gateway in Go
}

// moneyWords speak of an account, not of a limit that a moment's end lifts.
var moneyWords = pattern.Late(`credits?\b|balance|top[- ]?up|recharge|prepaid|spend|payment|overdue|arrear|` +
	`欠费|余额|充值`)

// quotaWords are the words of class quota that servers also use for a limit
// per minute or hour.
var quotaWords = map[string]bool{
	"insufficient_quota":           true, // DashScope; gateways before Gemini
	"insufficient_quota_error":     true,
	"quota_exceeded":               true,
	"exceeded_current_quota_error": true,
	"quotaexceeded":                true,
}

// quotaSuffix ends new-api's family of codes that are used so, too.
const quotaSuffix = "_limit_exceeded"

func byPhrase(table []phrase, message string, status int) (nightshift.ErrorClass, bool) {
	for _, p := range table {
		if strings.Contains(message, p.text) && slices.Contains(p.statuses, status) {
			return p.class, true
		}
	}
	return "", false
}

// shortWindow and longWindow find the time that a limit counts over, in words,
// codes and quota names in lower case: minutes and hours pass while a run
// waits, days do not.
var (
	shortWindow = pattern.Late(`per[ _-]?(minute|second|hour)|\bper[ _-]?(min|sec|hr)\b|\bper \d+ ?(s|sec|` +
		`seconds?|m|min|minutes?|h|hours?)\b|` +
		`\bby(minute|second|hour)|userbymodelby(minute|second)|(requests?|reqs?|tokens?|calls?|` +
		`\d) ?/ ?(\d+ ?)?(min|minutes?|s|sec|seconds?|h|hr|hours?)\b|` +
		`\b(in|within|every|over) \d+ ?(s|sec|seconds?|min|minutes?|h|hrs?|hours?)\b|\b(\w+_)?[rtq]p[ms](_\w+)?\b|` +
		`[rtq]pm(ratelimit|exceeded)|` +
		`\bhourly\b|\b(this|last|current|next|every|each|a|an|one) (minute|hour)\b|\bminute limit|每分钟|每秒|每小时|分钟内|秒内|小时内`)
	longWindow = pattern.Late(`per[ _-]?day|\bper[ _-]?(week|month)|\bdaily\b|(requests?|reqs?|tokens?|` +
		`calls?|\d) ?/ ?(day|week|month)\b|\b(\w+_)?[rt]pd(_\w+)?\b|[rt]pd(ratelimit|exceeded)|` +
		`byday\b|\b86400 ?s|\b24[ -]?h(ours?|rs?)?\b|24 ?小时|\b1440 ?(m|min|分钟)|\bmidnight\b|\btomorrow\b|明天|次日|零点|` +
		`\b(weekly|monthly) (\w+ )?(limit|quota|usage|cap|allowance|credits)|每天|每日|当日|今日|每周|每月|本月`)
	// noQuota is Gemini's way to say that a model is not in the plan at all.
	noQuota = pattern.Late(`\blimit: 0(,|\.?\s|\.?$)`)
)

// requested finds "Limit 6000, Used 10, Requested 7000" in a 429 of OpenAI,
// Groq and their likes.
var requested = pattern.Late(
	`(?i)\blimit:? ([0-9][0-9,]*)(?:, *used:? [0-9][0-9,]*)?, *requested:? ([0-9][0-9,]*)`)

// exceedsLimit reports whether one request alone is larger than the limit, so
// that no waiting lets it pass.
func exceedsLimit(message string) bool {
	m := requested().FindStringSubmatch(message)
	if m == nil {
		return false
	}
	limit, err1 := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	asked, err2 := strconv.ParseFloat(strings.ReplaceAll(m[2], ",", ""), 64)
	return err1 == nil && err2 == nil && asked > limit
}
