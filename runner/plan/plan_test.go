package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// keys is an environment in which every key is set and nothing else.
func keys(name string) string {
	if strings.HasSuffix(name, "_KEY") || strings.HasSuffix(name, "_KEY_2") {
		return "some-key"
	}
	return ""
}

func noEnv(string) string { return "" }

// env is an environment of these variables.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func parse(t *testing.T, text string) *Plan {
	t.Helper()
	p, err := Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func problems(t *testing.T, err error) []Problem {
	t.Helper()
	var all *Errors
	if !errors.As(err, &all) {
		t.Fatalf("want an *Errors, have %v", err)
	}
	return all.Problems
}

// small is a plan that resolves, with a place for more.
const small = `dataset: {path: rows.jsonl}
models: [{name: m, endpoint: simulator, model: sim-large, params: {max_tokens: 10}, price: {input: 1, output: 2}}]
`

func resolve(t *testing.T, text string) *Resolved {
	t.Helper()
	r, err := parse(t, text).Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every field of the contract arrives where the run will look for it.
func TestContractPlan(t *testing.T) {
	p, err := Load("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "gsm8k" || r.Out != "testdata/runs/gsm8k" || r.Epochs != 1 || r.Raw != "all" {
		t.Errorf("name %q, out %q, epochs %d, raw %q", r.Name, r.Out, r.Epochs, r.Raw)
	}
	d := r.Dataset
	if d.Dir != "testdata" || d.Paths[0] != "gsm8k.jsonl" || d.Fields["id"] != "qid" || d.Cluster != "topic" ||
		d.Limit != 200 {
		t.Errorf("dataset %+v", d)
	}
	if d.Prompt != "{{ question }}\n\nEnd with 'Answer: <number>'." || d.Target != "{{ answer }}" ||
		d.System != "You are careful." {
		t.Errorf("texts %q %q %q", d.System, d.Prompt, d.Target)
	}
	if *r.BudgetUSD != 20_000_000_000 || *r.BudgetTokens != 50_000_000 || r.Attempts != 4 || r.MaxStall != 2*time.Hour {
		t.Errorf("budget %v %v, retry %d %v", *r.BudgetUSD, *r.BudgetTokens, r.Attempts, r.MaxStall)
	}
	if r.Baseline != "sonnet" || r.Alpha != 0.05 || len(r.Gates) != 3 {
		t.Errorf("baseline %q, alpha %v, gates %q", r.Baseline, r.Alpha, r.Gates)
	}
	sonnet, gpt, inside := r.Models[0], r.Models[1], r.Models[2]
	if sonnet.Name != "sonnet" || sonnet.PriceID != "plan" || sonnet.Price.Input != 3e9 ||
		*sonnet.Price.CacheWrite1h != 6e9 || sonnet.MaxOutput != 1024 {
		t.Errorf("sonnet %+v", sonnet)
	}
	if gpt.PriceID != "litellm-2026-08-01/openai/gpt-5" || gpt.MaxTokens != 0 || gpt.MaxOutput != 128000 {
		t.Errorf("gpt-5 %+v", gpt)
	}
	if inside.ModelID != "1.0" {
		t.Errorf("model id %q, want the text of the plan", inside.ModelID)
	}
	want := providers.Endpoint{
		Name: "corp", Protocol: nightshift.Messages, BaseURL: "https://llm.example.com", Path: "/api/v1/messages",
		Auth: providers.Auth{Scheme: "bearer", Env: "CORP_KEY"}, Headers: map[string]string{"x-team": "evals"},
		Envelope: "none", IncludeUsage: true,
		Limits: limits.Config{Concurrency: 64, Requests: 4000, InputTokens: 400000, OutputTokens: 80000,
			Charge: limits.ChargeActual},
		Timeouts: providers.Timeouts{Connect: 10 * time.Second, FirstByte: 10 * time.Minute, Idle: time.Minute,
			Total: 30 * time.Minute},
		Batch: providers.BatchAPI{Dialect: providers.BatchAnthropic},
	}
	if diff := cmp.Diff(want, inside.Endpoint); diff != "" {
		t.Errorf("endpoint corp:\n%s", diff)
	}
	if len(r.Scorers) != 2 || r.Scorers[0].Scorer == nil || r.Scorers[0].Judge != nil {
		t.Errorf("scorers %+v", r.Scorers)
	}
	judge := r.Scorers[1]
	if judge.Judge == nil || judge.Judge.ModelID != "gpt-5" || judge.Judge.Price == nil || judge.Scorer != nil {
		t.Errorf("judge %+v", judge)
	}
	if text, _ := judge.Spec.Params["template"].(string); !strings.Contains(text, "{answer}") {
		t.Errorf("the judge's template is %q", text)
	}
}

func TestExamplesResolve(t *testing.T) {
	for _, path := range plans(t) {
		p, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		r, err := p.Resolve(keys)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(r.Notes) > 0 {
			t.Errorf("%s: notes %q", path, r.Notes)
		}
	}
}

func TestQuickstartNeedsNothing(t *testing.T) {
	p, err := Load("../../examples/quickstart/plan.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(noEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if !m.Simulated || m.Simulator == nil || m.Price == nil {
			t.Errorf("%s: %+v", m.Name, m)
		}
	}
	if r.Models[0].Endpoint.Protocol != nightshift.Messages || r.Models[1].Endpoint.Protocol != nightshift.Chat ||
		!r.Models[1].Stream {
		t.Error("the quickstart shows both protocols, one of them streamed")
	}
}

