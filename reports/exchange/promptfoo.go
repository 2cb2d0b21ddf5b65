package exchange

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"nightshift/internal/rawjson"
)

// promptfoo reads what promptfoo eval wrote with --output, as .json or .jsonl.
type promptfoo struct {
	*Results
	p       place
	idField string
}

func (f promptfoo) read(first map[string]span) error {
	f.Tool = "promptfoo"
	if at, ok := first["metadata"]; ok {
		v, err := f.p.scan(at)
		if err != nil {
			return err
		}
		f.Tool = strings.TrimSpace(f.Tool + " " + v.Get("promptfooVersion").String())
	}
	list, began := first["results"], (*time.Time)(nil)
	if start := f.p.space(list.from); f.p.data[start] == '{' { // version 3; before, it was the list itself
		inner := map[string]span{}
		for key, v := range f.p.members(start) {
			if v.err != nil {
				return v.err
			}
			inner[key] = v.span
		}
		if at, ok := inner["timestamp"]; ok {
			v, err := f.p.scan(at)
			if err != nil {
				return err
			}
			began = atTime(v)
		}
		var ok bool
		if list, ok = inner["results"]; !ok {
			return f.p.fault(start, "results.results is missing")
		}
	}
	var all []span
	for one := range f.p.elements(list.from) {
		if one.err != nil {
			return one.err
		}
		all = append(all, one.span)
	}
	return f.all(all, began)
}

func (f promptfoo) lines() error {
	f.Tool = "promptfoo"
	var all []span
	for line := range f.p.lines {
		all = append(all, line)
	}
	return f.all(all, nil)
}

// all reads the results. A model that was asked with several prompts is as many
// variants of one.
func (f promptfoo) all(spans []span, began *time.Time) error {
	prompts := map[string]string{} // name of each prompt
	for _, at := range spans {
		v, err := f.p.scan(at)
		if err != nil {
			return err
		}
		label := promptLabel(v)
		if _, ok := prompts[label]; !ok {
			prompts[label] = fmt.Sprintf("prompt-%d", len(prompts)+1)
		}
	}
	for _, at := range spans {
		v, _ := f.p.scan(at)
		one, err := f.result(v, at.from)
		if err != nil {
			return err
		}
		if len(prompts) > 1 {
			of, variant := one.Model, prompts[promptLabel(v)]
			one.Model, one.Variant, one.VariantOf = of+"/"+variant, &variant, &of
		}
		one.ran(began, v.Get("latencyMs"))
		f.add(*one)
	}
	return nil
}

// promptLabel tells the prompts of a configuration apart.
func promptLabel(v rawjson.Value) string {
	if n := plainText(v.Get("promptIdx")); n != "" && !v.Get("prompt").Get("label").Set() {
		return n
	}
	return v.Get("prompt").Get("label").String()
}

func (f promptfoo) result(v rawjson.Value, at int) (*row, error) {
	provider := v.Get("provider")
	one := &row{}
	one.Model = provider.Get("label").String()
	for _, name := range []rawjson.Value{provider.Get("id"), provider} {
		if one.Model == "" {
			one.Model = plainText(name)
		}
	}
	one.RequestedModel, one.Protocol = one.Model, "promptfoo"
	if one.RequestedModel == "" {
		return nil, f.p.named(at, "provider", provider, "a name, or an object with an id or a label")
	}
	if id := provider.Get("id").String(); id != "" {
		one.RequestedModel = id
	}
	vars := v.Get("vars")
	if !vars.Set() {
		vars = v.Get("testCase").Get("vars")
	}
	number, _ := v.Get("testIdx").Int()
	var err error
	if one.ID, err = f.p.idOf(vars, f.idField, number, at); err != nil {
		return nil, err
	}
	prompt := v.Get("prompt").Get("raw")
	if prompt.Kind() != rawjson.String {
		return nil, f.p.named(at, "prompt.raw", prompt, "a string")
	}
	one.ask(prompt.String())
	one.wantsOf(v.Get("testCase").Get("assert"))
	if vars.Kind() == rawjson.Object {
		one.Metadata = textOr(string(vars.JSON()))
	}
	f.answer(one, v)
	return one, f.scores(one, v, at)
}

// wantsOf takes the target from the first assertion that names a text, as a file of
// tests does that is read as a dataset.
func (one *row) wantsOf(asserts rawjson.Value) {
	for a := asserts.First(); a.Exists(); a = a.Next() {
		switch a.Get("type").String() {
		case "equals", "contains", "icontains", "starts-with", "similar", "factuality":
			if v := a.Get("value"); plainText(v) != "" {
				one.wants(v)
				return
			}
		}
	}
}

func (f promptfoo) answer(one *row, v rawjson.Value) {
	response := v.Get("response")
	output := response.Get("output")
	if !output.Set() && (v.Get("error").Set() || response.Get("error").Set()) || plainText(v.Get("failureReason")) == "2" {
		why := response.Get("error")
		if !why.Set() {
			why = v.Get("error")
		}
		one.failed(why.String())
		return
	}
	text := output.String()
	if output.Set() && output.Kind() != rawjson.String {
		text = string(output.JSON())
	}
	one.answered(text, "")
	usage := response.Get("tokenUsage")
	one.InputTokens, one.OutputTokens = count(usage.Get("prompt")), count(usage.Get("completion"))
	cost := v.Get("cost")
	if !cost.Set() {
		cost = response.Get("cost")
	}
	one.spent(cost)
}

// scores are the score of the test, whether it passed, and the named ones.
func (f promptfoo) scores(one *row, v rawjson.Value, at int) error {
	notRun := !one.Outcome.Answered()
	add := func(name string, value rawjson.Value) error {
		x, ok := value.Float()
		switch {
		case notRun:
			f.score(one, name, notRunScore())
		case !ok:
			return f.p.named(at, name, value, "a number")
		case !utf8.ValidString(name):
			return f.p.fault(at, "the name of a score is no text")
		default:
			s := scoreOf(x)
			s.Explanation = textOr(v.Get("gradingResult").Get("reason").String())
			f.score(one, name, s)
		}
		return nil
	}
	if err := add("score", v.Get("score")); err != nil {
		return err
	}
	pass := notRunScore()
	if !notRun {
		pass = scoreOf(map[bool]float64{true: 1}[v.Get("success").IsTrue()])
	}
	f.score(one, "success", pass)
	for m := v.Get("namedScores").First(); m.Exists(); m = m.Next() {
		if err := add(m.Key(), m); err != nil {
			return err
		}
	}
	return nil
}
