package simulator

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const answersFile = `{"question": "What is one and one?", "ground_truth": "2", "small": {"is_correct": false, "solution": "A: 3"}, "large": {"is_correct": true, "solution": "A: 2"}}

{"prompt": "Name a fish.", "large": "Trout", "n": 3}
`

func TestAnswersFromAFile(t *testing.T) {
	answers, err := ReadAnswers(strings.NewReader(answersFile), "answers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	c := inProcess(Config{Answers: answers, OnlyModels: true})
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
	if got := strings.Join(answers.Models(), " "); got != "ground_truth large small" {
		t.Errorf("models %q", got)
	}
}

func TestBadAnswersFile(t *testing.T) {
	for text, want := range map[string]string{
		"{\"prompt\":\"x\"}\n{": "file:2: not a JSON object",
		`{"text":"x"}`:          "file:1: no prompt",
	} {
		if _, err := ReadAnswers(strings.NewReader(text), "file"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := OpenAnswers(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestRecordedSolutions serves the published answers of four models and
// counts the right ones: the numbers are known.
func TestRecordedSolutions(t *testing.T) {
	path := "../../../shared/data/datasets/gsm8k_example_model_solutions.jsonl"
	answers, err := OpenAnswers(path)
	if os.IsNotExist(err) {
		t.Skip("needs ../shared/data/datasets/gsm8k_example_model_solutions.jsonl beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	c := inProcess(Config{Answers: answers})
	want := map[string]int{"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}
	right := map[string]int{}
	for prompt, byModel := range answers.byPrompt {
		for model := range want {
			a := parse(t, messagesPath, c.post(messagesPath, fmt.Sprintf(`{"model":%q,"max_tokens":4000,"messages":[{"role":"user","content":%s}]}`, model, quote(prompt+"\n\nThink step by step."))))
			if lastAnswer(a.Text) == lastAnswer(byModel["ground_truth"]) {
				right[model]++
			}
		}
	}
	if fmt.Sprint(right) != fmt.Sprint(want) {
		t.Errorf("right %v, want %v", right, want)
	}
}

func lastAnswer(text string) string {
	_, after, ok := strings.Cut(text, "A: ")
	for ok {
		text = after
		_, after, ok = strings.Cut(text, "A: ")
	}
	return strings.ReplaceAll(strings.TrimSpace(text), ",", "")
}

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
		if math.Abs(share-skillByName(model)) > 0.06 {
			t.Errorf("%s: %.3f right, want about %.2f", model, share, skillByName(model))
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
	c := inProcess(Config{Answers: knows(t, "What is the capital of France?", "Paris"), Models: map[string]Model{"sage": {Skill: &sure}}})
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
		if exact && a.Text != want || !strings.Contains(a.Text, first) && (second == "" || !strings.Contains(a.Text, second)) {
			t.Errorf("%q: %q, want %q", tc.instruction, a.Text, tc.want)
		}
	}
}

func TestProse(t *testing.T) {
	c := inProcess(Config{})
	lengths := map[int]bool{}
	for i := range 30 {
		a := parse(t, chatPath, c.post(chatPath, simple("m", fmt.Sprintf("Please compare glaciers and volcanoes, version %d.", i), "")))
		if !strings.Contains(a.Text, "glaciers") && !strings.Contains(a.Text, "volcanoes") && !strings.Contains(a.Text, "compare") && !strings.Contains(a.Text, "version") && !strings.Contains(strings.ToLower(a.Text), "glaciers") {
			t.Errorf("nothing about the question in %q", a.Text)
		}
		lengths[len(a.Text)] = true
	}
	if len(lengths) < 15 {
		t.Errorf("%d different lengths of 30", len(lengths))
	}
	if a := parse(t, chatPath, c.post(chatPath, simple("m", "Describe tides in two sentences.", ""))); strings.Count(a.Text, ".") != 2 {
		t.Errorf("two sentences: %q", a.Text)
	}
}

const pairPrompt = `Compare. Say "[[A]]" if assistant A is better, "[[B]]" if assistant B is better, and "[[C]]" for a tie.

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
	prompt := "[Question]: What is the capital of France?\n***\n[Submission]: %s\n***\n[Criterion]: Paris\n***\nDoes the submission meet the criterion? End with 'GRADE: C' or 'GRADE: I'."
	for submission, want := range map[string]string{"It is Paris, I think.": "GRADE: C", "Lyon": "GRADE: I"} {
		if a := parse(t, messagesPath, c.post(messagesPath, simple("judge", fmt.Sprintf(prompt, submission), ""))); !strings.HasSuffix(a.Text, want) {
			t.Errorf("%s: %q", submission, a.Text)
		}
	}
}

// TestJudgeReadsTagsWithCodes: a code at the end of each tag changes no verdict.
func TestJudgeReadsTagsWithCodes(t *testing.T) {
	plain := "<answer>\nIt is Paris.\n</answer>\n<criterion>\nParis\n</criterion>\nEnd with GRADE: X"
	pair := "<answer_a>\nlong and good\n</answer_a>\n<answer_b>\nno\n</answer_b>\n[[A]], [[B]] or [[C]]"
	for _, prompt := range []string{plain, pair} {
		coded := strings.NewReplacer("er>", "er-0123456789ab>", "ion>", "ion-0123456789ab>", "_a>", "_a-0123456789ab>", "_b>", "_b-0123456789ab>").Replace(prompt)
		want, _ := judge(prompt, seed(1))
		if got, ok := judge(coded, seed(1)); !ok || got != want || coded == prompt {
			t.Errorf("%q, without codes %q", got, want)
		}
	}
}

// TestPromptIndex finds what a look at every prompt finds.
func TestPromptIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	word := func(n int) string {
		b := make([]rune, n)
		for i := range b {
			b[i] = rune("abä"[rng.IntN(2)])
			if rng.IntN(5) == 0 {
				b[i] = 'ä'
			}
		}
		return string(b)
	}
	for range 200 {
		prompts := map[string]map[string]string{}
		for range rng.IntN(30) {
			prompts[word(1+rng.IntN(6))] = nil
		}
		x := newPromptIndex(prompts)
		for range 20 {
			text, longest := word(rng.IntN(12)), 0
			for p := range prompts {
				if strings.Contains(text, p) {
					longest = max(longest, len(p))
				}
			}
			if got := x.longestIn(text); len(got) != longest || !strings.Contains(text, got) {
				t.Fatalf("in %q of %q: %q, want one of %d bytes", text, slices.Sorted(maps.Keys(prompts)), got, longest)
			}
		}
	}
}

// BenchmarkAnswersInTemplate looks up one of 20,000 prompts that a template was
// put around.
func BenchmarkAnswersInTemplate(b *testing.B) {
	prompts := map[string]map[string]string{}
	prompt := func(i int) string { return fmt.Sprintf("What is the %d-th prime number, and how is it found?", i) }
	for i := range 20_000 {
		prompts[prompt(i)] = map[string]string{"m": "answer"}
	}
	a := NewAnswers(prompts)
	for i := 0; b.Loop(); i++ {
		question := fmt.Sprintf("Answer in one line: %s (%d)", prompt(i%20_000), i)
		if _, ok := a.find(question, "m"); !ok {
			b.Fatal("not found")
		}
	}
}
