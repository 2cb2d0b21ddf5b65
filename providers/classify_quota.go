package providers

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/pattern"
)

// A hitLimit is a limit of which Google says that it was hit.
type hitLimit struct {
	name  string // of the quota and its metric, in lower case
	value int64  // -1: not said
}

// quota takes the limits that a google.rpc detail names.
func (f *fault) quota(detail jsonObject) {
	for _, raw := range asList(detail["violations"]) {
		v := asMap(raw)
		f.hit(jsonString(v["quotaId"])+" "+jsonString(v["quotaMetric"]), jsonScalar(v["quotaValue"]))
	}
	metadata := subObject(detail, "metadata")
	f.hit(jsonString(metadata["quota_limit"]), jsonScalar(metadata["quota_limit_value"]))
}

func (f *fault) hit(name, value string) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" {
		return
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		n = -1
	}
	f.limits = append(f.limits, hitLimit{name, n})
}

// metricLimit finds the limits in Gemini's messages, which are all that
// gateways leave of them.
var metricLimit = pattern.Late(`(?i)\bquota exceeded for metric: ?([^\s,]+)(?:, limit: ([0-9]+))?`)

// quotedLimits takes the limits that a message names, or the error that it
// quotes.
func (f *fault) quotedLimits() {
	if e := quotedError(f.message); e != nil {
		for _, detail := range asList(e["details"]) {
			f.quota(asMap(detail))
		}
		f.namedLimits(textOf(e["message"]))
		return
	}
	f.namedLimits(f.message)
}

func (f *fault) namedLimits(message string) {
	for _, m := range metricLimit().FindAllStringSubmatch(message, -1) {
		f.hit(m[1], m[2])
	}
}

// quotedError is the error object that a gateway put into its own message; nil
// without one.
func quotedError(message string) jsonObject {
	start := strings.IndexByte(message, '{')
	if start < 0 {
		return nil
	}
	var o jsonObject
	if json.NewDecoder(strings.NewReader(message[start:])).Decode(&o) != nil {
		return nil
	}
	return subObject(o, "error")
}

// namesLimits reports whether the words of an empty account stand beside a limit
// of Google's, which says them of every limit. Where it means money it says so.
func (f fault) namesLimits(message string) bool {
	return len(f.limits) > 0 && !moneyWords().MatchString(message)
}

// allowsNothing reports whether a limit that was hit is 0: the model is not in
// the plan, and no waiting changes that.
func (f fault) allowsNothing(message string) bool {
	return slices.ContainsFunc(f.limits, func(l hitLimit) bool { return l.value == 0 }) || noQuota().MatchString(message)
}

// lastsADay reports whether a limit that Google names counts over a day.
func (f fault) lastsADay() bool {
	return slices.ContainsFunc(f.limits, func(l hitLimit) bool { return longWindow().MatchString(l.name) })
}

// ofModel reports whether an error concerns the model that was asked for, and
// not all that the key may use. Google counts for each model.
func (f fault) ofModel(class nightshift.ErrorClass) bool {
	message := strings.ToLower(f.message)
	switch class {
	case nightshift.ClassQuota:
		return f.namesLimits(message)
	case nightshift.ClassPermission:
		return modelRefused().MatchString(message)
	}
	return false
}

// modelRefused finds refusals of one model in words.
var modelRefused = pattern.Late(
	`\b(access|sample from|use|permission|allowed)\b[^.]{0,60}\bmodel\b|无权(使用|访问)[^。]{0,12}模型`)

// quotaHint says what to do about a limit that only a day or a plan lifts.
func (f fault) quotaHint() string {
	if f.allowsNothing(strings.ToLower(f.message)) {
		return "the key's plan does not include this model: choose another, or change the plan"
	}
	return "this model's quota of the day is used up until midnight in California: go on then, or use another model"
}

// BodyInputLimit reads the input tokens a minute that a refusal says the model
// allows: the least of those it names. ok is false when it names none.
func BodyInputLimit(body []byte) (tokens int64, ok bool) {
	f, ok := bodyFault(body)
	if !ok {
		return 0, false
	}
	for _, l := range f.limits {
		input := strings.Contains(l.name, "inputtokens") || strings.Contains(l.name, "input_token")
		if input && l.value > 0 && !longWindow().MatchString(l.name) && (tokens == 0 || l.value < tokens) {
			tokens = l.value
		}
	}
	return tokens, tokens > 0
}

// bodyFault reads the fault of an error's body.
func bodyFault(body []byte) (fault, bool) {
	text := errorEvent(bytes.TrimSpace(body))
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return fault{}, false
	}
	object, err := asObject(text)
	if err != nil {
		return fault{}, false
	}
	return findFault(object, 0), true
}

// DayEnds says how long the limit of a day lasts that Google's refusal names; ok
// is false for any other, and where another limit allows nothing at all.
func DayEnds(body []byte, now time.Time) (d time.Duration, ok bool) {
	f, ok := bodyFault(body)
	if !ok || !f.lastsADay() || f.allowsNothing(strings.ToLower(f.message)) {
		return 0, false
	}
	return untilMidnightPacific(now), true
}

// untilMidnightPacific is how long Google's limits of the day last.
func untilMidnightPacific(now time.Time) time.Duration {
	pacific, err := time.LoadLocation("America/Los_Angeles")
	if err != nil { // no time zones on this machine: in summer an hour late
		pacific = time.FixedZone("PST", -8*60*60)
	}
	y, m, d := now.In(pacific).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, pacific).Sub(now)
}
