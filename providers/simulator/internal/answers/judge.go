package answers

import (
	"strconv"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/providers/simulator/internal/random"
)

// judge plays a judge when the prompt asks for a verdict in one of the known
// forms: [[A]], [[B]], [[C]] for a comparison, [[5]] for a rating, and
// "GRADE: C". Verdicts are deterministic: the better of two answers is decided
// by the answers, not by their places, apart from a small favour for the
// first that real judges show too.
func judge(prompt string, s random.Seed) (string, bool) {
	prompt = tagCode().ReplaceAllString(prompt, "$1>")
	switch {
	case strings.Contains(prompt, "[[A]]") || strings.Contains(prompt, "[[B]]"):
		return judgePair(prompt, s), true
	case strings.Contains(prompt, "[[x, y]]") || strings.Contains(prompt, "[[x,y]]"):
		a, b := pairScores(prompt)
		return "Both answers were read closely.\n\n[[" + rounded(a) + ", " + rounded(b) + "]]", true
	case criteria().MatchString(prompt):
		return judgeCriteria(prompt, s), true
	case strings.Contains(prompt, "[[rating]]") || strings.Contains(prompt, "[[5]]"):
		return "The answer addresses the question with some room for improvement.\n\nRating: [[" +
			strconv.Itoa(1+s.Below("rating", 10)) + "]]", true
	case strings.Contains(strings.ToUpper(prompt), "GRADE:"):
		return judgeGrade(prompt), true
	}
	return "", false
}

// tagCode finds the code of one request at the end of a tag:
// <answer-0123456789ab>.
var tagCode = pattern.Late(`(</?[a-z_]+)-[0-9a-f]{12}>`)

// criteria finds the lines of a prompt that ask for a rating each.
var criteria = pattern.Late(`(?m)^(\S[^:\n]*): \[\[rating\]\]$`)

// judgeCriteria rates each criterion from 1 to 5, which most scales have room for.
func judgeCriteria(prompt string, s random.Seed) string {
	said := "I read the answer for each criterion in turn.\n"
	for _, m := range criteria().FindAllStringSubmatch(prompt, -1) {
		said += "\n" + m[1] + ": [[" + strconv.Itoa(1+s.Below("rating "+m[1], 5)) + "]]"
	}
	return said
}

// rounded writes a score between 0 and 1 as a rating of up to 10, in halves.
func rounded(v float64) string { return strconv.FormatFloat(float64(int(v*20))/2, 'f', -1, 64) }

const tieWidth = 0.05

func judgePair(prompt string, s random.Seed) string {
	a, b := pairScores(prompt)
	a += 0.01 // the favour for the first place
	verdict := "[[A]]"
	switch {
	case strings.Contains(prompt, "[[C]]") && a-b < tieWidth && b-a < tieWidth:
		verdict = "[[C]]"
	case b > a:
		verdict = "[[B]]"
	}
	return random.Pick(s, "judging", []string{
		"Both answers address the question; one does so more precisely.",
		"I compared the two answers on correctness, depth and clarity.",
		"After weighing both answers, one comes out ahead.",
	}) + "\n\n" + verdict
}

// pairScores rates two answers by what they say and how much of it.
func pairScores(prompt string) (a, b float64) {
	first, second := pairTexts(prompt)
	return worth(first), worth(second)
}

// worth is a number between 0 and 1 that hangs on the text alone.
func worth(text string) float64 {
	text = strings.TrimSpace(text)
	length := float64(min(len(text), 1200)) / 1200
	return 0.7*random.Start.With(text).Roll("worth") + 0.3*length
}

// pairTexts finds the two answers between the marks that judge prompts use.
func pairTexts(prompt string) (a, b string) {
	lower := strings.ToLower(prompt)
	for _, names := range [][2]string{
		{"[the start of assistant a's answer]", "[the start of assistant b's answer]"},
		{"<answer_a>", "<answer_b>"}, {"<response_a>", "<response_b>"}, {"[answer a]", "[answer b]"},
		{"answer a:", "answer b:"}, {"assistant a:", "assistant b:"}, {"response a:", "response b:"},
		{"answer a", "answer b"}, {"assistant a", "assistant b"}, {"response a", "response b"},
	} {
		second := strings.LastIndex(lower, names[1])
		if second < 0 || len(lower) != len(prompt) {
			continue
		}
		first := strings.LastIndex(lower[:second], names[0])
		if first >= 0 {
			return untilMark(prompt[first+len(names[0]) : second]), untilMark(prompt[second+len(names[1]):])
		}
	}
	return prompt, ""
}

// untilMark cuts a text where the next mark closes it.
func untilMark(s string) string {
	for _, mark := range []string{"[The End", "</answer", "</response", "[End", "[END", "\n***", "\n---"} {
		s, _, _ = strings.Cut(s, mark)
	}
	return strings.TrimSpace(s)
}

// judgeGrade compares a submission with the criterion: C when it contains
// it, P (where that is offered) when it has half of its words, else I.
func judgeGrade(prompt string) string {
	criterion := section(prompt, "criterion", "expert answer", "reference answer", "correct answer", "reference", "target",
		"ideal")
	submission := section(prompt, "submission", "submitted answer", "student answer", "candidate answer", "response",
		"answer")
	grade := "I"
	lower := strings.ToLower(submission)
	if c := strings.ToLower(strings.Trim(criterion, " .\n")); c != "" && strings.Contains(lower, c) {
		grade = "C"
	} else if strings.Contains(prompt, "GRADE: P") || strings.Contains(prompt, `"P"`) ||
		strings.Contains(prompt, "P for") || strings.Contains(prompt, "P if") {
		if overlap(c, lower) >= 0.5 {
			grade = "P"
		}
	}
	return "Comparing the submission with the criterion, point by point.\n\nGRADE: " + grade
}

func overlap(want, have string) float64 {
	list := words(want)
	n := 0
	for _, w := range list {
		if strings.Contains(have, w) {
			n++
		}
	}
	return float64(n) / float64(max(1, len(list)))
}

// section returns what stands under one of the headings, up to the next.
func section(prompt string, headings ...string) string {
	lower := strings.ToLower(prompt)
	if len(lower) != len(prompt) {
		return ""
	}
	for _, h := range headings {
		for _, form := range []string{"[" + h + "]:", "[" + h + "]", "<" + h + ">", h + ":"} {
			at := strings.LastIndex(lower, form)
			if at < 0 {
				continue
			}
			text := strings.TrimLeft(prompt[at+len(form):], " \n")
			for _, end := range []string{"\n***", "\n---", "\n[", "\n<", "</", "\n\n"} {
				if cut, _, ok := strings.Cut(text, end); ok {
					text = cut
				}
			}
			return strings.TrimSpace(text)
		}
	}
	return ""
}