// A plan with many different mistakes has them all told at once, each at its
// place.
func TestAllMistakesAtOnce(t *testing.T) {
	text := `version: 1
datset:
  path: x.jsonl
epochs: many
models:
  - {name: a, endpoint: antropic, model: m}
  - name: a
    endpoint: openai
    model: gpt-5
    temperature: 0
budget: {usd: -3}
endpoints:
  corp: {preset: openai, base_url: "http://llm.example.com/v1"}
  corp: {protocol: chat}
scorers: [exact, {type: numbr}]
gates: ["error_rate <"]
tolerate_failed: 3 rows
raw: al
`
	_, err := Parse("dir/plan.yaml", []byte(text))
	want := []string{
		`dir/plan.yaml:2:1: unknown key "datset"`,
		`dir/plan.yaml:4:9: epochs must be a whole number; this is "many"`,
		`dir/plan.yaml:6:25: unknown endpoint "antropic"`,
		`dir/plan.yaml:7:11: models[0] and models[1] are both called a`,
		`dir/plan.yaml:10:5: unknown key "temperature" in models[1]`,
		`dir/plan.yaml:11:15: budget.usd: amount "-3": below zero`,
		`dir/plan.yaml:13:36: base_url "http://llm.example.com/v1": plain http`,
		`dir/plan.yaml:14:3: key "corp" appears twice; the first is on line 13`,
		`dir/plan.yaml:15:25: unknown scorer "numbr"`,
		`dir/plan.yaml:16:9: "error_rate <" is not a condition`,
		`dir/plan.yaml:17:18: tolerate_failed: "3 rows" is neither`,
		`dir/plan.yaml:18:6: unknown raw "al"`,
	}
	got := problems(t, err)
	for i, p := range got {
		if i >= len(want) || !strings.HasPrefix(p.String(), want[i]) {
			t.Errorf("problem %d: %s", i, p)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d problems, want %d", len(got), len(want))
	}
	for i, hint := range map[int]string{0: "did you mean dataset?", 2: "did you mean anthropic?", 4: "models[].params",
		8: "did you mean number?", 11: "did you mean all?"} {
		if !strings.Contains(got[i].Hint, hint) {
			t.Errorf("the hint of %q is %q, want %q", got[i].Message, got[i].Hint, hint)
		}
	}
}

func TestProblemLooksLikeThis(t *testing.T) {
	_, err := Parse("plan.yaml",
		[]byte("dataset: {path: x}\nmodels:\n  - {endpoint: simulator, model: m, parms: {}}\n"))
	want := `plan.yaml:3:37: unknown key "parms" in models[0]
    3 |   - {endpoint: simulator, model: m, parms: {}}
      |                                     ^
    did you mean params?`
	if err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
}

func TestCaretUnderTabsAndWideText(t *testing.T) {
	p := Problem{File: "p", Line: 7, Column: 4, Source: "a:\tä bad", Message: "x"}
	if want := "p:7:4: x\n    7 | a:\tä bad\n      |   \t^"; p.String() != want {
		t.Errorf("have %q, want %q", p.String(), want)
	}
	long := Problem{File: "p", Line: 1, Column: 500, Source: strings.Repeat("x", 499) + "!" + strings.Repeat("y", 400)}
	lines := strings.Split(long.excerpt(), "\n")
	if at := strings.Index(lines[2], "^"); at < 0 || lines[1][at] != '!' || len(lines[1]) > excerptWidth+10 {
		t.Errorf("the caret of a long line:\n%s", long.excerpt())
	}
}

func TestMistakes(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"empty", "", "the plan is empty"},
		{"comment only", "# nothing\n", "the plan is empty"},
		{"no YAML", "models: [a\nb: c", "not YAML"},
		{"tabs", "dataset:\n\tpath: x", "spaces, not tabs"},
		{"a list", "- a\n- b\n", "the plan must be a mapping"},
		{"two documents", small + "---\n" + small, "a plan is one YAML document"},
		{"duplicate key", small + "raw: all\nraw: none\n", `key "raw" appears twice`},
		{"duplicate key in params", "models: [{endpoint: simulator, model: m, params: {a: 1, a: 2}}]",
			`key "a" appears twice`},
		{"self-referring alias", "models: [{endpoint: simulator, model: m, params: &a {a: *a}}]",
			"expands to more than"},
		{"alias bomb", bomb(), "expands to more than"},
		{"deep nesting", "models: [{endpoint: simulator, model: m, params: {a: " + strings.Repeat("[", 500) +
			strings.Repeat("]", 500) + "}}]", ""},
		{"wrong type", "dataset: 5", "dataset must be a mapping"},
		{"list for a text", "name: [a]", "name must be a text"},
		{"mapping for a list", "models: {endpoint: a}", "models must be a list"},
		{"bool", "models: [{endpoint: simulator, model: m, stream: maybe}]", "models[0].stream must be true or false"},
		{"fraction for a count", "epochs: 1.5", "epochs must be a whole number"},
		{"huge count", "epochs: 99999999999999999999", "epochs must be a whole number"},
		{"negative seed", "dataset: {path: x, seed: -1}", "dataset.seed must be a whole number, not below zero"},
		{"not a number", "compare: {alpha: .nan}", "compare.alpha must be a number"},
		{"alpha", "compare: {alpha: 5}", "alpha must lie between 0 and 1"},
		{"duration", "retry: {max_stall: soon}", `"soon" is not a duration`},
		{"negative duration", "retry: {max_stall: -5s}", "must be above zero"},
		{"tolerance", "tolerate_failed: 150%", "more than all rows"},
		{"price", "models: [{endpoint: simulator, model: m, price: {input: 3}}]", "needs both input and output"},
		{"price unit", "models: [{endpoint: simulator, model: m, price: {input: 3000000, output: 1}}]", "above 1e+06"},
		{"negative price", "models: [{endpoint: simulator, model: m, price: {input: -3, output: 1}}]", "below zero"},
		{"infinite in params", "models: [{endpoint: simulator, model: m, params: {x: .inf}}]",
			"not a number that JSON can hold"},
		{"model in params", "models: [{endpoint: simulator, model: m, params: {model: x}}]", "it is not a parameter"},
		{"stream in params", "models: [{endpoint: simulator, model: m, params: {stream: true}}]",
			"stream is not a parameter"},
		{"max_tokens as text", "models: [{endpoint: simulator, model: m, params: {max_tokens: '5'}}]",
			"must be a whole number above zero"},
		{"no model id", "models: [{endpoint: simulator}]", "does not say which model"},
		{"no endpoint", "models: [{model: m}]", "does not say which endpoint"},
		{"control character", "models: [{endpoint: simulator, model: m, name: \"a\\nb\"}]", "no control characters"},
		{"unknown preset", "endpoints: {a: {preset: opena}}", "did you mean openai?"},
		{"nothing known", "endpoints: {a: {base_url: 'https://x.example'}}", "endpoint a has no protocol"},
		{"no auth", "endpoints: {a: {base_url: 'https://x.example', protocol: chat}}",
			"does not say how its key is sent"},
		{"no base url", "endpoints: {a: {protocol: chat, auth: none}}", "has no base URL"},
		{"key in url", "endpoints: {a: {base_url: 'https://me:pw@x.example', protocol: chat, auth: none}}",
			"user name or password"},
		{"key in header", "endpoints: {a: {preset: openai, headers: {authorization: Bearer abc}}}",
			"keys belong in auth"},
		{"host header", "endpoints: {a: {preset: openai, headers: {host: x}}}", "it follows from base_url"},
		{"protocol", "endpoints: {a: {preset: openai, protocol: mesages}}", "did you mean messages?"},
		{"a protocol that a preset does not speak",
			"endpoints: {a: {preset: moonshot, protocol: messages}, b: {preset: opeai, protocol: chat}}",
			"preset opeai speaks messages, not chat"},
		{"envelope", "endpoints: {a: {preset: openai, envelope: x}}", "allowed: none, data"},
		{"scheme", "endpoints: {a: {preset: openai, auth: {scheme: basic, env: A}}}",
			`unknown endpoints.a.auth.scheme "basic"`},
		{"charge", "endpoints: {a: {preset: openai, limits: {charge: maximum}}}", "unknown endpoints.a.limits.charge"},
		{"negative limit", "endpoints: {a: {preset: openai, limits: {concurrency: -1}}}", "concurrency is below zero"},
		{"slash in name", "endpoints: {a/b: {preset: openai}}", "has no slash"},
		{"header without name", "endpoints: {a: {preset: openai, auth: {scheme: header, env: A}}}", "header"},
		{"env and file", "endpoints: {a: {preset: openai, auth: {env: A, file: b}}}", "one of env, file and command"},
		{"simulator settings elsewhere", "endpoints: {a: {preset: openai, simulator: {seed: 1}}}",
			"only the simulator"},
		{"idle route", "endpoints: {a: {preset: openai, routes: [{name: x}]}}", "a route needs a base_url or an auth"},
		{"api_key", "endpoints: {a: {preset: openai, api_key: sk-123456789}}", "keys do not belong in a plan"},
		{"baseline", small + "compare: {baseline: n}", `no model is called "n"`},
		{"gate of a misspelt model", strings.Replace(small, "name: m,", "name: sonnet,", 1) +
			`gates: ["score(sonet) > 1"]`, "did you mean sonnet?"},
		{"scorer without type", small + "scorers: [{style: last}]", "a scorer needs a type"},
		{"scorer's parameter", small + "scorers: [{type: number, stile: last}]", `"stile"`},
		{"twice the same scorer", small + "scorers: [exact, exact]", "both called exact"},
		{"judge without model", small + "scorers: [{type: judge_grade}]", "a judge needs a model"},
		{"judge of no model", small + "scorers: [{type: judge_grade, model: x}]", `no model is called "x"`},
		{"model for a rule", small + "scorers: [{type: exact, model: m}]", "is for scorers that ask a model"},
		{"stdin among files", "dataset: {path: ['-', x]}", "cannot be one of several"},
		{"version", "version: 2", "unknown plan version 2"},
		{"limits at the top", "concurrency: 5", "endpoints.NAME.limits"},
		{"on_unknown", "on_unknown: resent", "did you mean resend?"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse("plan.yaml", []byte(c.text))
			if err == nil {
				_, err = p.Resolve(keys)
			}
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v\nwant %q", err, c.want)
			}
			for _, p := range problems(t, err) {
				if p.Line == 0 && p.Flag == "" && p.Path != "models" && p.Path != "dataset.path" &&
					!strings.Contains(p.Message, "empty") {
					t.Errorf("no place: %+v", p)
				}
			}
		})
	}
}

