package plan

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/datasets"
)

// options are values by flag.
type options = map[string][]string

// apply makes a plan of flags alone, or lays them over a text.
func apply(t *testing.T, text string, o options) *Plan {
	t.Helper()
	p := &Plan{}
	if text != "" {
		p = parse(t, text)
	}
	if err := p.Apply(o); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanOfFlagsAlone(t *testing.T) {
	p := apply(t, "", options{
		"dataset": {"rows.jsonl"}, "model": {"anthropic/claude-sonnet-4-6", "openai/gpt-5", "ccapi/openai/gpt-5"},
		"out": {"runs/x"}, "max-tokens": {"64"}, "param": {"temperature=0", "reasoning_effort=low", `stop=["x"]`},
		"limit": {"5"}, "concurrency": {"8"}, "rpm": {"100.0"}, "budget-usd": {"$2.50"},
		"scorer": {"exact", "number:style=last"},
	})
	_, err := p.Resolve(keys)
	if err == nil || !strings.HasPrefix(err.Error(), "--budget-usd: ") || !strings.Contains(err.Error(), "gpt-5") {
		t.Errorf("the price of the gateway is not known, and the flag is to blame: %v", err)
	}
	p.Models[2].Price = parse(t,
		"models: [{endpoint: simulator, model: m, price: {input: 1, output: 1}}]").Models[0].Price
	r, err := p.Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	cwd, _ := os.Getwd()
	if r.Name != "rows" || r.Out != filepath.Join(cwd, "runs/x") ||
		r.Dataset.Paths[0] != filepath.Join(cwd, "rows.jsonl") || r.Dataset.Limit != 5 {
		t.Errorf("name %q, out %q, dataset %+v", r.Name, r.Out, r.Dataset)
	}
	claude, gpt, routed := r.Models[0], r.Models[1], r.Models[2]
	if claude.ModelID != "claude-sonnet-4-6" || claude.Name != "claude-sonnet-4-6" ||
		routed.ModelID != "openai/gpt-5" || routed.Name != "openai/gpt-5" {
		t.Errorf("names %q %q, ids %q %q", claude.Name, routed.Name, claude.ModelID, routed.ModelID)
	}
	want := `{"max_tokens":64,"temperature":0,"reasoning_effort":"low","stop":["x"]}`
	if b, _ := Params(claude.Params).MarshalJSON(); string(b) != want {
		t.Errorf("params %s, want %s", b, want)
	}
	if gpt.Params[0].Name != "max_completion_tokens" || gpt.MaxTokens != 64 {
		t.Errorf("OpenAI's newer models refuse max_tokens: %+v", gpt.Params)
	}
	for _, m := range r.Models {
		if m.Endpoint.Limits.Concurrency != 8 || m.Endpoint.Limits.Requests != 100 {
			t.Errorf("limits of %s: %+v", m.Name, m.Endpoint.Limits)
		}
	}
	if *r.BudgetUSD != 2_500_000_000 || len(r.Scorers) != 2 || r.Scorers[1].Spec.Params["style"] != "last" {
		t.Errorf("budget %v, scorers %+v", *r.BudgetUSD, r.Scorers)
	}
}

func TestCustomEndpoint(t *testing.T) {
	o := options{"dataset": {"a"}, "model": {"custom/my/model"}}
	p := apply(t, "", o)
	_, err := p.Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "no protocol") {
		t.Errorf("custom starts from nothing: %v", err)
	}
	o["base-url"], o["protocol"] = []string{"http://127.0.0.1:9/v1"}, []string{"chat"}
	o["auth"], o["api-key-env"] = []string{"header:x-key"}, []string{"MY_KEY"}
	r, err := apply(t, "", o).Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Models[0].Endpoint
	if e.Protocol != nightshift.Chat || e.Auth.Scheme != "header" || e.Auth.Header != "x-key" ||
		e.Auth.Env != "MY_KEY" || r.Models[0].ModelID != "my/model" {
		t.Errorf("%+v", e)
	}
	if url, err := e.URL(); err != nil || url != "http://127.0.0.1:9/v1/chat/completions" {
		t.Errorf("%s, %v", url, err)
	}
}

func TestFlagsOverThePlan(t *testing.T) {
	text := `dataset: {path: rows.jsonl, prompt: old}
models:
  - {name: a, endpoint: simulator, model: x, params: {max_tokens: 10, top_p: 1}, price: {input: 1, output: 1}}
  - {name: b, endpoint: simulator, model: y, price: {input: 1, output: 1}}
endpoints: {simulator: {limits: {requests_per_minute: 5, concurrency: 1}}}
compare: {baseline: a}
scorers: [exact]
`
	r, err := apply(t, text, options{
		"prompt": {"new"}, "model": {"b"}, "max-tokens": {"20"}, "stream": {"true"}, "concurrency": {"9"},
		"epochs": {"3"}, "scorer": {"{type: number, style: last}"},
	}).Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 1 || r.Models[0].Name != "b" || !r.Models[0].Stream || r.Baseline != "b" || r.Epochs != 3 {
		t.Errorf("%+v, baseline %q", r.Models, r.Baseline)
	}
	if l := r.Models[0].Endpoint.Limits; l.Concurrency != 9 || l.Requests != 5 {
		t.Errorf("what no flag names stays: %+v", l)
	}
	if r.Dataset.Prompt != "new" || r.Dataset.Dir != "." || r.Scorers[0].Spec.Type != "number" {
		t.Errorf("%+v %+v", r.Dataset, r.Scorers)
	}
	both := apply(t, text, options{"max-tokens": {"20"}})
	if string(both.Models[0].Params[0].Value) != "20" || both.Models[0].Params[1].Name != "top_p" ||
		len(both.Models[1].Params) != 1 {
		t.Errorf("%+v", both.Models)
	}
}

