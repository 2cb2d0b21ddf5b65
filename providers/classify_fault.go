package providers

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"nightshift"
)

// A fault is what a JSON body says about an error, in the words of whichever
// server wrote it.
type fault struct {
	found     bool
	status    int      // an HTTP status inside the body; 0 without one
	words     []string // codes and types in lower case, the most specific first
	code      string   // as written, for people
	param     string
	message   string
	requestID string
	limits    []hitLimit                       // those that Google names
	wait      bool                             // the server says when to come back, and soon
	vendor    map[string]nightshift.ErrorClass // table for numeric codes of this body's dialect
}

// jsonObject is a JSON object with its keys' exact case.
type jsonObject = map[string]json.RawMessage

// findFault looks for an error in the places where servers put it.
func findFault(body jsonObject, status int) fault {
	var f fault
	f.requestID = jsonString(body["request_id"])
	f.envelope(body)
	f.errorField(body)
	f.topLevel(body)
	if base := subObject(body, "base_resp"); base != nil {
		f.minimax(base)
	}
	if !claimsSuccess(status) {
		f.found = true
	}
	f.message = firstText(body, f.message)
	f.quotedLimits()
	return f
}

// envelope reads an error that is wrapped once more, as in
// {"response":{"error":…}} and {"data":{"error":…}}.
func (f *fault) envelope(body jsonObject) {
	for _, name := range []string{"response", "data"} {
		inner := subObject(body, name)
		if isSet(inner["error"]) && !isAnswer(inner) && !isSet(body["error"]) {
			f.errorField(inner)
		}
		f.failedResponse(inner)
	}
	f.failedResponse(body)
}

// failedResponse reads the answer of a Responses server that failed and may not
// say why.
func (f *fault) failedResponse(o jsonObject) {
	if f.found || jsonString(o["object"]) != "response" || isSet(o["error"]) {
		return
	}
	if status := jsonString(o["status"]); status == "failed" || status == "cancelled" {
		f.found = true
		f.message = "the server says that the answer is " + status + ", and not why"
	}
}

// errorField reads "error", an object or a text, whatever the status.
func (f *fault) errorField(body jsonObject) {
	if jsonString(body["type"]) == "error" {
		f.found = true
	}
	raw := body["error"]
	if !isSet(raw) {
		return
	}
	if text := jsonString(raw); text != "" {
		f.found = true
		f.note(jsonScalar(body["code"]))
		if said := textOf(body["message"]); said != "" && !strings.Contains(text, " ") { // a code, and its sentence beside it
			f.note(text)
			text = said
		}
		f.message = text
		return
	}
	if !says(raw) && isAnswer(body) {
		return // gateways put an error without a word beside good answers
	}
	e := asMap(raw)
	if e == nil {
		f.found = f.found || string(raw) != "false" && string(raw) != `""` && string(raw) != "0"
		return
	}
	f.found = true
	f.vendor = zhipuCodes
	f.takeError(e)
}

func (f *fault) takeError(e jsonObject) {
	f.param = jsonString(e["param"])
	f.message = textOf(e["message"])
	if f.requestID == "" {
		f.requestID = jsonString(e["request_id"])
	}
	inner := subObject(e, "innererror")
	for _, raw := range []json.RawMessage{e["code"], inner["code"], e["status"], e["type"]} {
		f.note(jsonScalar(raw))
	}
	for _, cause := range asList(e["errors"]) { // Google
		f.note(jsonString(asMap(cause)["reason"]))
	}
	for _, detail := range asList(e["details"]) {
		f.note(jsonString(asMap(detail)["reason"]))
		f.quota(asMap(detail))
	}
	f.openRouter(subObject(e, "metadata"))
}

// openRouter adds the real cause, which OpenRouter keeps beside its own words.
func (f *fault) openRouter(metadata jsonObject) {
	f.note(jsonString(metadata["error_type"]))
	raw := textOf(metadata["raw"])
	if raw == "" || strings.Contains(f.message, raw) {
		return
	}
	if cause := asMap(json.RawMessage(raw)); cause != nil {
		inner := findFault(cause, 0)
		f.words = append(f.words, inner.words...)
		f.limits = append(f.limits, inner.limits...)
		raw = inner.message
	}
	from := jsonString(metadata["provider_name"])
	if from != "" {
		from += ": "
	}
	f.message = strings.TrimSpace(f.message + " (" + from + raw + ")")
}

