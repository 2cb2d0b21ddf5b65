package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/simulator/testdata/simtest"
	"nightshift/runner/store/view"
)

// A question is a row of a multiple-choice dataset.
type question struct {
	ID      string   `json:"id"`
	Prompt  string   `json:"prompt"`
	Choices []string `json:"choices"`
	Target  any      `json:"target"`
}

// writePlan puts rows and a plan into a folder, and returns the plan and the run
// directory.
func writePlan[T any](t *testing.T, rows []T, plan string) (path, out string) {
	t.Helper()
	dir := t.TempDir()
	var data strings.Builder
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		data.Write(append(b, '\n'))
	}
	path = filepath.Join(dir, "plan.yaml")
	for name, text := range map[string]string{"data.jsonl": data.String(), "plan.yaml": plan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, filepath.Join(dir, "out")
}

// scoresOf are the values of a score table by row id.
func scoresOf(t *testing.T, out, table string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for s, err := range view.Scores(out, table) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Value == nil {
			t.Errorf("%s: %s is %s: %s", table, s.ID, s.Status, deref(s.Explanation))
			continue
		}
		all[s.ID] = *s.Value
	}
	return all
}

const scoredPlan = `version: 1
name: scored
dataset: {path: data.jsonl}
models:
  - {name: base, endpoint: e, model: m, price: {input: 3, output: 15}}
endpoints:
  e: {protocol: completions, base_url: %q, auth: none, limits: {concurrency: 8}}
scorers:
  - {type: loglikelihood, name: acc}
  - {type: loglikelihood, name: acc_norm, normalize: bytes}
retry: {attempts: 8}
out: out
`

// likeliest is the choice with the highest sum of log-probabilities, plain and per
// byte, computed from the model's own figures: the tokens of prompt and choice that
// reach beyond the prompt without the space at its end.
func likeliest(q question) (plain, perByte int) {
	best, bestNorm := math.Inf(-1), math.Inf(-1)
	for i, choice := range q.Choices {
		before := len(strings.TrimRight(q.Prompt, " "))
		whole := strings.TrimRight(q.Prompt, " ") + " " + choice
		sum := 0.0
		for _, token := range simtest.Logprobs("m", whole) {
			if token.At+len(token.Text) > before {
				sum += token.Logprob
			}
		}
		if sum > best {
			best, plain = sum, i
		}
		if n := sum / float64(len(choice)); n > bestNorm {
			bestNorm, perByte = n, i
		}
	}
	return plain, perByte
}

func questions(n int) (all []question) {
	words := strings.Fields("amber birch cedar delta ember fjord grove heath islet jetty knoll lagoon meadow nook orchard")
	for i := range n {
		q := question{ID: fmt.Sprintf("q-%d", i), Prompt: fmt.Sprintf("Question %d: which place is meant?\nAnswer:", i)}
		if i%3 == 0 {
			q.Prompt += " " // belongs to the choice
		}
		for k := range 3 + i%2 {
			q.Choices = append(q.Choices, strings.Join(words[(i+5*k)%12:(i+5*k)%12+1+(i+k)%3], " "))
		}
		right := (i * 7) % len(q.Choices)
		q.Target = []any{right, q.Choices[right], string(rune('A' + right))}[i%3]
		all = append(all, q)
	}
	return all
}

