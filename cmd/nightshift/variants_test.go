package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the models of plantedPlan answer is known by row, model and prompt: large has
// nine of ten rows right, but seven when it is to be brief; small has six, but eight when
// it is asked with "Please". The temperature changes nothing.
func plantedRight(model, variant string, row int) bool {
	right := map[string]int{
		"large plain": 9, "large please": 9, "large brief": 7, "small plain": 6, "small please": 8, "small brief": 6,
	}
	return row%10 < right[model+" "+variant]
}

const plantedPlan = `version: 1
dataset: {path: rows.jsonl, prompt: "{{ q }}", target: "{{ t }}"}
models:
  - {name: large, endpoint: sim, model: large, params: {max_tokens: 60, temperature: [0, 0.7]}}
  - {name: small, endpoint: sim, model: small, params: {max_tokens: 60, temperature: [0, 0.7]}}
variants:
  - {name: plain}
  - {name: please, prompt: "Please: {{ q }}"}
  - {name: brief, prompt: "{{ q }} Be brief."}
endpoints: {sim: {preset: simulator, protocol: chat, simulator: {answers: answers.jsonl}}}
scorers: [exact]
out: out
`

// The table finds the differences that were planted between prompts, and no others.
func TestVariantsFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	w := &workspace{dir: t.TempDir()}
	var rows, known bytes.Buffer
	for i := range 200 {
		q := fmt.Sprintf("What is %d plus %d?", i, 1000+i)
		fmt.Fprintf(&rows, `{"q": %q, "t": "%d"}`+"\n", q, 1000+2*i)
		for variant, prompt := range map[string]string{"plain": q, "please": "Please: " + q, "brief": q + " Be brief."} {
			answer := map[string]string{"prompt": prompt}
			for _, model := range []string{"large", "small"} {
				if answer[model] = "no idea"; plantedRight(model, variant, i) {
					answer[model] = fmt.Sprint(1000 + 2*i)
				}
			}
			line, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&known, "%s\n", line)
		}
	}
	w.write(t, "rows.jsonl", rows.String())
	w.write(t, "answers.jsonl", known.String())
	w.write(t, "plan.yaml", plantedPlan)
	succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))

	dir := filepath.Join(w.dir, "out")
	text, err := os.ReadFile(filepath.Join(dir, "comparison.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkPlanted(t, "along variants", text, map[string]string{
		"large/brief/temperature=0": "worse", "large/brief/temperature=0.7": "worse",
		"small/please/temperature=0": "better", "small/please/temperature=0.7": "better",
	}, 10)
	checkPlanted(t, "along models", succeeds(t, "compare", dir, "--along", "models", "--json"), map[string]string{
		"small/plain/temperature=0": "worse", "small/plain/temperature=0.7": "worse",
		"small/please/temperature=0": "worse", "small/please/temperature=0.7": "worse",
		"small/brief/temperature=0": "worse", "small/brief/temperature=0.7": "worse",
	}, 6)
	checkEffects(t, text)
	for name, want := range map[string][]string{
		"comparison.md": {"| model | small | large | worse | −16.7 |", "| small | brief/temperature=0.7 | ~ |"},
		"report.html":   {"Main effects: exact", "variant brief"},
	} {
		if name == "report.html" {
			succeeds(t, "report", dir)
		}
		shown, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !bytes.Contains(shown, []byte(w)) {
				t.Errorf("%s has no %q: %.3000s", name, w, shown)
			}
		}
	}
	shown := strings.Join(strings.Fields(string(succeeds(t, "compare", dir))), " ")
	for _, want := range []string{"exact, main effects", "variant brief plain worse −10.0"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the terminal has no %q:\n%.2000s", want, shown)
		}
	}
}

// checkEffects compares the main effects with those that were planted: by model
// (9+9+7 against 6+8+6 of 30), by prompt (7+6 and 9+8 against 9+6 of 20), by temperature
// none. The four are one Holm family.
func checkEffects(t *testing.T, comparison []byte) {
	t.Helper()
	var c struct {
		Scorers []struct {
			Effects []struct {
				Factor, Label, Against, Verdict string
				Delta, P                        float64
				Adjusted                        float64 `json:"p_adjusted"`
				Cells                           int     `json:"averaged_over"`
				Interval                        struct{ Lower, Upper float64 }
			}
		}
	}
	if err := json.Unmarshal(comparison, &c); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.Scorers[0].Effects {
		got = append(got, fmt.Sprintf("%s %s-%s %+.1f %s %d", e.Factor, e.Label, e.Against, 100*e.Delta, e.Verdict, e.Cells))
		if e.Interval.Lower > e.Delta || e.Interval.Upper < e.Delta || e.Adjusted < e.P {
			t.Errorf("%+v", e)
		}
	}
	want := []string{"model small-large -16.7 worse 6", "variant please-plain +10.0 better 4",
		"variant brief-plain -10.0 worse 4", "temperature 0.7-0 +0.0 no difference shown 6"}
	if !slices.Equal(got, want) {
		t.Errorf("main effects:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// succeeds runs a command that is to succeed and returns what it prints.
func succeeds(t *testing.T, args ...string) []byte {
	t.Helper()
	code, out, errs := call(t, t.Context(), args...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
	}
	return []byte(out)
}

// checkPlanted compares the verdicts of a comparison with those wanted; all others
// are to say that no difference is shown. One Holm family holds them all: the least p
// is multiplied by their number.
func checkPlanted(t *testing.T, what string, comparison []byte, want map[string]string, family int) {
	t.Helper()
	var c struct {
		Scorers []struct {
			Deltas []struct {
				Label, Against, Verdict string
				P                       float64
				Adjusted                float64 `json:"p_adjusted"`
			}
		}
	}
	if err := json.Unmarshal(comparison, &c); err != nil {
		t.Fatal(err)
	}
	deltas, least := c.Scorers[0].Deltas, 0
	for i, d := range deltas {
		if d.P < deltas[least].P {
			least = i
		}
		verdict := want[d.Label]
		if verdict == "" {
			verdict = "no difference shown"
		}
		if d.Verdict != verdict {
			t.Errorf("%s: %s against %s is %q (p %g), want %q", what, d.Label, d.Against, d.Verdict, d.Adjusted, verdict)
		}
	}
	if len(deltas) != family {
		t.Fatalf("%s: %d comparisons, want %d", what, len(deltas), family)
	}
	if d := deltas[least]; d.Adjusted < d.P*float64(family)*0.999 || d.Adjusted > d.P*float64(family)*1.001 {
		t.Errorf("%s: p %g of %d comparisons is adjusted to %g", what, d.P, family, d.Adjusted)
	}
}
