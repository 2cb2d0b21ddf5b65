package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Models are crossed with variants and with the values of parameters that take one;
// parameters that are lists themselves go out as they are written.
func TestVariants(t *testing.T) {
	r := resolve(t, `dataset: {path: rows.jsonl, system: "Base.", prompt: "{{ q }}"}
models:
  - {name: a, endpoint: simulator, model: x, params: {max_tokens: 10, stop: ["x", "y"], seed: [1, 2]}}
  - {name: b, endpoint: simulator, model: y, params: {max_tokens: 10, temperature: 1}}
variants:
  - {name: plain}
  - {name: terse, system: "", prompt: "{{ q }}!", params: {temperature: [0, 0.5]}, tools: [{name: f}]}
compare: {baseline: terse/temperature=0}
`)
	type asked struct{ Name, Variant, Of, System, Prompt, Params string }
	var got []asked
	for _, m := range r.Models {
		params, err := Params(m.Params).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, asked{m.Name, m.Variant, m.VariantOf, m.Templates[0].System, m.Templates[0].Prompt, string(params)})
	}
	const tools = `,"tools":[{"name":"f"}]`
	first := func(seed string) string { return `{"max_tokens":10,"stop":["x","y"],"seed":` + seed }
	want := []asked{
		{"a/plain/seed=1", "plain/seed=1", "a", "Base.", "{{ q }}", first("1") + "}"},
		{"a/plain/seed=2", "plain/seed=2", "a", "Base.", "{{ q }}", first("2") + "}"},
		{"a/terse/seed=1/temperature=0", "terse/seed=1/temperature=0", "a", "", "{{ q }}!",
			first("1") + `,"temperature":0` + tools + "}"},
		{"a/terse/seed=1/temperature=0.5", "terse/seed=1/temperature=0.5", "a", "", "{{ q }}!",
			first("1") + `,"temperature":0.5` + tools + "}"},
		{"a/terse/seed=2/temperature=0", "terse/seed=2/temperature=0", "a", "", "{{ q }}!",
			first("2") + `,"temperature":0` + tools + "}"},
		{"a/terse/seed=2/temperature=0.5", "terse/seed=2/temperature=0.5", "a", "", "{{ q }}!",
			first("2") + `,"temperature":0.5` + tools + "}"},
		{"b/plain", "plain", "b", "Base.", "{{ q }}", `{"max_tokens":10,"temperature":1}`},
		{"b/terse/temperature=0", "terse/temperature=0", "b", "", "{{ q }}!",
			`{"max_tokens":10,"temperature":0` + tools + "}"},
		{"b/terse/temperature=0.5", "terse/temperature=0.5", "b", "", "{{ q }}!",
			`{"max_tokens":10,"temperature":0.5` + tools + "}"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r.Baseline != "b/terse/temperature=0" || r.Along != AlongVariants {
		t.Errorf("compared along %q with %q", r.Along, r.Baseline)
	}
}

// Everything that is wrong with variants is told at once, each with its place.
func TestVariantMistakes(t *testing.T) {
	_, err := Parse("plan.yaml", []byte(`dataset: {path: rows.jsonl}
models:
  - {name: a, endpoint: simulator, model: x, params: {max_tokens: [10, 0]}}
variants:
  - {name: plain, promt: "{{ q }}"}
  - {name: plain}
  - {system: hello}
  - {name: "a, b", params: {temperature: [], top_p: [[1]]}}
  - {name: both, tools: [], params: {tools: [], stream: true}}
compare: {along: variant, baseline: both/max_tokens=1}
`))
	var got []string
	for _, p := range problems(t, err) {
		got = append(got, strings.Join(strings.Fields(p.place()+p.Message+" "+p.Hint), " "))
	}
	want := []string{
		"plan.yaml:3:67: max_tokens must be a whole number above zero; this is 0",
		`plan.yaml:5:19: unknown key "promt" in variants[0] did you mean prompt?`,
		"plan.yaml:6:12: variants[0] and variants[1] are both called plain give each a name of its own",
		"plan.yaml:7:5: a variant needs a name add name: terse, for example",
		"plan.yaml:8:12: the name of a variant has no brackets and no commas",
		"plan.yaml:8:42: temperature is an empty list write the values to try, or leave it out",
		"plan.yaml:8:53: top_p takes one value, and [1] is none write numbers or words: temperature: [0, 0.7]",
		"plan.yaml:9:25: variants[4] has tools twice: in tools: and in params: leave one of them out",
		"plan.yaml:9:57: stream is not a parameter write stream: true beside params",
		`plan.yaml:10:18: unknown compare.along "variant" did you mean variants?`,
		`plan.yaml:10:37: no model is called "both/max_tokens=1" did you mean both/max_tokens=0 or both/max_tokens=10?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = parse(t, small+"variants: [{name: b, params: {seed: [1, 1]}}]\n").Resolve(keys)
	const twice = "two variants would be called m/b/seed=1"
	if got := problems(t, err); len(got) != 1 || got[0].Message != twice {
		t.Errorf("a value twice: %v", err)
	}
	_, err = parse(t, small+"compare: {along: variants}\n").Resolve(keys)
	if got := problems(t, err); len(got) != 1 || got[0].Message != "the plan has no variants" {
		t.Errorf("along variants without any: %v", err)
	}
}

// A plan without variants is the run that it was before there were any.
func TestIdentityWithoutVariants(t *testing.T) {
	text := `dataset: {path: rows.jsonl, system: "S", prompt: "{{ q }}", limit: 10}
models: [{name: a, endpoint: simulator, model: m, params: {max_tokens: 10, stop: ["x"]}}]
`
	const want = "7ecc4f416e73715a18a7f0d6606ab220809704a230b908075a4c271eecbc9192"
	if id, got := resolve(t, text).Identity(); got != want {
		t.Errorf("%s is %s", id, got)
	}
	more := text + "variants: [{name: v, prompt: \"{{ q }}\"}, {name: w}]\n"
	swapped := text + "variants: [{name: w}, {name: v}]\n"
	if _, a := resolve(t, more).Identity(); a == want {
		t.Error("variants do not make another run of it")
	} else if _, b := resolve(t, swapped).Identity(); a != b {
		t.Error("the order of variants makes another run of it")
	}
}