// topLevel reads errors that are the whole body: success:false, old vLLM,
// FastAPI's detail, a code beside no answer, and events of type error whose
// fields are flat.
func (f *fault) topLevel(body jsonObject) {
	flat := f.found && !isSet(body["error"])
	if f.found && !flat || isAnswer(body) || isAnswer(subObject(body, "data")) {
		return
	}
	code := jsonScalar(body["code"])
	switch {
	case flat,
		string(body["success"]) == "false",
		jsonString(body["object"]) == "error",
		isSet(body["detail"]),
		jsonString(body["error_message"]) != "",
		failures[strings.ToLower(jsonString(body["status"]))],
		strings.HasSuffix(jsonString(body["type"]), "_error"),
		code != "" && !fine[strings.ToLower(code)]:
		f.found = true
		f.takeFlat(body)
	}
}

// takeFlat takes the codes and types of an error whose fields stand beside one
// another.
func (f *fault) takeFlat(body jsonObject) {
	detail := subObject(body, "detail")
	for _, raw := range []json.RawMessage{
		body["code"], body["error_code"], body["error_type"], body["type"], body["status"], body["status_code"],
		detail["code"], detail["type"],
	} {
		if word := jsonScalar(raw); word != "error" && !failures[strings.ToLower(word)] {
			f.note(word)
		}
	}
	if f.param == "" {
		f.param = jsonString(body["param"])
	}
}

// failures are the values of a field status that say no more than that.
var failures = map[string]bool{"error": true, "failed": true, "failure": true}

// fine are the codes with which envelopes say that all is well.
var fine = map[string]bool{"0": true, "200": true, "success": true, "ok": true, "successful": true}

func (f *fault) minimax(base jsonObject) {
	code := jsonScalar(base["status_code"])
	if code == "" || code == "0" {
		return
	}
	f.found = true
	f.vendor = minimaxCodes
	f.note(code)
	if f.message == "" {
		f.message = jsonString(base["status_msg"])
	}
}

// note remembers a code or type. A number from 400 to 599 is a status.
func (f *fault) note(word string) {
	word = strings.TrimSpace(word)
	if word == "" || word == "<nil>" || word == "null" {
		return
	}
	if n, err := strconv.Atoi(word); err == nil && n >= 400 && n <= 599 {
		if f.status == 0 {
			f.status = n
		}
		return
	}
	if f.code == "" {
		f.code = word
	}
	f.words = append(f.words, strings.ToLower(word))
}

func (f *fault) shownCode() string {
	if f.code == "" && f.status != 0 {
		return strconv.Itoa(f.status)
	}
	return f.code
}

// firstText is the message: the one found with the error, else the first that
// any server's dialect has.
func firstText(body jsonObject, found string) string {
	candidates := []string{found}
	for _, name := range []string{"message", "msg", "err", "error_msg", "error_message", "detail"} {
		candidates = append(candidates, textOf(body[name]))
	}
	candidates = append(candidates,
		jsonString(subObject(body, "base_resp")["status_msg"]),
		jsonString(subObject(body, "header")["message"]),
		textOf(subObject(subObject(body, "response"), "error")["message"]))
	for _, text := range candidates {
		if text != "" {
			return text
		}
	}
	return ""
}

// isAnswer reports whether an object holds an answer of either format. An empty
// list of choices is none.
func isAnswer(o jsonObject) bool {
	return isSet(o["choices"]) && len(asList(o["choices"])) > 0 || isSet(o["content"])
}

// says reports whether anything is stated in a value: text, a number other
// than 0, true, or a list or object of which some part does.
func says(raw json.RawMessage) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return isSet(raw)
	}
	return saysAny(v)
}

func saysAny(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, part := range v {
			if saysAny(part) {
				return true
			}
		}
		return false
	case []any:
		return slices.ContainsFunc(v, saysAny)
	}
	return v != nil && v != "" && v != 0.0 && v != false
}

