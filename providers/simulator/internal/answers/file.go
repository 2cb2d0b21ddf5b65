package answers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"nightshift/providers/simulator/internal/random"
)

// A File holds answers known beforehand, by prompt: the text of a model, or the
// target, which a model gives as often as its skill says. A wrong answer is
// the target of another prompt. A nil *File knows nothing.
//
// A prompt is found when it is the last user message, or a whole line or
// paragraph of it ("Question: " and the like before it are passed over), so
// that a template may add instructions around it.
type File struct {
	byPrompt map[string]map[string]string // prompt → model → text; the target stands under targetKey
	models   map[string]bool
	targets  []string // every target once, in the order of the file
	isTarget map[string]bool

	index func() promptIndex // made when a template is first met
}

func newFile() *File {
	a := &File{byPrompt: map[string]map[string]string{}, models: map[string]bool{}, isTarget: map[string]bool{}}
	a.index = sync.OnceValue(func() promptIndex { return newPromptIndex(a.byPrompt) })
	return a
}

func (a *File) add(prompt, model, text string) {
	prompt = strings.TrimSpace(prompt)
	if a.byPrompt[prompt] == nil {
		a.byPrompt[prompt] = map[string]string{}
	}
	a.byPrompt[prompt][model] = text
	if model != targetKey {
		a.models[model] = true
	} else if !a.isTarget[text] {
		a.isTarget[text] = true
		a.targets = append(a.targets, text)
	}
}

// targetKey stands for the target among the models of a prompt: no model has
// an empty name.
const targetKey = ""

// promptFields are where a row keeps its prompt, targetFields where it keeps
// the right answer, answerFields where an object keeps its text.
var (
	promptFields = []string{"prompt", "question", "input"}
	targetFields = []string{"target", "answer", "ideal"}
	answerFields = []string{"solution", "answer", "output", "text", "response"}
)

// Open reads a JSONL file; see Read.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return Read(f, path)
}

// Read reads JSON lines, each with a prompt and answers in the fields named
// above. Any other field that holds an answer is that of the model that has the
// field's name.
func Read(r io.Reader, name string) (*File, error) {
	a := newFile()
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			if err := a.readLine(line); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (a *File) readLine(line []byte) error {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	var prompt string
	for _, f := range promptFields {
		if json.Unmarshal(row[f], &prompt) == nil && prompt != "" {
			delete(row, f)
			break
		}
	}
	if prompt == "" {
		return fmt.Errorf("no prompt: want a text in one of %s", strings.Join(promptFields, ", "))
	}
	for _, f := range targetFields {
		var target string
		if json.Unmarshal(row[f], &target) == nil && target != "" {
			a.add(prompt, targetKey, target)
			delete(row, f)
		}
	}
	for model, raw := range row {
		if text, ok := answerText(raw); ok {
			a.add(prompt, model, text)
		}
	}
	return nil
}

func answerText(raw json.RawMessage) (text string, ok bool) {
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return "", false
	}
	for _, f := range answerFields {
		if json.Unmarshal(object[f], &text) == nil && object[f] != nil {
			return text, true
		}
	}
	return "", false
}

// Models names the models that have answers.
func (a *File) Models() []string {
	if a == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(a.models))
}

// Has reports whether a model has answers.
func (a *File) Has(model string) bool { return a != nil && a.models[model] }

// Find looks up what a model answers to a question.
func (a *File) Find(question, model string) (string, bool) {
	if !a.Has(model) {
		return "", false
	}
	return a.lookUp(question, model)
}

// target looks up the right answer to a question.
func (a *File) target(question string) (string, bool) {
	if a == nil || len(a.targets) == 0 {
		return "", false
	}
	return a.lookUp(question, targetKey)
}

// wrong is an answer that is not the right one: another prompt's target, or
// the right one spoiled where there is no other.
func (a *File) wrong(right string, s random.Seed) string {
	for i := range uint64(8) {
		if other := random.Pick(s.WithInt(i), "wrong", a.targets); !strings.EqualFold(other, right) {
			return other
		}
	}
	return "not " + right
}

func (a *File) lookUp(question, model string) (string, bool) {
	question = strings.TrimSpace(question)
	byModel, ok := a.byPrompt[question]
	if !ok {
		byModel = a.byPrompt[a.search(question)]
	}
	text, ok := byModel[model]
	return text, ok
}

// search finds the prompt that a template was put around: a line or paragraph,
// or else the longest that stands anywhere in the question.
func (a *File) search(question string) string {
	for _, separator := range []string{"\n\n", "\n"} {
		for part := range strings.SplitSeq(question, separator) {
			part = strings.TrimSpace(part)
			for _, label := range []string{"", "Question:", "Q:", "Problem:", "Input:", "Task:"} {
				bare := strings.TrimSpace(strings.TrimPrefix(part, label))
				if a.byPrompt[bare] != nil {
					return bare
				}
			}
		}
	}
	return a.index().longestIn(question)
}

// A promptIndex finds prompts at any place of a text without looking at each.
type promptIndex struct {
	sorted []string
	parent []int32 // the longest prompt that this one begins with; -1 for none
}

func newPromptIndex(prompts map[string]map[string]string) promptIndex {
	x := promptIndex{sorted: slices.Sorted(maps.Keys(prompts))}
	open := []int32{} // prompts that the latest one begins with, each with the one before it
	for i, p := range x.sorted {
		for len(open) > 0 && !strings.HasPrefix(p, x.sorted[open[len(open)-1]]) {
			open = open[:len(open)-1]
		}
		parent := int32(-1)
		if len(open) > 0 {
			parent = open[len(open)-1]
		}
		x.parent = append(x.parent, parent)
		open = append(open, int32(i))
	}
	return x
}

// longestIn returns the longest prompt that stands anywhere in text; the first
// of equally long ones. It is empty when none does.
func (x promptIndex) longestIn(text string) (longest string) {
	for i := range text {
		if p := x.longestAt(text[i:]); len(p) > len(longest) {
			longest = p
		}
	}
	return longest
}

// longestAt returns the longest prompt that text begins with. Whatever lies
// between such a prompt and the text in sorted order begins with it too, so it
// is the prompt just before the text, or one that that one begins with.
func (x promptIndex) longestAt(text string) string {
	at, found := slices.BinarySearch(x.sorted, text)
	if !found {
		at--
	}
	for ; at >= 0; at = int(x.parent[at]) {
		if strings.HasPrefix(text, x.sorted[at]) {
			return x.sorted[at]
		}
	}
	return ""
}
