package simulator

import (
	"net/http"
	"strconv"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ratelimit"
	"nightshift/providers/simulator/internal/requests"
)

// A failure is an answer that is an error.
type failure struct {
	status  int
	inner   int    // status told inside a 200
	kind    string // Messages' error type
	code    string // Chat's code
	param   string
	message string
	header  [2]string
	refused *ratelimit.Refusal // the limit that was met; nil for other failures

	raw         bool // body is sent as it is
	contentType string
	body        string
}

// chatTypes translates Messages' error types to Chat's type and code.
var chatTypes = map[string][2]string{
	"invalid_request_error": {"invalid_request_error", ""},
	"authentication_error":  {"invalid_request_error", "invalid_api_key"},
	"billing_error":         {"insufficient_quota", "insufficient_quota"},
	"permission_error":      {"invalid_request_error", "model_not_allowed"},
	"not_found_error":       {"invalid_request_error", "model_not_found"},
	"request_too_large":     {"invalid_request_error", "request_too_large"},
	"rate_limit_error":      {"requests", "rate_limit_exceeded"},
	"api_error":             {"server_error", ""},
	"overloaded_error":      {"server_error", "overloaded"},
	"timeout_error":         {"server_error", "timeout"},
	"conflict_error":        {"invalid_request_error", "conflict"},
}

// errorBody words a failure as the protocol's vendor does.
func (x *exchange) errorBody(f *failure) []byte {
	if f.raw {
		return []byte(f.body)
	}
	switch x.protocol {
	case requests.Messages:
		e := jsontext.Typed(f.kind)
		e.Text("message", f.message)
		o := jsontext.Typed("error")
		o.Object("error", e)
		o.Text("request_id", x.entry.RequestID)
		return o.End()
	case requests.Gemini:
		return x.geminiError(f)
	case requests.Envelope:
		o := jsontext.New()
		o.Raw("success", "false")
		o.Text("code", strconv.Itoa(f.code3()))
		o.Text("message", f.message)
		o.Null("data")
		return o.End()
	}
	e := jsontext.New()
	e.Text("message", f.message)
	kind := chatTypes[f.kind]
	if kind[0] == "" {
		kind[0] = f.kind
	}
	e.Text("type", kind[0])
	if f.param == "" {
		e.Null("param")
	} else {
		e.Text("param", f.param)
	}
	switch {
	case f.code != "":
		e.Text("code", f.code)
	case kind[1] != "":
		e.Text("code", kind[1])
	default:
		e.Null("code")
	}
	o := jsontext.New()
	o.Object("error", e)
	return o.End()
}

func (f *failure) code3() int {
	if f.inner != 0 {
		return f.inner
	}
	return f.status
}

// refuseRequest turns a refused request into a failure.
func refuseRequest(err *requests.Error) *failure {
	status := err.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	f := &failure{status: status, kind: "invalid_request_error", message: err.Message, param: err.Param, code: err.Code}
	if status == http.StatusNotFound {
		f.kind = "not_found_error"
	}
	return f
}

var quotaKinds = []string{"insufficient_quota", "payment", "credit", "forbidden", "token"}

// quotaFailure is how the end of a key's credit shows.
func quotaFailure(kind string) *failure {
	switch kind {
	case "payment":
		return findFault("payment").refuse(nil)
	case "credit":
		return &failure{status: 400, kind: "invalid_request_error",
			message: "Your credit balance is too low to access the API. Please go to Plans & Billing to upgrade or " +
				"purchase credits."}
	case "forbidden":
		return &failure{status: 403, kind: "permission_error", code: "insufficient_user_quota", message: "用户额度不足"}
	case "token":
		return &failure{status: 401, raw: true, contentType: "application/json",
			body: `{"error":{"message":"该令牌额度已用尽 (request id: 20260101000000000000000simulator)",` +
				`"type":"new_api_error","code":""}}`}
	}
	return findFault("quota").refuse(nil)
}
