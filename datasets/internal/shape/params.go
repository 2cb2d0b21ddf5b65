package datasets

import (
	"math"
	"strconv"
	"strings"

	"nightshift"
)

// A limit is what a request parameter in a row may be.
type limit struct {
	kinds    []kind // nil means any
	min, max float64
	integer  bool
}

var (
	anyText   = limit{kinds: []kind{kindString}}
	anyBool   = limit{kinds: []kind{kindBool}}
	anyObject = limit{kinds: []kind{kindObject}}
	anyList   = limit{kinds: []kind{kindArray}}
	choice    = limit{kinds: []kind{kindString, kindObject}}
)

func between(min, max float64) limit { return limit{[]kind{kindNumber}, min, max, false} }
func whole(min, max float64) limit   { return limit{[]kind{kindNumber}, min, max, true} }

// rowParams are the request parameters that a row may set for itself.
var rowParams = map[string]limit{
	"max_tokens":            whole(1, 1e7),
	"max_completion_tokens": whole(1, 1e7),
	"temperature":           between(0, 2),
	"top_p":                 between(0, 1),
	"top_k":                 whole(-1, 1e6), // -1 is "off" on vLLM
	"min_p":                 between(0, 1),
	"n":                     whole(1, 128),
	"seed":                  whole(math.MinInt64, math.MaxInt64),
	"frequency_penalty":     between(-2, 2),
	"presence_penalty":      between(-2, 2),
	"repetition_penalty":    between(0, 10),
	"stop":                  {kinds: []kind{kindString, kindArray}},
	"stop_sequences":        anyList,
	"logprobs":              anyBool,
	"top_logprobs":          whole(0, 20),
	"logit_bias":            anyObject,
	"response_format":       anyObject,
	"tools":                 anyList,
	"tool_choice":           choice,
	"parallel_tool_calls":   anyBool,
	"reasoning_effort":      anyText,
	"reasoning":             anyObject,
	"thinking":              anyObject,
	"output_config":         anyObject,
	"verbosity":             anyText,
	"user":                  anyText,
	"metadata":              anyObject,
}

// forbidden are names by which a row might try to choose where it is sent, or
// as whom.
func forbidden(name string) bool {
	switch strings.ToLower(strings.ReplaceAll(name, "-", "_")) {
	case "base_url", "baseurl", "api_base", "api_key", "apikey", "x_api_key", "authorization", "auth",
		"headers", "extra_headers", "default_headers", "endpoint_url", "organization", "proxy", "proxies":
		return true
	}
	return false
}

const noOverrides = "a row cannot choose its endpoint, headers or key; the plan does"

// overrides refuses rows that try to at their top level. Other fields of such
// names may be data in a templated dataset, but a key never is.
func (b *builder) overrides(r row) rowError {
	if b.layout.override < 0 {
		return rowError{}
	}
	f := r.fields[b.layout.override]
	name := string(r.key(f))
	if name == "headers" && (f.kind != kindObject || b.shape == templated) {
		return rowError{}
	}
	return rowError{"the field " + quoteShort(name), noOverrides + "; rename it if it is data"}
}

func overrides(name string) bool {
	switch name {
	case "base_url", "api_base", "api_key", "extra_headers", "headers":
		return true
	}
	return false
}

// params reads the request parameters that the row brings.
func (b *builder) params(r row) rowError {
	if b.rules.params.name == "" {
		return rowError{}
	}
	v := b.find(r, &b.rules.params)
	if v.kind != kindObject || !b.paramsMapped && !namesParams(v) {
		if b.paramsMapped && v.given() {
			return b.wrongType(b.rules.params, v, "an object")
		}
		return rowError{}
	}
	b.use(b.rules.params.name)
	for key, val := range members(v.raw) {
		name := string(unescape(key))
		if c := checkParam(name, val, false); c.bad() {
			c.what = b.rules.params.name + "." + c.what
			return c
		}
		if !b.check {
			b.s.Params = append(b.s.Params, nightshift.Param{Name: name, Value: val.raw})
		}
	}
	return rowError{}
}

// namesParams tells request parameters from an object that only has that name.
func namesParams(v value) bool {
	for key := range members(v.raw) {
		name := string(unescape(key))
		if _, known := rowParams[name]; known || forbidden(name) {
			return true
		}
	}
	return false
}

// checkParam checks one parameter. In a whole body, unknown names pass.
func checkParam(name string, v value, body bool) rowError {
	if forbidden(name) {
		return rowError{name + " is refused", noOverrides}
	}
	l, known := rowParams[name]
	switch {
	case !known && body:
		return rowError{}
	case !known:
		return rowError{quoteShort(name) + " is not a parameter that a row may set", "set it in the plan"}
	case body && v.kind == kindNull:
		return rowError{}
	}
	if what := l.check(v); what != "" {
		return rowError{name + " " + what, ""}
	}
	return rowError{}
}

func (l limit) check(v value) string {
	fits := l.kinds == nil
	for _, k := range l.kinds {
		fits = fits || v.kind == k
	}
	if !fits {
		return "is " + v.kind.String()
	}
	if v.kind != kindNumber {
		return ""
	}
	n, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil || n < l.min || n > l.max {
		return "is " + string(v.raw[:min(len(v.raw), 40)]) + ", not between " + short(l.min) + " and " + short(l.max)
	}
	if l.integer && n != math.Trunc(n) {
		return "is " + string(v.raw[:min(len(v.raw), 40)]) + ", not a whole number"
	}
	return ""
}

func short(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return thousands(int64(f))
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
