package answers

import (
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/random"
)

// A form is how an answer is wanted.
type form struct {
	marker string // what stands before the answer on the last line; empty for none
	bare   bool   // the answer alone
	json   bool   // a JSON object
	steps  bool   // with the way to it
}

// What asks for an answer alone, for JSON, and for the way to it.
var (
	bareWords = []string{
		"one word", "single word", "only the", "just the", "nothing else", "a single number", "only with", "just give",
		"only give", "no explanation", "single letter", "letter only", "output only", "word only",
	}
	jsonWords = []string{
		"reply in json", "respond in json", "answer in json", "reply with json", "respond with json", "as a json",
		"valid json",
	}
	stepWords = []string{"step by step", "show your work", "explain"}
)

// formOf reads from a prompt how an answer is wanted.
func formOf(text string) form {
	lower := strings.ToLower(text)
	f := form{
		bare:  containsAny(lower, bareWords...),
		json:  containsAny(lower, jsonWords...),
		steps: containsAny(lower, stepWords...),
	}
	switch {
	case len(lower) != len(text):
	case strings.Contains(lower, "answer:"):
		at := strings.LastIndex(lower, "answer:")
		f.marker = text[at:at+len("answer:")] + " "
	case strings.Contains(lower, `\boxed`):
		f.marker = `\boxed{`
	case strings.Contains(lower, "####"):
		f.marker = "#### "
	}
	return f
}

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// phrase puts words around an answer.
func (f form) phrase(answer string, verbosity float64, from random.Seed) string {
	if f.json && !strings.HasPrefix(answer, "{") {
		return `{"answer":` + jsonValue(answer) + "}"
	}
	if f.bare && f.marker == "" || strings.HasPrefix(answer, "{") && f.marker == "" {
		return answer
	}
	if f.bare {
		return f.close("", answer)
	}
	var parts []string
	steps := from.Roll("steps") * 3 * verbosity
	if f.steps {
		steps++
	}
	for i := 0; i < int(steps) && i < len(openings); i++ {
		parts = append(parts, random.Pick(from.WithInt(uint64(i/2)), "opening "+strconv.Itoa(i), openings))
	}
	if f.marker == "" {
		parts = append(parts, strings.Replace(random.Pick(from, "closing", closings), "%", answer, 1))
		return strings.Join(parts, " ")
	}
	return f.close(strings.Join(parts, " "), answer)
}

// close puts the answer on a last line, where one is wanted.
func (f form) close(text, answer string) string {
	if f.marker == "" {
		return text
	}
	line := f.marker + answer
	if strings.HasPrefix(f.marker, `\boxed`) {
		line += "}"
	}
	if text == "" {
		return line
	}
	return text + "\n\n" + line
}

var openings = []string{
	"Let me work through this carefully.",
	"First, I look at what is being asked.",
	"The relevant facts are all in the question.",
	"I'll take it one piece at a time.",
	"Checking each part before moving on helps here.",
	"Putting these together leads to the result.",
	"A quick check in the other direction agrees.",
}

var closings = []string{"The answer is %.", "So the answer is %.", "That gives %.", "It is %.", "%"}
