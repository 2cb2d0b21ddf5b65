package shape

import (
	"math"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// A limit is what a request parameter in a row may be.
type limit struct {
	kinds    []rowjson.Kind // nil means any
	min, max float64
	integer  bool
}

var (
	anyText   = limit{kinds: []rowjson.Kind{rowjson.String}}
	anyBool   = limit{kinds: []rowjson.Kind{rowjson.Bool}}
	anyObject = limit{kinds: []rowjson.Kind{rowjson.Object}}
	anyList   = limit{kinds: []rowjson.Kind{rowjson.Array}}
	choice    = limit{kinds: []rowjson.Kind{rowjson.String, rowjson.Object}}
)

func between(min, max float64) limit { return limit{[]rowjson.Kind{rowjson.Number}, min, max, false} }
func whole(min, max float64) limit   { return limit{[]rowjson.Kind{rowjson.Number}, min, max, true} }

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
	"stop":                  {kinds: []rowjson.Kind{rowjson.String, rowjson.Array}},
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
func (b *Builder) overrides(r rowjson.Row) problem.Reason {
	if b.layout.override < 0 {
		return problem.Reason{}
	}
	f := r.Fields[b.layout.override]
	name := string(r.Key(f))
	if name == "headers" && (f.Kind != rowjson.Object || b.shape == templated) {
		return problem.Reason{}
	}
	return problem.Refuse("the field "+words.Quote(name), noOverrides+"; rename it if it is data")
}

func overrides(name string) bool {
	switch name {
	case "base_url", "api_base", "api_key", "extra_headers", "headers":
		return true
	}
	return false
}

// params reads the request parameters that the row brings.
func (b *Builder) params(r rowjson.Row) problem.Reason {
	if b.Rules.params.name == "" {
		return problem.Reason{}
	}
	v := b.find(r, &b.Rules.params)
	if v.Kind != rowjson.Object || !b.paramsMapped && !namesParams(v) {
		if b.paramsMapped && v.Given() {
			return b.wrongType(b.Rules.params, v, "an object")
		}
		return problem.Reason{}
	}
	b.use(b.Rules.params.name)
	for key, val := range rowjson.Members(v.Raw) {
		name := string(rowjson.Unescape(key))
		if c := checkParam(name, val, false); c.Bad() {
			c.What = b.Rules.params.name + "." + c.What
			return c
		}
		if !b.check {
			b.s.Params = append(b.s.Params, nightshift.Param{Name: name, Value: val.Raw})
		}
	}
	return problem.Reason{}
}

// namesParams tells request parameters from an object that only has that name.
func namesParams(v rowjson.Value) bool {
	for key := range rowjson.Members(v.Raw) {
		name := string(rowjson.Unescape(key))
		if _, known := rowParams[name]; known || forbidden(name) {
			return true
		}
	}
	return false
}

// checkParam checks one parameter. In a whole body, unknown names pass.
func checkParam(name string, v rowjson.Value, body bool) problem.Reason {
	if forbidden(name) {
		return problem.Refuse(name+" is refused", noOverrides)
	}
	l, known := rowParams[name]
	switch {
	case !known && body:
		return problem.Reason{}
	case !known:
		return problem.Refuse(words.Quote(name)+" is not a parameter that a row may set", "set it in the plan")
	case body && v.Kind == rowjson.Null:
		return problem.Reason{}
	}
	if what := l.check(v); what != "" {
		return problem.Refuse(name + " " + what)
	}
	return problem.Reason{}
}

func (l limit) check(v rowjson.Value) string {
	fits := l.kinds == nil
	for _, k := range l.kinds {
		fits = fits || v.Kind == k
	}
	if !fits {
		return "is " + v.Kind.String()
	}
	if v.Kind != rowjson.Number {
		return ""
	}
	n, err := strconv.ParseFloat(string(v.Raw), 64)
	if err != nil || n < l.min || n > l.max {
		return "is " + string(v.Raw[:min(len(v.Raw), 40)]) + ", not between " + short(l.min) + " and " + short(l.max)
	}
	if l.integer && n != math.Trunc(n) {
		return "is " + string(v.Raw[:min(len(v.Raw), 40)]) + ", not a whole number"
	}
	return ""
}

func short(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return words.Thousands(int64(f))
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
