// Package instructions checks whether an answer follows instructions that a program
// can verify, as J. Zhou et al. define them in "Instruction-Following Evaluation for
// Large Language Models" (IFEval, arXiv:2311.07911, 2023), in the form of the
// published dataset: an id and its arguments.
package instructions

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Arguments are what an instruction is about, by the dataset's names.
type Arguments map[string]any

// An Instruction says whether an answer follows it.
type Instruction struct {
	ID    string
	check func(answer string) bool
}

// Strict reports whether an answer follows the instruction as it stands. An empty
// answer follows none.
func (i Instruction) Strict(answer string) bool {
	return strings.TrimSpace(answer) != "" && i.check(answer)
}

// Loose reports whether an answer follows the instruction as it stands, or without
// its first line, its last or both, or without asterisks in any of these: a model
// may say "Sure, here it is:" and write in Markdown.
func (i Instruction) Loose(answer string) bool {
	return slices.ContainsFunc(variants(answer), i.Strict)
}

// variants are the eight forms of an answer that the loose measure tries.
func variants(answer string) []string {
	lines := strings.Split(answer, "\n")
	join := func(from, to int) string {
		if from >= to {
			return ""
		}
		return strings.TrimSpace(strings.Join(lines[from:to], "\n"))
	}
	n := len(lines)
	all := []string{answer, join(1, n), join(0, n-1), join(1, n-1)}
	for _, v := range all[:4] {
		all = append(all, strings.ReplaceAll(v, "*", ""))
	}
	return all
}

// kinds are the instructions by their ids.
var kinds = map[string]func(*reader) func(string) bool{
	"keywords:existence":                            existence,
	"keywords:frequency":                            frequency,
	"keywords:forbidden_words":                      forbiddenWords,
	"keywords:letter_frequency":                     letterFrequency,
	"language:response_language":                    responseLanguage,
	"length_constraints:number_sentences":           numberSentences,
	"length_constraints:number_paragraphs":          numberParagraphs,
	"length_constraints:number_words":               numberWords,
	"length_constraints:nth_paragraph_first_word":   nthParagraph,
	"detectable_content:number_placeholders":        placeholders,
	"detectable_content:postscript":                 postscript,
	"detectable_format:number_bullet_lists":         bulletLists,
	"detectable_format:constrained_response":        constrainedResponse,
	"detectable_format:number_highlighted_sections": highlightedSections,
	"detectable_format:multiple_sections":           multipleSections,
	"detectable_format:json_format":                 jsonFormat,
	"detectable_format:title":                       title,
	"combination:two_responses":                     twoResponses,
	"combination:repeat_prompt":                     repeatPrompt,
	"startend:end_checker":                          endChecker,
	"startend:quotation":                            quotation,
	"change_case:capital_word_frequency":            capitalWords,
	"change_case:english_capital":                   englishCapital,
	"change_case:english_lowercase":                 englishLowercase,
	"punctuation:no_comma":                          noComma,
}

// New reads an instruction. Arguments that it does not know, and those that are
// null, are passed over: some copies of the dataset list every argument there is.
func New(id string, args Arguments) (Instruction, error) {
	make, known := kinds[id]
	if !known {
		return Instruction{}, fmt.Errorf("no instruction is called %q", id)
	}
	r := &reader{args: args}
	check := make(r)
	if r.err != nil {
		return Instruction{}, fmt.Errorf("%s: %w", id, r.err)
	}
	return Instruction{id, check}, nil
}

// A reader takes the arguments of one instruction and keeps the first error.
type reader struct {
	args Arguments
	err  error
}

func (r *reader) fail(name, want string) {
	if r.err == nil {
		have, _ := json.Marshal(r.args[name])
		r.err = fmt.Errorf("kwargs: %s: want %s, have %s", name, want, have)
	}
}

func (r *reader) text(name string) string {
	s, ok := r.args[name].(string)
	if !ok || s == "" {
		r.fail(name, "a text")
	}
	return s
}

func (r *reader) texts(name string) []string {
	list, ok := r.args[name].([]any)
	var all []string
	for _, e := range list {
		s, isText := e.(string)
		ok = ok && isText
		all = append(all, s)
	}
	if !ok || len(all) == 0 {
		r.fail(name, "a list of texts")
	}
	return all
}

func (r *reader) number(name string) int {
	f := math.NaN()
	switch v := r.args[name].(type) {
	case json.Number:
		f, _ = v.Float64()
	case float64:
		f = v
	}
	if !(f >= 0 && f <= 1e9) || f != math.Trunc(f) {
		r.fail(name, "a whole number")
		return 0
	}
	return int(f)
}

// relation compares a count with a threshold: "at least" or "less than" it.
func (r *reader) relation(name string, threshold int) func(count int) bool {
	switch s, _ := r.args[name].(string); s {
	case "at least":
		return func(count int) bool { return count >= threshold }
	case "less than":
		return func(count int) bool { return count < threshold }
	}
	r.fail(name, `"at least" or "less than"`)
	return nil
}