// TestLoglikelihoodIsExact scores choices against a server whose log-probabilities
// are known, under faults: accuracy and normalised accuracy are exactly those that
// the test computes, each request is answered once, and tokens and money are those of
// the ledger.
func TestLoglikelihoodIsExact(t *testing.T) {
	t.Parallel()
	s := serve(t, "--faults", "mixed=5%")
	rows := questions(60)
	path, out := writePlan(t, rows, fmt.Sprintf(scoredPlan, s.url))
	c := start(t, "run", path)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, c.out.String(), c.errs.String())
	}
	acc, norm := scoresOf(t, out, "acc"), scoresOf(t, out, "acc_norm")
	hits, requests := 0, 0
	for i, q := range rows {
		plain, perByte := likeliest(q)
		right := (i * 7) % len(q.Choices)
		if acc[q.ID] != one(plain == right) || norm[q.ID] != one(perByte == right) {
			t.Errorf("%s: %v and %v, want %v and %v", q.ID, acc[q.ID], norm[q.ID], plain == right, perByte == right)
		}
		hits += int(acc[q.ID])
		requests += len(q.Choices)
	}
	if hits == 0 || hits == len(rows) {
		t.Errorf("%d of %d right: the test has lost its subject", hits, len(rows))
	}
	var in int64
	for r, err := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != nightshift.OutcomeOK {
			t.Errorf("%s: %s: %s", r.ID, r.Outcome, deref(r.ErrorMessage))
		}
		in += deref(r.InputTokens)
		if int(r.Attempts) == len(rows[r.Row].Choices) && deref(r.CostNanoUSD) != 3000*deref(r.InputTokens) {
			t.Errorf("%s cost %d for %d tokens", r.ID, deref(r.CostNanoUSD), deref(r.InputTokens))
		}
	}
	l := s.totals(t)
	if l.Delivered != int64(requests) || in != l.DeliveredTokens.InputTotal() || l.DeliveredTokens.Output != 0 {
		t.Errorf("%d requests delivered, want %d; %d tokens, the ledger has %+v", l.Delivered, requests, in,
			l.DeliveredTokens)
	}
	if code := start(t, "run", path, "-q").wait(t); code != exitOK || s.totals(t).Received != l.Received {
		t.Errorf("the second start: exit code %d, %d more requests", code, s.totals(t).Received-l.Received)
	}
	if code := start(t, "verify", out).wait(t); code != exitOK {
		t.Errorf("verify: exit code %d", code)
	}
}

func one(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// TestLoglikelihoodOfATable scores against a server that answers with figures that a
// person has written down.
func TestLoglikelihoodOfATable(t *testing.T) {
	table := map[string]string{ // prompt → tokens and log-probabilities
		"2 + 2 = 4":               `["2"," +"," 2"," ="," 4"]|[null,-1,-1,-1,-0.9]`,
		"2 + 2 = twenty and two":  `["2"," +"," 2"," ="," twenty"," and"," two"]|[null,-1,-1,-1,-0.5,-0.3,-0.2]`,
		"The sky is blue":         `["<s>","The"," sky"," is"," blue"]|[null,-3,-2,-1,-0.7]`,
		"The sky is greenish red": `["<s>","The"," sky"," is"," greenish"," red"]|[null,-3,-2,-1,-4,-3]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Prompt    string
			Echo      bool
			Logprobs  int
			MaxTokens *int `json:"max_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !asked.Echo || asked.Logprobs != 1 ||
			asked.MaxTokens == nil || *asked.MaxTokens != 0 {
			t.Errorf("asked %+v (%v)", asked, err)
		}
		tokens, logprobs, ok := strings.Cut(table[asked.Prompt], "|")
		if !ok {
			t.Errorf("prompt %q", asked.Prompt)
		}
		fmt.Fprintf(w,
			`{"id":"x","object":"text_completion","model":"m","choices":[{"index":0,"text":%q,`+
				`"logprobs":{"tokens":%s,"token_logprobs":%s},"finish_reason":"length"}],`+
				`"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}}`,
			asked.Prompt, tokens, logprobs)
	}))
	defer server.Close()
	path, out := writePlan(t, []question{
		{"sum", "2 + 2 =", []string{"4", "twenty and two"}, "4"},              // −0.9 and −1.0; per byte −0.9 and −0.071
		{"sky", "The sky is ", []string{"blue", "greenish red"}, []int{0}[0]}, // −0.7 and −7; per byte −0.175 and −0.58
	}, fmt.Sprintf(scoredPlan, server.URL))
	c := start(t, "run", path, "-q")
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	acc, norm := scoresOf(t, out, "acc"), scoresOf(t, out, "acc_norm")
	if acc["sum"] != 1 || norm["sum"] != 0 || acc["sky"] != 1 || norm["sky"] != 1 {
		t.Errorf("acc %v, acc_norm %v", acc, norm)
	}
}

