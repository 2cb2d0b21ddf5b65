package answers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/random"
)

// quickstart reads the example's dataset.
func quickstart(t testing.TB) (rows []struct{ ID, Prompt, Target string }) {
	t.Helper()
	text, err := os.ReadFile("../../../../examples/quickstart/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		rows = append(rows, struct{ ID, Prompt, Target string }{})
		if err := json.Unmarshal(lines.Bytes(), &rows[len(rows)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

func TestBadAnswersFile(t *testing.T) {
	for text, want := range map[string]string{
		"{\"prompt\":\"x\"}\n{": "file:2: not a JSON object",
		`{"text":"x"}`:          "file:1: no prompt",
	} {
		if _, err := Read(strings.NewReader(text), "file"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestJudgeReadsTagsWithCodes: a code at the end of each tag changes no verdict.
func TestJudgeReadsTagsWithCodes(t *testing.T) {
	plain := "<answer>\nIt is Paris.\n</answer>\n<criterion>\nParis\n</criterion>\nEnd with GRADE: X"
	pair := "<answer_a>\nlong and good\n</answer_a>\n<answer_b>\nno\n</answer_b>\n[[A]], [[B]] or [[C]]"
	for _, prompt := range []string{plain, pair} {
		coded := strings.NewReplacer("er>", "er-0123456789ab>", "ion>", "ion-0123456789ab>", "_a>", "_a-0123456789ab>",
			"_b>", "_b-0123456789ab>").Replace(prompt)
		want, _ := judge(prompt, random.Seed(1))
		if got, ok := judge(coded, random.Seed(1)); !ok || got != want || coded == prompt {
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
	a := newFile()
	for p, byModel := range prompts {
		a.add(p, "m", byModel["m"])
	}
	for i := 0; b.Loop(); i++ {
		question := fmt.Sprintf("Answer in one line: %s (%d)", prompt(i%20_000), i)
		if _, ok := a.Find(question, "m"); !ok {
			b.Fatal("not found")
		}
	}
}

// TestQuickstartAnswers holds the example's dataset to what the simulator
// needs to answer it.
func TestQuickstartAnswers(t *testing.T) {
	known, err := Open("../../../../examples/quickstart/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	rows := quickstart(t)
	if len(rows) < 240 {
		t.Errorf("%d prompts, want 240 or more", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.ID] || seen[r.Prompt] {
			t.Errorf("%s: id or prompt occurs twice", r.ID)
		}
		seen[r.ID], seen[r.Prompt] = true, true
		for _, suffix := range []string{"", "\n\nEnd with 'Answer: <answer>'.",
			"\n\nThink step by step. Give only the answer on the last line, as 'Answer: X'."} {
			if got, ok := known.target(r.Prompt + suffix); !ok || got != r.Target {
				t.Errorf("%s: %q: answer %q (%v), want %q", r.ID, r.Prompt+suffix, got, ok, r.Target)
			}
		}
		if wrong := known.wrong(r.Target, random.Start.With(r.ID)); strings.EqualFold(wrong, r.Target) || wrong == "" {
			t.Errorf("%s: wrong answer %q is right", r.ID, wrong)
		}
	}
}

// FuzzQuestion asks anything: judges, prose and arguments of tools cope with
// every text.
func FuzzQuestion(f *testing.F) {
	for _, r := range quickstart(f) {
		f.Add(r.Prompt)
	}
	for _, s := range []string{"", "Reverse ''", "first letter of ''", "How many letters are in \"\"?", "plural of",
		"what is the first word of '  '", "1/0", "((((", "Sort alphabetically: ,",
		"Is 5 divisible by 0?", "remainder of 5 0", "[[A]] answer a: answer b:", "GRADE: [criterion]:", "A) x\nB) y",
		"\xff'é'", "Extract the name: ' '", "JSON name: a", "What is 9999999999 ** 99999?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, question string) {
		(&values{question: question}).value("", []byte(`{"properties":{"city":{},"n":{"type":"number"},"text":{}}}`),
			random.Start, 0)
		judge(question, random.Start)
		if text := prose(question, 1, random.Start); text == "" {
			t.Error("no prose")
		}
	})
}

func TestTokensAreBoundedByBytes(t *testing.T) {
	for _, s := range []string{"", " ", "a", "Hello, world!", "antidisestablishmentarianism", "日本語のテキスト", "\n\n\n",
		"1,234.5", "\xff\xfe", strings.Repeat("x y", 50)} {
		if n := CountTokens(s); n > len(s) || n == 0 && s != "" {
			t.Errorf("%q: %d tokens of %d bytes", s, n, len(s))
		}
		for n := range CountTokens(s) + 2 {
			head, cut := CutTokens(s, n)
			if CountTokens(head) != min(n, CountTokens(s)) || cut != (head != s) || !strings.HasPrefix(s, head) {
				t.Errorf("CutTokens(%q, %d) = %q, %v", s, n, head, cut)
			}
		}
	}
}