func TestWrongFlags(t *testing.T) {
	cases := []struct {
		name, text string
		o          options
		want       string
	}{
		{"no slash", "", options{"model": {"gpt-5"}}, `--model: "gpt-5" is not ENDPOINT/MODEL-ID`},
		{"name nearly", small, options{"model": {"M2"}}, "--model:"},
		{"unknown endpoint", "", options{"dataset": {"a"}, "model": {"opena/gpt-5"}},
			`--model: unknown endpoint "opena"; did you mean openai?`},
		{"param", small, options{"param": {"temperature"}}, `--param: "temperature" is not KEY=JSON`},
		{"param's value", small, options{"param": {"a={"}}, "--param: the value of a is not JSON"},
		{"max tokens", small, options{"max-tokens": {"0"}}, "--max-tokens: "},
		{"budget", small, options{"budget-usd": {"lots"}}, "--budget-usd: amount \"lots\": not a number"},
		{"negative budget", small, options{"budget-tokens": {"-1"}}, "--budget-tokens: a budget must be above zero"},
		{"protocol", "", options{"dataset": {"a"}, "model": {"custom/m"}, "protocol": {"grpc"}}, `--protocol: unknown`},
		{"base url of several", "dataset: {path: a}\nmodels: [{endpoint: simulator, model: a}, {endpoint: " +
			"simulator, model: b}]", options{"base-url": {"https://x.example"}},
			"--base-url: needs exactly one --model"},
		{"base url", "", options{"dataset": {"a"}, "model": {"openai/m"}, "base-url": {"http://x.example"}},
			"--base-url: base_url"},
		{"scorer", small, options{"scorer": {"nmber"}}, `--scorer: unknown scorer "nmber"; did you mean number?`},
		{"scorer's form", small, options{"scorer": {"{type: ["}}, "--scorer:"},
		{"raw", small, options{"raw": {"some"}}, "--raw: "},
		{"limit", small, options{"limit": {"-1"}}, "--limit: "},
		{"nothing", "", options{}, "no dataset is named"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := &Plan{}
			if c.text != "" {
				p = parse(t, c.text)
			}
			err := p.Apply(c.o)
			if err == nil {
				_, err = p.Resolve(keys)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v\nwant %q", err, c.want)
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	var p Plan
	err := p.ApplyEnvironment(env("NIGHTSHIFT_LIMIT", "3", "NIGHTSHIFT_MODEL", "simulator/a simulator/b",
		"NIGHTSHIFT_BUDGET_USD", "x"))
	if p.Dataset.Limit != 3 || len(p.Models) != 2 {
		t.Errorf("%+v", p)
	}
	if err == nil || !strings.Contains(err.Error(), "NIGHTSHIFT_BUDGET_USD: ") {
		t.Errorf("have %v", err)
	}
	err = new(Plan).ApplyEnvironment(env("NIGHTSHIFT_LIMIT", "many"))
	if err == nil || !strings.Contains(err.Error(), `NIGHTSHIFT_LIMIT: "many" is not a number`) {
		t.Errorf("have %v", err)
	}
}

// TestEveryOption sees that each option sets something, and that messages
// about a wrong value of it can name it.
func TestEveryOption(t *testing.T) {
	values := map[Kind]string{Text: "1", List: "simulator/a=1", Integer: "1", Number: "1", Boolean: "true"}
	for _, o := range Options() {
		given := options{"model": {"simulator/m"}}
		before := apply(t, "", given)
		given[o.Flag] = []string{values[o.Kind]}
		if o.Flag == "scorer" {
			given[o.Flag] = []string{"exact"}
		}
		after := apply(t, "", given)
		if !slices.Contains(slices.Collect(maps.Values(after.source.flags)), "--"+o.Flag) {
			t.Errorf("--%s is not noted: %v", o.Flag, after.source.flags)
		}
		before.source, after.source = nil, nil
		if reflect.DeepEqual(before, after) {
			t.Errorf("--%s changes nothing", o.Flag)
		}
	}
}

// Flags may mend a plan that lacks something, and their problems are told
// beside the plan's.
func TestProblemsOfPlanAndFlags(t *testing.T) {
	p, err := Parse("plan.yaml", []byte("epochs: x\n"))
	if err == nil || strings.Contains(err.Error(), "no model") || p == nil {
		t.Fatalf("flags may bring models: %v", err)
	}
	if err := p.Apply(options{"budget-usd": {"y"}}); err == nil {
		t.Error("the flag's problem is lost")
	}
}

func TestIdentity(t *testing.T) {
	base := `name: n
dataset: {path: rows.jsonl, prompt: "{{ q }}", limit: 10}
models:
  - {name: a, endpoint: e, model: m, params: {max_tokens: 10, temperature: 1.0}, price: {input: 1, output: 1}}
  - {name: b, endpoint: simulator, model: n, params: {max_tokens: 10}}
endpoints: {e: {preset: openai, base_url: "https://x.example/v1", auth: {env: A_KEY}}}
`
	_, want := resolve(t, base).Identity()
	same := map[string]string{
		"comments and order": strings.Replace(base, "params: {max_tokens: 10, temperature: 1.0}",
			"params: {temperature: 1.0, max_tokens: 10}", 1) + "# x\n",
		"budget":  base + "budget: {tokens: 5}\n",
		"out":     base + "out: elsewhere\n",
		"name":    strings.Replace(base, "name: n\n", "name: other\n", 1),
		"retry":   base + "retry: {attempts: 9}\ntolerate_failed: 5%\nraw: none\n",
		"scorers": base + "scorers: [exact]\ngates: [\"error_rate < 1%\"]\ncompare: {baseline: b}\n",
		"limits and timeouts": strings.Replace(base, "auth: {env: A_KEY}",
			"auth: {env: B_KEY}, limits: {concurrency: 4}, timeouts: {idle: 5s}", 1),
		"price":               strings.Replace(base, "input: 1,", "input: 2,", 1),
		"streaming":           strings.Replace(base, "model: m,", "model: m, stream: true,", 1),
		"path of the dataset": strings.Replace(base, "rows.jsonl", "./copy/rows.jsonl", 1),
		"slash":               strings.Replace(base, "example/v1\"", "example/v1/\"", 1),
		"order of models":     "x-1: 0\n" + swapModels(base),
		"format auto":         strings.Replace(base, "limit: 10", "limit: 10, format: auto, seed: 5", 1),
	}
	for name, text := range same {
		if id, got := resolve(t, text).Identity(); got != want {
			t.Errorf("%s makes another run of it: %s", name, id)
		}
	}
	different := map[string]string{
		"prompt":   strings.Replace(base, "{{ q }}", "{{ q }}?", 1),
		"limit":    strings.Replace(base, "limit: 10", "limit: 11", 1),
		"model":    strings.Replace(base, "model: m,", "model: m2,", 1),
		"params":   strings.Replace(base, "temperature: 1.0", "temperature: 0", 1),
		"number":   strings.Replace(base, "temperature: 1.0", "temperature: 1", 1),
		"base url": strings.Replace(base, "x.example", "y.example", 1),
		"protocol": strings.Replace(base, "preset: openai,", "preset: openai, protocol: messages,", 1),
		"epochs":   base + "epochs: 2\n",
		"new model": strings.Replace(base, "endpoints:",
			"  - {name: c, endpoint: simulator, model: c, params: {max_tokens: 1}}\nendpoints:", 1),
		"filter": strings.Replace(base, "limit: 10", "limit: 10, filter: x > 1", 1),
	}
	for name, text := range different {
		if _, got := resolve(t, text).Identity(); got == want {
			t.Errorf("%s does not make another run of it", name)
		}
	}
	if id, _ := resolve(t, base).Identity(); strings.Contains(string(id), "KEY") {
		t.Errorf("the identity names where keys are: %s", id)
	}
}

func swapModels(text string) string {
	lines := strings.Split(text, "\n")
	lines[3], lines[4] = lines[4], lines[3]
	return strings.Join(lines, "\n")
}

// A scaffold is a valid plan, whatever the dataset is called and holds.
func TestScaffold(t *testing.T) {
	cases := map[string]scaffolding{
		"known shape": {Dataset: "data/gsm8k.jsonl",
			Info: datasets.Info{Shape: "question/answer", Target: "after ####", Rows: 1319,
				Fields: []string{"question", "answer"}}},
		"no shape": {Dataset: "odd name: #1.csv", Info: datasets.Info{Fields: []string{"a field", "b"}},
			Models: []string{"anthropic/claude-sonnet-4-6", "openrouter/x/y"}},
		"hostile": {Dataset: "x\nmodels: []",
			Info: datasets.Info{Shape: "s\nname: evil", Fields: []string{"}}\n{% raw", "on"}, Target: "in x\ny: z"}},
		"standard in":  {Dataset: "-", Info: datasets.Info{Shape: "prompt"}},
		"yes":          {Dataset: "yes", Info: datasets.Info{Shape: "prompt", Fields: []string{"prompt", "category"}}},
		"from nothing": {Dataset: "rows.jsonl"},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			text := scaffold(s)
			p, err := Parse("plan.yaml", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			r, err := p.Resolve(keys)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if r.Dataset.Paths[0] != s.Dataset {
				t.Errorf("dataset %q", r.Dataset.Paths)
			}
			if err := validate(t, text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			if want := max(len(s.Models), 1); len(r.Models) != want {
				t.Errorf("%d models, want %d", len(r.Models), want)
			}
		})
	}
}