// TestNoPromptLogprobs stops at once where a server gives no log-probabilities of
// the prompt: scores at chance would be worse than none.
func TestNoPromptLogprobs(t *testing.T) {
	path, out := writePlan(t, questions(40), strings.ReplaceAll(fmt.Sprintf(scoredPlan, "x"),
		`e: {protocol: completions, base_url: "x", auth: none, limits: {concurrency: 8}}`,
		`e: {preset: simulator, protocol: completions, simulator: {models: {m: {no_prompt_logprobs: true}}}}`))
	c := start(t, "run", path)
	if code := c.wait(t); code != exitStopped {
		t.Errorf("exit code %d, want %d", code, exitStopped)
	}
	if said := c.errs.String(); !strings.Contains(said, "log-probabilities of the prompt") ||
		!strings.Contains(said, "vLLM") {
		t.Errorf("stderr: %s", said)
	}
	for r := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
		t.Errorf("%s is on record as %s", r.ID, r.Outcome)
	}
}

// TestPerplexity compares the perplexity of texts with what their log-probabilities
// give.
func TestPerplexity(t *testing.T) {
	s := serve(t)
	type row struct {
		ID     string `json:"id"`
		Prompt string `json:"prompt"`
	}
	rows := []row{{"a", "The harbour lies quiet at dawn, and boats come home."}, {"b", "Ice, é and 日本 are words too."},
		{"c", "One two"}}
	plan := fmt.Sprintf(scoredPlan, s.url)
	plan = plan[:strings.Index(plan, "scorers:")] + "scorers:\n  - perplexity\n  - {type: perplexity, name: bytes, " +
		"unit: byte}\nout: out\n"
	path, out := writePlan(t, rows, plan)
	c := start(t, "run", path)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	var sum, tokens, bytes float64
	for _, r := range rows {
		for i, token := range simtest.Logprobs("m", r.Prompt) {
			if i > 0 { // nothing stands before the first
				sum, tokens, bytes = sum+token.Logprob, tokens+1, bytes+float64(len(token.Text))
			}
		}
	}
	var compared struct {
		Scorers []struct {
			Name   string
			Models []struct {
				Mean  float64
				Words string
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(out, "comparison.json"))
	if err != nil || json.Unmarshal(raw, &compared) != nil || len(compared.Scorers) != 2 {
		t.Fatalf("comparison.json: %v\n%s", err, raw)
	}
	for i, n := range []float64{tokens, bytes} {
		if got := compared.Scorers[i].Models[0].Mean; math.Abs(got-math.Exp(sum/n)) > 1e-9 {
			t.Errorf("%s: %v, want %v", compared.Scorers[i].Name, got, math.Exp(sum/n))
		}
	}
	want := fmt.Sprintf("perplexity %.4f a token, %.4f a byte, %.4f bits per byte", math.Exp(-sum/tokens),
		math.Exp(-sum/bytes), -sum/bytes/math.Ln2)
	if got := compared.Scorers[0].Models[0].Words; !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBaseModelExample runs the example of base models on multiple choice: both
// scorers are there for every row, and the models are compared.
func TestBaseModelExample(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	plan := filepath.Join(repository(t), "examples/basemodel/plan.yaml")
	c := start(t, "run", plan, "-q", "--out", out)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	for _, want := range []string{"acc vs large", "acc_norm vs large"} {
		if !strings.Contains(c.out.String(), want) {
			t.Errorf("stdout lacks %q:\n%s", want, c.out.String())
		}
	}
	for _, table := range []string{"acc", "acc_norm"} {
		n := 0
		for s, err := range view.Scores(out, table) {
			if err != nil || s.Value == nil {
				t.Fatalf("%s: %+v, %v", table, s, err)
			}
			n++
		}
		if n != 48 {
			t.Errorf("%s: %d scores, want 48", table, n)
		}
	}
}