func isSet(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// str decodes a JSON string; "" when raw is anything else.
func jsonString(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// scalar is a JSON string or number as text.
func jsonScalar(raw json.RawMessage) string {
	if len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return jsonString(raw)
}

// textOf is a JSON string as it is, and anything else that is set as JSON:
// FastAPI's detail may be a list.
func textOf(raw json.RawMessage) string {
	if !isSet(raw) {
		return ""
	}
	if raw[0] == '"' {
		return jsonString(raw)
	}
	if details := fastAPI(raw); details != "" {
		return details
	}
	for _, name := range []string{"error", "message", "msg"} { // DeepInfra's detail
		if inner := jsonString(asMap(raw)[name]); inner != "" {
			return inner
		}
	}
	if raw[0] == '{' || raw[0] == '[' {
		return string(raw)
	}
	return ""
}

// fastAPI joins the messages of {"detail":[{"loc":[…],"msg":…}]}.
func fastAPI(raw json.RawMessage) string {
	var details []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	if raw[0] != '[' || json.Unmarshal(raw, &details) != nil {
		return ""
	}
	var lines []string
	for _, d := range details {
		if d.Msg == "" {
			continue
		}
		path := make([]string, 0, len(d.Loc))
		for _, part := range d.Loc {
			text, _ := json.Marshal(part)
			path = append(path, strings.Trim(string(text), `"`))
		}
		lines = append(lines, strings.TrimPrefix(strings.Join(path, ".")+": "+d.Msg, ": "))
	}
	return strings.Join(lines, "; ")
}

func asMap(raw json.RawMessage) jsonObject {
	var o jsonObject
	if len(raw) == 0 || json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

func asList(raw json.RawMessage) []json.RawMessage {
	var l []json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &l) != nil {
		return nil
	}
	return l
}

func subObject(o jsonObject, name string) jsonObject { return asMap(o[name]) }

// class decides. A limit that only a day's end lifts is not one to wait for; a
// limit of a minute is, in whatever words.
func (f fault) class(status int) nightshift.ErrorClass {
	inner := f.effective(status)
	message := strings.ToLower(f.message)
	class := f.verdict(inner, message)
	switch {
	case class == nightshift.ClassRateLimit && f.lasting(message):
		return nightshift.ClassQuota
	case class == nightshift.ClassQuota && inner != 402 && f.passing(inner, message):
		return nightshift.ClassRateLimit
	}
	return class
}

// verdict is what the words say, else what the message says, else what the
// status says. Codes that say only that the request is wrong leave it to the
// message what is wrong with it.
func (f fault) verdict(inner int, message string) nightshift.ErrorClass {
	if f.noCapacity(inner) {
		return nightshift.ClassNoCapacity
	}
	if mayBeLength(inner) && f.tooLong() {
		return nightshift.ClassContextLength
	}
	if (inner == 429 || inner == 413 || inner == 0) && exceedsLimit(f.message) {
		return nightshift.ClassExceedsLimit
	}
	if class, known := byPhrase(decisivePhrases, message, inner); known {
		return class
	}
	class, coded := f.byCode()
	switch {
	case coded && class != nightshift.ClassInvalidRequest:
		return f.outweighed(class, message, inner)
	case mayBeLength(inner) && saysTooLong(message):
		return nightshift.ClassContextLength
	case coded:
		return class
	}
	if class, known := byPhrase(phrases, message, inner); known {
		return class
	}
	if class, known := f.byGenericWord(inner); known {
		return class
	}
	return byStatus(inner)
}

// noCapacity reports whether a flex tier has no room: Groq's status for it, or
// OpenAI's code.
func (f fault) noCapacity(inner int) bool {
	return inner == 498 || inner == 429 && slices.Contains(f.words, "resource_unavailable")
}

// byCode is the class of the first code or type that says what is the matter.
func (f fault) byCode() (nightshift.ErrorClass, bool) {
	for _, word := range f.words {
		if class, known := f.byWord(word); known {
			return class, true
		}
	}
	return "", false
}

// outweighed is the class of a code, unless it is a mere rate limit and the
// message, an upstream's, speaks of a quota that is used up.
func (f fault) outweighed(class nightshift.ErrorClass, message string, status int) nightshift.ErrorClass {
	if class != nightshift.ClassRateLimit {
		return class
	}
	if said, known := byPhrase(phrases, message, status); known && said == nightshift.ClassQuota {
		return said
	}
	for word := range quotaWords {
		if strings.Contains(message, word) {
			return nightshift.ClassQuota
		}
	}
	return class
}

// lasting reports whether a limit counts over a day or more, or allows nothing
// at all.
func (f fault) lasting(message string) bool {
	return f.allowsNothing(message) || longWindow().MatchString(f.said(message))
}

// passing reports whether words of an empty account stand for a limit of a
// minute or an hour: it names its window, or says when to come back, which an
// account without money never does.
func (f fault) passing(status int, message string) bool {
	if !f.vague(status, message) || f.lasting(message) {
		return false
	}
	return shortWindow().MatchString(f.said(message)) || f.namesLimits(message) ||
		f.wait && !moneyWords().MatchString(message)
}

// vague reports whether class quota rests on words that are used for passing
// limits too.
func (f fault) vague(status int, message string) bool {
	for _, word := range f.words {
		if class, known := f.byWord(word); known && class == nightshift.ClassQuota {
			return quotaWords[word] || strings.HasSuffix(word, quotaSuffix)
		}
	}
	if class, known := byPhrase(decisivePhrases, message, status); known && class == nightshift.ClassQuota {
		return false
	}
	return !moneyWords().MatchString(message)
}

// said is everything that may name the window of a limit.
func (f fault) said(message string) string {
	said := append(slices.Clone(f.words), message)
	for _, l := range f.limits {
		said = append(said, l.name)
	}
	return strings.Join(said, " ")
}

// fromUpstream reports whether the words are those of a gateway that had sent
// the request on when something failed.
func (f fault) fromUpstream(status int) bool {
	if status != 0 && status != 408 && status < 500 {
		return false
	}
	said := f.said(strings.ToLower(f.message))
	return slices.ContainsFunc(upstreamFailures, func(text string) bool { return strings.Contains(said, text) })
}

// effective is the status that counts: that of the upstream where a gateway
// names it, that inside the body of a claimed success, else the one that came.
func (f fault) effective(status int) int {
	if upstream, err := strconv.Atoi(f.param); err == nil && upstream >= 400 && upstream <= 599 &&
		(slices.Contains(f.words, "upstream_error") || slices.Contains(f.words, "bad_response_status_code")) {
		return upstream
	}
	if claimsSuccess(status) {
		return f.status
	}
	return status
}

func (f fault) byWord(word string) (nightshift.ErrorClass, bool) {
	if class, known := f.vendor[word]; known {
		return class, true
	}
	if class, known := specificWords[word]; known {
		return class, true
	}
	for _, p := range wordPatterns {
		if strings.HasPrefix(word, p.prefix) && strings.HasSuffix(word, p.suffix) && strings.Contains(word, p.part) {
			return p.class, true
		}
	}
	return "", false
}

// byGenericWord reads types that say little: they count for a claimed success,
// which has no status of its own.
func (f fault) byGenericWord(status int) (nightshift.ErrorClass, bool) {
	if status == 400 && slices.Contains(f.words, failedPrecondition) {
		return genericWords[failedPrecondition], true
	}
	if status != 0 {
		return "", false
	}
	for _, word := range f.words {
		if class, known := genericWords[word]; known {
			return class, true
		}
	}
	return "", false
}

// tooLong reports whether a code says that the prompt is too long.
func (f fault) tooLong() bool {
	return slices.ContainsFunc(f.words, func(word string) bool { return lengthWords[word] })
}

// saysTooLong reports whether a message does.
func saysTooLong(message string) bool {
	if strings.Contains(message, "current length is") && strings.Contains(message, "while limit is") {
		return true
	}
	return slices.ContainsFunc(lengthPhrases, func(p string) bool { return strings.Contains(message, p) })
}

func mayBeLength(status int) bool {
	return status == 0 || status == 400 || status == 413 || status == 422 || status == 500
}
