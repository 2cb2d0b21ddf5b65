package providers

import (
	"strings"

	"nightshift"
)

// reservationHint is for gateways that reserve what a request may cost at most.
const reservationHint = "the account's quota does not cover what this request may cost at most: top it up, or " +
	"lower max_tokens"

// hints say what to try where the server's words are known to puzzle people.
// The first that fits is given; an empty class fits all.
var hints = []struct {
	class  nightshift.ErrorClass
	status int    // 0 fits all
	part   string // of code or message, in lower case
	text   string
}{
	{nightshift.ClassInvalidRequest, 0, "use 'max_completion_tokens' instead",
		"this model takes max_completion_tokens: rename the parameter"},
	{nightshift.ClassInvalidRequest, 0, "stream_options",
		"this server does not know stream_options: set include_usage: false for the endpoint"},
	{nightshift.ClassInvalidRequest, 0, "cannot find field",
		"this server refuses parameters it does not know: remove the one it names"},
	{nightshift.ClassInvalidRequest, 0, "must end with a user message",
		"this model takes no prefilled answer: end the conversation with a user message"},
	{nightshift.ClassInvalidRequest, 0, "anthropic-version", "this server wants the header anthropic-version: 2023-06-01"},
	{nightshift.ClassInvalidRequest, 0, "unsupported_parameter", "this model refuses the parameter it names: remove it"},
	{nightshift.ClassInvalidRequest, 0, "unsupported_value", "this model refuses the value it names: change or remove it"},
	{nightshift.ClassInvalidRequest, 0, "api-version",
		"give the api-version as the service's documentation says, in path: …?api-version=…"},
	{nightshift.ClassAuth, 407, "", "the proxy between here and the endpoint wants a password of its own"},
	{nightshift.ClassAuth, 0, "x-api-key", "check the key, and the header it goes in: auth.scheme x-api-key or bearer"},
	{nightshift.ClassAuth, 0, "", "check the key, and how it is sent (auth.scheme)"},
	{nightshift.ClassPermission, 0, "sample from this model",
		"the key may not use this model: choose another, or ask for access to it"},
	{nightshift.ClassPermission, 0, "",
		"the key may not use this: check its rights, the model, the region and the address it is used from"},
	{nightshift.ClassNotFound, 0, "价格未配置",
		"the gateway has no price for this model, so it does not serve it: choose another, or ask its operator"},
	{nightshift.ClassNotFound, 0, "price not set",
		"the gateway has no price for this model, so it does not serve it: choose another, or ask its operator"},
	{nightshift.ClassNotFound, 0, "model_price_error",
		"the gateway has no price for this model, so it does not serve it: choose another, or ask its operator"},
	{nightshift.ClassNotFound, 0, "portkey",
		"this gateway wants to be told where to send requests: set its header under headers: of the endpoint"},
	{nightshift.ClassNotFound, 0, "invalid provider passed",
		"this gateway wants to be told where to send requests: set its header under headers: of the endpoint"},
	{nightshift.ClassNotFound, 0, "this is a chat model", "this model takes conversations only: set protocol to chat"},
	{nightshift.ClassNotFound, 500, "",
		"the gateway serves this model in the other format only: set protocol to chat or messages"},
	{nightshift.ClassNotFound, 0, "invalid url", "the path is wrong: check base_url and path"},
	{nightshift.ClassNotFound, 503, "", "gateways answer so when no channel serves the model: check the model's name"},
	{nightshift.ClassNotFound, 405, "", "the path is wrong: check base_url and path"},
	{nightshift.ClassNotFound, 0, "web page", "the path is wrong: check base_url and path"},
	{nightshift.ClassNotFound, 0, "", "check the model's name and the URL"},
	{nightshift.ClassQuota, 0, "预扣费", reservationHint},
	{nightshift.ClassQuota, 0, "剩余额度", reservationHint},
	{nightshift.ClassQuota, 0, "pre-consume", reservationHint},
	{nightshift.ClassQuota, 0, "pre_consume", reservationHint},
	{nightshift.ClassQuota, 0, "quota is not enough", reservationHint},
	{nightshift.ClassQuota, 0, "per day", "a limit of the day is used up: go on after its reset"},
	{nightshift.ClassQuota, 0, "daily", "a limit of the day is used up: go on after its reset"},
	{nightshift.ClassQuota, 0, "", "the account has no money or quota left: top it up, then run the same command again"},
	{nightshift.ClassRateLimit, 0, "负载已饱和",
		"the gateway's own upstream is full, or has no quota left: its words are to try again later"},
	{nightshift.ClassInvalidRequest, 500, "image input is not supported",
		"this server was started without its image model (llama.cpp: --mmproj)"},
	{nightshift.ClassExceedsLimit, 0, "", "this row alone is larger than the rate limit: shorten it or lower max_tokens"},
	{nightshift.ClassContextLength, 0, "", "shorten the prompt, lower max_tokens, or choose a model with a larger window"},
	{nightshift.ClassTooLarge, 0, "", "the request has too many bytes: send fewer or smaller images"},
	{nightshift.ClassRedirect, 0, "", "set base_url to where the server redirects, if you trust it with the key"},
	{nightshift.ClassNotAnAPI, 0, "", "the URL is not that of an API: check base_url and path"},
}

func hintFor(e *nightshift.Error) string {
	said := strings.ToLower(e.Code + " " + e.Message)
	for _, h := range hints {
		if h.class == e.Class && (h.status == 0 || h.status == e.Status) && strings.Contains(said, h.part) {
			return h.text
		}
	}
	return ""
}