// bomb unfolds to 10^9 values.
func bomb() string {
	var b strings.Builder
	b.WriteString("x-a: &a0 [1,1,1,1,1,1,1,1,1,1]\n")
	for i := 1; i < 9; i++ {
		refs := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ",")
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, refs)
	}
	return b.String() + "models: [{endpoint: simulator, model: m, params: {x: *a8}}]\n"
}

func TestAnchorsAndMerges(t *testing.T) {
	p := parse(t, `x-base: &base {endpoint: simulator, params: {max_tokens: 10, top_p: 0.9}}
dataset: {path: a}
models:
  - {<<: *base, model: a}
  - {<<: [*base], model: b, params: {max_tokens: 20}}
`)
	if len(p.Models) != 2 || p.Models[0].Endpoint != "simulator" || p.Models[0].Params[1].Name != "top_p" {
		t.Fatalf("%+v", p.Models)
	}
	if len(p.Models[1].Params) != 1 || string(p.Models[1].Params[0].Value) != "20" {
		t.Errorf("what stands beside a merge wins: %+v", p.Models[1].Params)
	}
}

// Parameters go into the body as they are written: order, number texts, types.
func TestParamsAsWritten(t *testing.T) {
	p := parse(t, `models:
- endpoint: simulator
  model: m
  params:
    z: 1.0
    a: 1.10
    big: 12345678901234567890
    exp: 1e5
    neg: -0.5
    plus: +3
    hex: 0x1F
    under: 1_000
    dot: .5
    text: "1.0"
    yes: yes
    on: true
    nothing: null
    empty:
    date: 2024-01-01
    html: <a & b>
    tools:
      - {name: f, input_schema: {type: object, properties: {b: {type: string}, a: {type: number}}}}
`)
	b, err := p.Models[0].Params.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"z":1.0,"a":1.10,"big":12345678901234567890,"exp":1e5,"neg":-0.5,"plus":3,"hex":31,"under":1000,"dot":0.5,` +
		`"text":"1.0","yes":"yes","on":true,"nothing":null,"empty":null,"date":"2024-01-01","html":"<a & b>",` +
		`"tools":[{"name":"f","input_schema":{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"number"}}}}]}`
	if string(b) != want {
		t.Errorf("have %s\nwant %s", b, want)
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]time.Duration{"60s": time.Minute, "10m": 10 * time.Minute,
		"1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond, "90": 90 * time.Second,
		"1.5": 1500 * time.Millisecond, "2 h": 2 * time.Hour} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(d), err, want)
		}
	}
	for text, want := range map[string]Tolerance{"0": {}, "3": {Count: 3}, "1%": {Share: 0.01}, "0.5": {Share: 0.5},
		"1": {Count: 1}, "100%": {Share: 1}, " 2 % ": {Share: 0.02}} {
		var tol Tolerance
		if err := tol.UnmarshalText([]byte(text)); err != nil || tol != want {
			t.Errorf("%q is %+v, %v; want %+v", text, tol, err, want)
		}
	}
	for _, c := range []struct {
		t            Tolerance
		failed, rows int64
		want         bool
	}{{Tolerance{}, 0, 100, false}, {Tolerance{}, 1, 100, true}, {Tolerance{Count: 3}, 3, 10,
		false}, {Tolerance{Count: 3}, 4, 10, true}, {Tolerance{Share: 0.01}, 1, 100, false},
		{Tolerance{Share: 0.01}, 2, 100, true}} {
		if c.t.Exceeded(c.failed, c.rows) != c.want {
			t.Errorf("%+v with %d of %d failed: exceeded is not %v", c.t, c.failed, c.rows, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	r := resolve(t, small)
	if r.Name != "plan" && r.Name == "" || r.Epochs != 1 || r.Attempts != 4 || r.MaxStall != 2*time.Hour ||
		r.Alpha != 0.05 || r.Raw != "all" || r.Baseline != "m" {
		t.Errorf("%+v", r)
	}
	if r.BudgetUSD != nil || r.BudgetTokens != nil || r.SkipUnknown || r.Strict {
		t.Errorf("limits nobody asked for: %+v", r)
	}
}

func TestNames(t *testing.T) {
	for path, want := range map[string]string{"evals/gsm8k.yaml": "gsm8k", "a/b/nightly/plan.yaml": "nightly",
		"x.plan.yml": "x"} {
		p, err := Parse(path, []byte(small))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(keys)
		if err != nil {
			t.Fatal(err)
		}
		if r.Name != want || r.Out != filepath.Join(filepath.Dir(path), "runs", want) {
			t.Errorf("%s: name %q, out %q", path, r.Name, r.Out)
		}
	}
}

func TestTextsFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("prompt.txt", "Say {{ x }}\n")
	plan := write("plan.yaml", strings.Replace(small, "path: rows.jsonl",
		"path: rows.jsonl, prompt: 'file:prompt.txt', system: 'file: missing.txt'", 1))
	p, err := Load(plan)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "missing.txt") || !strings.Contains(err.Error(), plan+":1:") {
		t.Errorf("a missing file: %v", err)
	}
	write("missing.txt", "Be brief.")
	r, err := p.Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	if r.Dataset.Prompt != "Say {{ x }}" || r.Dataset.System != "Be brief." || r.Dataset.Dir != dir {
		t.Errorf("%+v", r.Dataset)
	}
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	loose := filepath.Join(dir, "loose")
	tight := filepath.Join(dir, "tight")
	for path, mode := range map[string]os.FileMode{loose: 0o644, tight: 0o600} {
		if err := os.WriteFile(path, []byte("secret"), mode); err != nil {
			t.Fatal(err)
		}
	}
	model := "dataset: {path: a}\nmodels: [{endpoint: e, model: m, params: {max_tokens: 5}}]\nendpoints: {e: " +
		"{preset: openai, %s}}\n"
	cases := []struct {
		name, endpoint, want string
		env                  func(string) string
	}{
		{"set", "auth: {env: A}", "", env("A", "k")},
		{"not set", "auth: {env: A}", "A is not set", noEnv},
		{"blank", "auth: {env: A}", "A is not set", env("A", " \n")},
		{"file", "auth: {file: " + tight + "}", "", noEnv},
		{"file for all to read", "auth: {file: " + loose + "}", "others may read", noEnv},
		{"no file", "auth: {file: " + dir + "/none}", "no such file", noEnv},
		{"none", "auth: none", "", noEnv},
		{"second key", "auth: {env: A}, routes: [{auth: {env: B}}]", "B is not set", env("A", "k")},
		{"preset's", "limits: {concurrency: 1}", "OPENAI_API_KEY is not set", noEnv},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := parse(t, fmt.Sprintf(model, c.endpoint)).Resolve(c.env)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("have %v, want %q", err, c.want)
			}
			var all *Errors
			if !errors.As(err, &all) || !all.OnlyKeys() || r == nil {
				t.Error("a missing key must not keep a check from being made")
			}
			if len(all.Problems) != 1 || !strings.Contains(err.Error(), "plan.yaml:3:") {
				t.Errorf("told as %v", err)
			}
		})
	}
}

// A key that someone pasted into a plan is not printed.
func TestPastedKeysAreNotShown(t *testing.T) {
	const key = "sk-ant-api03-AbCdEf0123456789"
	for _, line := range []string{
		"endpoints: {a: {preset: openai, api_key: " + key + "}}",
		"endpoints: {a: {preset: openai, auth: {env: " + key + "}}}",
		"endpoints: {a: {preset: openai, auth: " + key + "}}",
		"endpoints: {a: {preset: openai, auth: {scheme: " + key + "}}}",
		"endpoints: {a: {preset: openai, headers: {authorization: Bearer " + key + "}}}",
		"endpoints: {a: {preset: openai, base_url: 'https://" + key + "@host.example/'}}",
		"endpoints: {a: {preset: openai, base_url: 'https://host.example/?key=" + key + "'}}",
		"password: hunter2-" + key,
		"raw: " + key,
		key + ": x",
		"endpoints: {a: {preset: " + key + "}}",
		"models: [{endpoint: " + key + ", model: m}]",
	} {
		_, err := Parse("plan.yaml", []byte(line+"\n"))
		if err == nil {
			p := parse(t, line)
			_, err = p.Resolve(keys)
		}
		if err == nil || strings.Contains(err.Error(), key[:12]) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\nis told as %v", line, err)
		}
	}
}

func TestBudgets(t *testing.T) {
	base := "dataset: {path: a}\nmodels: [{name: m, endpoint: %s, model: %s%s}]\n%s\n"
	cases := []struct{ name, endpoint, model, more, budget, want string }{
		{"known price and cap", "openai", "gpt-5", ", params: {max_completion_tokens: 9}", "budget: {usd: 1}", ""},
		{"cap from the price table", "openai", "gpt-5", "", "budget: {usd: 1, tokens: 9}", ""},
		{"unknown price", "openai", "my-model", ", params: {max_tokens: 5}", "budget: {usd: 1}",
			"that of m (my-model) is not known"},
		{"tokens need no price", "openai", "my-model", ", params: {max_tokens: 5}", "budget: {tokens: 1}", ""},
		{"unknown cap", "openai", "my-model", "", "budget: {tokens: 1}", "nothing caps those of m"},
		{"cap beside the params", "openai", "my-model", ", max_output: 100", "budget: {tokens: 1}", ""},
		{"own price", "openai", "my-model", ", max_output: 100, price: {input: 1, output: 1}", "budget: {usd: 1}", ""},
		{"a gateway charges its own", "openrouter", "gpt-5", ", params: {max_tokens: 5}", "budget: {usd: 1}",
			"is not known"},
		{"a gateway that charges list prices", "g", "gpt-5", ", params: {max_tokens: 5}",
			"budget: {usd: 1}\nendpoints: {g: {preset: openrouter, prices: openai}}", ""},
		{"a judge too", "openai", "gpt-5", "", "budget: {usd: 1}\nscorers: [{type: judge_grade, name: j, endpoint: " +
			"openai, model: mystery}]", "that of j (mystery) is not known"},
		{"fast mode without its price", "anthropic", "claude-sonnet-4-6", ", params: {max_tokens: 5, speed: fast}",
			"budget: {usd: 1}", `in the tier "fast", which its params ask for, is not known`},
		{"fast mode with its price", "anthropic", "claude-sonnet-4-6",
			", params: {max_tokens: 5, speed: fast}, price: {input: 3, output: 15, services: {fast: 6}}",
			"budget: {usd: 1}", ""},
		{"a tier without its price", "openai", "my-model",
			", params: {max_tokens: 5, service_tier: flex}, price: {input: 1, output: 1}", "budget: {usd: 1}",
			`the tier "flex"`},
		{"a tier at the usual price", "openai", "gpt-5", ", params: {max_tokens: 5, service_tier: default}",
			"budget: {usd: 1}", ""},
		{"nothing to spend", "openai", "gpt-5", "", "budget: {usd: 0}", "a budget must be above zero"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse("plan.yaml", fmt.Appendf(nil, base, c.endpoint, c.model, c.more, c.budget))
			if err == nil {
				_, err = p.Resolve(keys)
			}
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("have %v, want %q", err, c.want)
			}
		})
	}
}

func TestUnknownPriceIsNoted(t *testing.T) {
	r := resolve(t, "dataset: {path: a}\nmodels: [{endpoint: openrouter, model: x/y}]\n")
	if r.Models[0].Price != nil || r.Models[0].PriceID != "" || len(r.Notes) != 1 ||
		!strings.Contains(r.Notes[0], "price") {
		t.Errorf("%+v, notes %q", r.Models[0], r.Notes)
	}
}

func TestUnknownTierIsNoted(t *testing.T) {
	for more, want := range map[string]bool{
		"params: {max_tokens: 5, speed: fast}":                                                     true,
		"params: {max_tokens: 5, speed: standard}":                                                 false,
		"params: {max_tokens: 5, speed: fast}, price: {input: 3, output: 15, services: {fast: 6}}": false,
	} {
		r := resolve(t, "dataset: {path: a}\nmodels: [{endpoint: anthropic, model: claude-sonnet-4-6, "+more+"}]\n")
		if noted := strings.Contains(strings.Join(r.Notes, "\n"), `tier "fast"`); noted != want ||
			r.Models[0].Price == nil {
			t.Errorf("%s: notes %q", more, r.Notes)
		}
	}
}

func TestMessagesNeedMaxTokens(t *testing.T) {
	text := "dataset: {path: a%s}\nmodels: [{endpoint: anthropic, model: claude-sonnet-4-6}]\n"
	r := resolve(t, fmt.Sprintf(text, ""))
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "max_tokens") {
		t.Errorf("notes %q", r.Notes)
	}
	_, err := parse(t, fmt.Sprintf(text, ", prompt: '{{ q }}'")).Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "every request needs max_tokens") {
		t.Errorf("have %v", err)
	}
}

func TestEnvironmentChangesPresets(t *testing.T) {
	p := parse(t, "dataset: {path: a}\nmodels: [{endpoint: anthropic, model: claude-sonnet-4-6, params: "+
		"{max_tokens: 5}}]\n")
	r, err := p.Resolve(env("ANTHROPIC_AUTH_TOKEN", "t", "ANTHROPIC_BASE_URL", "https://proxy.example"))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Models[0].Endpoint
	if e.BaseURL != "https://proxy.example" || e.Auth.Env != "ANTHROPIC_AUTH_TOKEN" || e.Auth.Scheme != "bearer" {
		t.Errorf("%+v", e)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "proxy.example") {
		t.Errorf("requests go elsewhere and nobody is told: %q", r.Notes)
	}
	_, err = p.Resolve(env("ANTHROPIC_API_KEY", "t", "ANTHROPIC_BASE_URL", "http://proxy.example"))
	if err == nil || !strings.HasPrefix(err.Error(), "ANTHROPIC_BASE_URL: ") {
		t.Errorf("have %v", err)
	}
}

// A preset that is spoken to in its other protocol has that one's path, auth
// and headers.
func TestPresetInItsOtherProtocol(t *testing.T) {
	r := resolve(t, "dataset: {path: a}\nmodels: [{endpoint: c, model: m, params: {max_tokens: 5}}]\nendpoints: {c: "+
		"{preset: ccapi, protocol: chat}}\n")
	want, _ := providers.Lookup("ccapi", nightshift.Chat, os.Getenv)
	want.Name = "c"
	if diff := cmp.Diff(want, r.Models[0].Endpoint); diff != "" {
		t.Error(diff)
	}
}

func TestJSONOfPlanIsStable(t *testing.T) {
	p, err := Load("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"max_stall":"2h0m0s"`) ||
		!strings.Contains(string(b), `"params":{"max_tokens":1024}`) {
		t.Errorf("%s", b)
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/contract.yaml", "../../examples/quickstart/plan.yaml",
		"../../examples/gateways/plan.yaml", "../../examples/comparison/plan.yaml"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(bomb()))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Add([]byte("<<: [*x]\n"))
	f.Add([]byte("models: [!!binary x, !!str 1, !!int \"x\", ~]\n"))
	f.Add([]byte("dataset: {path: a}\nmodels: [{endpoint: simulator, model: m, params: {a: !!int x, b: 1e999999999, " +
		"c: 0x, d: !!float}}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse("fuzz.yaml", b)
		if err != nil {
			_ = err.Error()
			return
		}
		for _, m := range p.Models {
			for _, param := range m.Params {
				if !json.Valid(param.Value) {
					t.Fatalf("param %s is %s", param.Name, param.Value)
				}
			}
		}
		if strings.Contains(string(b), "file") || strings.Contains(string(b), "template") ||
			strings.Contains(string(b), "prices") {
			return // would read files
		}
		if r, err := p.Resolve(noEnv); err == nil {
			r.Identity()
		}
	})
}

