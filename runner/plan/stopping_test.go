package plan

import (
	"strings"
	"testing"
)

// A plan that cannot stop early is refused, and says what would have to change.
func TestStoppingRefused(t *testing.T) {
	const dataset = "dataset: {path: rows.jsonl}\n"
	const model = "{name: NAME, endpoint: simulator, model: x, params: {max_tokens: 10}MORE}"
	models := func(more string) string {
		a := strings.NewReplacer("NAME", "a", "MORE", more).Replace(model)
		return "models: [" + a + ", " + strings.NewReplacer("NAME", "b", "MORE", "").Replace(model) + "]\n"
	}
	const exact = "scorers: [exact]\n"
	two := "datasets: [{name: x, path: rows.jsonl}, {name: y, path: more.jsonl}]\n"
	for plan, want := range map[string]string{
		dataset + models(", mode: batch") + exact:                             "goes in batches",
		dataset + models(""):                                                  "the plan has no scorer",
		dataset + models("") + "scorers: [{type: command, command: [cat]}]\n": "runs a program after the run",
		dataset + "models: [" + strings.NewReplacer("NAME", "a", "MORE", "").Replace(model) + "]\n" + exact: "has one model",
		two + models("") + exact: "the average by rows alone",
	} {
		_, err := parse(t, plan+"compare: {stop_when: decided}\n").Resolve(keys)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", plan, err, want)
		}
	}
	resolve(t, dataset+models(", cache: order")+exact+"compare: {stop_when: decided}\n")
	resolve(t, two+models("")+exact+"compare: {stop_when: decided, average: rows}\n")
	three := strings.Replace(two, "path: more.jsonl", "path: more.jsonl, scorers: [{type: bleu}]", 1)
	_, err := parse(t, three+models("")+exact+"compare: {precision: 2 points, average: rows}\n").Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "the first scorer of y decides when to stop, and bleu is") {
		t.Errorf("of two datasets one has BLEU first: %v", err)
	}
}
