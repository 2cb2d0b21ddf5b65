package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
)

const answersFile = `{"question": "What is one and one?", "ground_truth": "2", ` +
	`"small": {"is_correct": false, "solution": "A: 3"}, "large": {"is_correct": true, "solution": "A: 2"}}

{"prompt": "Name a fish.", "large": "Trout", "n": 3}
`

func TestAnswersFromAFile(t *testing.T) {
	known, err := answers.Read(strings.NewReader(answersFile), "answers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	c := inProcess(Config{Answers: known, OnlyModels: true})
	for _, tc := range []struct{ model, prompt, want string }{
		{"small", "What is one and one?", "A: 3"},
		{"large", "What is one and one?", "A: 2"},
		{"ground_truth", "What is one and one?", "2"},
		{"large", "  Name a fish.\n", "Trout"},
		{"large", "Question: What is one and one?\n\nEnd with 'Answer: <number>'.", "A: 2"},
		{"small", "Solve this.\nQ: What is one and one?\nThink.", "A: 3"},
		{"large", "Please: Name a fish. Thanks.", "Trout"},
	} {
		for _, s := range shapes[:4] {
			if a := parse(t, s.path, c.post(s.path, simple(tc.model, tc.prompt, s.extra))); a.Text != tc.want {
				t.Errorf("%s, %q on %s: %q, want %q", tc.model, tc.prompt, s.path, a.Text, tc.want)
			}
		}
	}
	if g := c.post(chatPath, simple("unknown", "Name a fish.", "")); g.status != 404 {
		t.Errorf("unknown model: %d", g.status)
	}
	if got := strings.Join(known.Models(), " "); got != "ground_truth large small" {
		t.Errorf("models %q", got)
	}
}

// TestRecordedSolutions serves the published answers of four models and
// counts the right ones: the numbers are known.
func TestRecordedSolutions(t *testing.T) {
	path := "../../../shared/data/datasets/gsm8k_example_model_solutions.jsonl"
	known, err := answers.Open(path)
	if os.IsNotExist(err) {
		t.Skip("needs ../shared/data/datasets/gsm8k_example_model_solutions.jsonl beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	c := inProcess(Config{Answers: known})
	want := map[string]int{"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}
	right := map[string]int{}
	for prompt, truth := range groundTruths(t, path) {
		for model := range want {
			a := parse(t, messagesPath,
				c.post(messagesPath,
					fmt.Sprintf(`{"model":%q,"max_tokens":4000,"messages":[{"role":"user","content":%s}]}`, model,
						jsontext.Quote(prompt+"\n\nThink step by step."))))
			if lastAnswer(a.Text) == lastAnswer(truth) {
				right[model]++
			}
		}
	}
	if fmt.Sprint(right) != fmt.Sprint(want) {
		t.Errorf("right %v, want %v", right, want)
	}
}

// groundTruths are the right solutions of a file of questions.
func groundTruths(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	truths := map[string]string{}
	for line := range strings.Lines(string(b)) {
		var row struct{ Question, Ground_truth string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		truths[row.Question] = row.Ground_truth
	}
	return truths
}

func lastAnswer(text string) string {
	_, after, ok := strings.Cut(text, "A: ")
	for ok {
		text = after
		_, after, ok = strings.Cut(text, "A: ")
	}
	return strings.ReplaceAll(strings.TrimSpace(text), ",", "")
}

// skills are what the names of the models say.
var skills = map[string]float64{"sim-large": 0.93, "sim-medium": 0.80, "sim-small": 0.65}

// TestSkills counts right answers on the quickstart: large beats medium beats
// small, and mostly on the same questions.
func TestSkills(t *testing.T) {
	rows := quickstart(t)
	c := inProcess(quickstartConfig(t))
	right := map[string]map[string]bool{}
	for _, model := range []string{"sim-large", "sim-medium", "sim-small"} {
		right[model] = map[string]bool{}
		for _, r := range rows {
			a := parse(t, messagesPath, c.post(messagesPath, simple(model, r.Prompt+"\n\nEnd with 'Answer: <answer>'.", "")))
			_, last, ok := strings.Cut(a.Text, "Answer: ")
			if !ok {
				t.Errorf("%s: no answer line in %q", r.ID, a.Text)
			}
			right[model][r.ID] = last == r.Target
		}
		n := 0
		for _, ok := range right[model] {
			if ok {
				n++
			}
		}
		share := float64(n) / float64(len(rows))
		t.Logf("%s: %.3f", model, share)
		if math.Abs(share-skills[model]) > 0.06 {
			t.Errorf("%s: %.3f right, want about %.2f", model, share, skills[model])
		}
	}
	both, upset := 0, 0
	for _, r := range rows {
		if right["sim-small"][r.ID] {
			if right["sim-large"][r.ID] {
				both++
			} else {
				upset++
			}
		}
	}
	if upset > both/8 || upset == 0 {
		t.Errorf("small is right where large is wrong %d times, both are right %d times", upset, both)
	}
}

func quickstartConfig(t *testing.T) Config {
	t.Helper()
	c := Config{AnswersFile: "quickstart/prompts.jsonl"}
	if err := c.LoadAnswers("../../examples"); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestForms(t *testing.T) {
	c := inProcess(
		Config{Answers: knows(t, "What is the capital of France?", "Paris"),
			Models: map[string]Model{"sage": {Skill: &sure}}})
	for _, tc := range []struct{ instruction, want string }{
		{"Answer with one word.", "=Paris"},
		{"Give only the name, nothing else.", "=Paris"},
		{"End with 'Answer: <city>'.", "\n\nAnswer: Paris|Answer: Paris"},
		{"End with 'ANSWER: $CITY'.", "ANSWER: Paris"},
		{"Put your final answer in \\boxed{}.", `\boxed{Paris}`},
		{"Write the result after ####.", "#### Paris"},
		{"Reply in JSON.", `={"answer":"Paris"}`},
		{"", "Paris"},
	} {
		a := parse(t, chatPath, c.post(chatPath, simple("sage", "What is the capital of France? "+tc.instruction, "")))
		want, exact := strings.CutPrefix(tc.want, "=")
		first, second, _ := strings.Cut(want, "|")
		if exact && a.Text != want ||
			!strings.Contains(a.Text, first) && (second == "" || !strings.Contains(a.Text, second)) {
			t.Errorf("%q: %q, want %q", tc.instruction, a.Text, tc.want)
		}
	}
}

func TestProse(t *testing.T) {
	c := inProcess(Config{})
	lengths := map[int]bool{}
	for i := range 30 {
		a := parse(t, chatPath,
			c.post(chatPath, simple("m", fmt.Sprintf("Please compare glaciers and volcanoes, version %d.", i), "")))
		if !strings.Contains(a.Text, "glaciers") && !strings.Contains(a.Text, "volcanoes") &&
			!strings.Contains(a.Text, "compare") && !strings.Contains(a.Text, "version") &&
			!strings.Contains(strings.ToLower(a.Text), "glaciers") {
			t.Errorf("nothing about the question in %q", a.Text)
		}
		lengths[len(a.Text)] = true
	}
	if len(lengths) < 15 {
		t.Errorf("%d different lengths of 30", len(lengths))
	}
	if a := parse(t, chatPath, c.post(chatPath, simple("m", "Describe tides in two sentences.", ""))); strings.Count(
		a.Text, ".") != 2 {
		t.Errorf("two sentences: %q", a.Text)
	}
}

const pairPrompt = `Compare. Say "[[A]]" if assistant A is better, "[[B]]" if assistant B is better, ` +
	`and "[[C]]" for a tie.

[User Question]
Why is the sea salty?

[The Start of Assistant A's Answer]
%s
[The End of Assistant A's Answer]

[The Start of Assistant B's Answer]
%s
[The End of Assistant B's Answer]`

func TestJudgePairs(t *testing.T) {
	consistent, first, n := 0, 0, 200
	c := inProcess(Config{})
	verdict := func(a, b string) string {
		text := parse(t, chatPath, c.post(chatPath, simple("judge", fmt.Sprintf(pairPrompt, a, b), ""))).Text
		return text[strings.LastIndex(text, "[["):]
	}
	for i := range n {
		a, b := fmt.Sprint("Rivers carry salt. ", i), fmt.Sprint("It just is, ", i, " times over. ")
		one, two := verdict(a, b), verdict(b, a)
		if one == "[[A]]" && two == "[[B]]" || one == "[[B]]" && two == "[[A]]" || one == "[[C]]" && two == "[[C]]" {
			consistent++
		}
		if one == "[[A]]" {
			first++
		}
	}
	if consistent < n*85/100 || first < n/4 || first > n*3/4 {
		t.Errorf("%d of %d consistent, %d for the first", consistent, n, first)
	}
	if v := verdict("the same", "the same"); v != "[[C]]" {
		t.Errorf("equal answers: %s", v)
	}
}

func TestJudgeGrades(t *testing.T) {
	c := inProcess(Config{})
	prompt := "[Question]: What is the capital of France?\n***\n[Submission]: %s\n***\n[Criterion]: Paris\n***\n" +
		"Does the submission meet the criterion? End with 'GRADE: C' or 'GRADE: I'."
	for submission, want := range map[string]string{"It is Paris, I think.": "GRADE: C", "Lyon": "GRADE: I"} {
		if a := parse(t, messagesPath,
			c.post(messagesPath, simple("judge", fmt.Sprintf(prompt, submission), ""))); !strings.HasSuffix(a.Text, want) {
			t.Errorf("%s: %q", submission, a.Text)
		}
	}
}