func TestPriceFor(t *testing.T) {
	r := resolve(t, "dataset: {path: a}\nmodels: [{endpoint: openai, model: alias}, {endpoint: openrouter, model: "+
		"gpt-5}, {endpoint: simulator, model: s, params: {max_tokens: 1}}]\n")
	alias, routed, simulated := r.Models[0], r.Models[1], r.Models[2]
	if _, _, ok := alias.priceFor(""); ok {
		t.Error("an alias has a price")
	}
	if p, id, ok := alias.priceFor("gpt-5-2025-08-07"); !ok || p.Input == 0 ||
		!strings.HasSuffix(id, "/openai/gpt-5-2025-08-07") {
		t.Errorf("the answer's name leads to %q, %v", id, ok)
	}
	if _, id, ok := routed.priceFor("gpt-5"); ok {
		t.Errorf("a gateway is taken to charge %s", id)
	}
	if p, id, ok := simulated.priceFor(""); !ok || p.Input != 0 || id != "simulator" {
		t.Errorf("the simulator costs %v by %q", p, id)
	}
}

// What may be a key is struck out of the lines that messages show; a number or
// a truth value is none.
func TestStrike(t *testing.T) {
	for text, want := range map[string]string{
		"params: {max_token: 5}":                  "params: {max_token: 5}",
		"max_tokens: 1_000 # enough":              "max_tokens: 1_000 # enough",
		"{max_token: 5, api_key: hush}":           "{max_token: 5, api_key: *****",
		"allow_token: true":                       "allow_token: true",
		"api_key: 12345678901234567890":           "api_key: ********************",
		"token: abc5":                             "token: ****",
		"{max_tokens: 9, stop: x, secret: 5-a-b}": "{max_tokens: 9, stop: x, secret: ******",
	} {
		if got := redact(text); got != want {
			t.Errorf("redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNearNamesBothOfTwo(t *testing.T) {
	for word, want := range map[string]string{"opnai": "opeai or openai", "openai": "openai", "antropic": "anthropic",
		"zzzzz": ""} {
		if got := words.Near(word, []string{"openai", "opeai", "anthropic"}); got != want {
			t.Errorf("words.Near(%q) = %q, want %q", word, got, want)
		}
	}
}

// A text that is no YAML is one mistake: what it lacks is not known.
func TestUnreadablePlanIsOneMistake(t *testing.T) {
	p, err := Parse("plan.yaml", []byte("version: 1\nmodels: [\n"))
	if err == nil || !strings.Contains(err.Error(), "plan.yaml:3:1: not YAML") {
		t.Fatalf("Parse = %v", err)
	}
	if _, err := p.Resolve(func(string) string { return "" }); err != nil {
		t.Errorf("Resolve = %v, want nothing beyond it", err)
	}
}
