package simulator

import (
	"strconv"
	"strings"
)

// think makes up one answer: thinking, text and tool calls, at their full
// length.
func (x *exchange) think(s seed) choice {
	c := choice{stop: stopEnd}
	x.reason(&c, s)
	if text, ok := x.server.cfg.Answers.find(x.ask.question, x.ask.model); ok {
		c.text = text
		return c
	}
	if c.calls = x.toolCalls(s); len(c.calls) > 0 {
		c.stop = stopTool
		return c
	}
	c.text = x.say(s)
	return c
}

// reason thinks, when asked to or when the model always does.
func (x *exchange) reason(c *choice, s seed) {
	a := x.ask
	tokens := x.model.Reasoning
	if a.thinking {
		tokens = max(tokens, 40+s.below("thinking", 200))
		switch a.effort {
		case "minimal", "low":
			tokens = max(1, tokens/4)
		case "high", "xhigh", "max":
			tokens *= 3
		}
	}
	if tokens == 0 || a.effort == "none" {
		return
	}
	if a.budget > 0 {
		tokens = min(tokens, a.budget)
	}
	if a.protocol == messages || x.model.ReasoningField != "" || x.thinkingField() != "" {
		c.thinking = ponder(a.question, tokens, s)
	}
	c.reasoned = tokens
	if c.thinking != "" {
		c.reasoned = countTokens(c.thinking)
	}
}

// ponder is thinking of about the given length.
func ponder(question string, tokens int, s seed) string {
	var b strings.Builder
	subject := topicWords(question)
	for i, n := uint64(0), 0; n < tokens; i++ {
		sentence := fill(pick(s.withInt(i), "ponder", musings), subject, s.withInt(i))
		b.WriteString(sentence)
		b.WriteByte(' ')
		n += countTokens(sentence)
	}
	text, _ := cutTokens(b.String(), tokens)
	return text
}

// say answers in words.
func (x *exchange) say(s seed) string {
	a := x.ask
	if last := a.turns; len(last) > 0 && last[len(last)-1].result {
		return "Based on the result: " + head(strings.TrimSpace(last[len(last)-1].text), 400)
	}
	form := x.form()
	if verdict, ok := judge(a.system+"\n"+a.question, s); ok {
		return verdict
	}
	if a.schema != nil || a.json {
		return x.sayJSON(s)
	}
	if answer, ok := x.known(s); ok {
		return form.phrase(answer, x.verbosity(), s)
	}
	text := prose(a.question, x.verbosity(), s)
	if form.bare {
		text, _, _ = strings.Cut(text, ".")
		if subject := topicWords(a.question); len(subject) > 0 {
			text = pick(s, "bare", subject)
		}
	}
	return form.close(text, "unclear")
}

// known answers a question whose target is known, rightly or wrongly as the
// model's skill goes.
func (x *exchange) known(s seed) (string, bool) {
	answers := x.server.cfg.Answers
	right, ok := answers.target(x.ask.question)
	if ok && !x.knows() {
		return answers.wrong(right, s), true
	}
	return right, ok
}

// knows decides whether the model gets this conversation right. Half of the
// time that hangs on the question alone: hard questions are hard for all
// models, so the better model is right where the worse one is, mostly.
func (x *exchange) knows() bool {
	question := fnvOffset.withInt(x.server.cfg.Seed).with(x.ask.system).with(x.ask.question)
	u := x.ask.seed.roll("skill")
	if question.roll("shared") < 0.5 {
		u = question.roll("difficulty")
	}
	return u < x.skill()
}

// skill is the share of questions that the model gets right.
func (x *exchange) skill() float64 {
	if s := x.model.Skill; s != nil {
		return *s
	}
	return skillByName(x.ask.model)
}

func skillByName(name string) float64 {
	switch {
	case strings.Contains(name, "sim-large"):
		return 0.93
	case strings.Contains(name, "sim-medium"):
		return 0.80
	case strings.Contains(name, "sim-small"):
		return 0.65
	}
	return 0.55 + 0.4*fnvOffset.with(name).roll("skill")
}

// verbosity is how much the model talks.
func (x *exchange) verbosity() float64 {
	if v := x.model.Verbosity; v > 0 {
		return v
	}
	switch {
	case strings.Contains(x.ask.model, "sim-large"):
		return 1.2
	case strings.Contains(x.ask.model, "sim-small"):
		return 0.7
	}
	return 1
}

// A form is how an answer is wanted.
type form struct {
	marker string // what stands before the answer on the last line; empty for none
	bare   bool   // the answer alone
	json   bool   // a JSON object
	steps  bool   // with the way to it
}

// form reads from the prompt how an answer is wanted.
func (x *exchange) form() form {
	text := x.ask.system + "\n" + x.ask.question
	lower := strings.ToLower(text)
	f := form{
		bare:  containsAny(lower, "one word", "single word", "only the", "just the", "nothing else", "a single number", "only with", "just give", "only give", "no explanation", "single letter", "letter only", "output only", "word only"),
		json:  containsAny(lower, "reply in json", "respond in json", "answer in json", "reply with json", "respond with json", "as a json", "valid json"),
		steps: containsAny(lower, "step by step", "show your work", "explain"),
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
func (f form) phrase(answer string, verbosity float64, from seed) string {
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
	steps := from.roll("steps") * 3 * verbosity
	if f.steps {
		steps++
	}
	for i := 0; i < int(steps) && i < len(openings); i++ {
		parts = append(parts, pick(from.withInt(uint64(i/2)), "opening "+strconv.Itoa(i), openings))
	}
	if f.marker == "" {
		parts = append(parts, strings.Replace(pick(from, "closing", closings), "%", answer, 1))
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
