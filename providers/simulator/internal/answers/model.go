package answers

import (
	"encoding/json"
	"strings"

	"nightshift/providers/simulator/internal/random"
)

// A Model is what answers.
type Model struct {
	Name      string
	Skill     *float64    // share of questions answered rightly, 0 to 1; nil goes by the name
	Verbosity float64     // 1 is usual; 0 goes by the name
	Known     *File       // answers known beforehand; may be nil
	Seed      random.Seed // decides which questions are hard, for all models alike
}

// A Question is what a model is asked.
type Question struct {
	System string
	Text   string          // the last user message
	Result *string         // what a tool gave back, when that came last
	JSON   bool            // the answer has to be JSON
	Schema json.RawMessage // which JSON, where that is said
	Seed   random.Seed     // of the conversation: decides whether the model gets it right
}

// Answer answers in words or, where it has to, in JSON. The sample's seed makes
// several answers to one question differ.
func (m Model) Answer(q Question, sample random.Seed) string {
	if q.Result != nil {
		return "Based on the result: " + Head(strings.TrimSpace(*q.Result), 400)
	}
	if verdict, ok := judge(q.System+"\n"+q.Text, sample); ok {
		return verdict
	}
	if q.Schema != nil || q.JSON {
		return m.inJSON(q, sample)
	}
	form := formOf(q.System + "\n" + q.Text)
	if answer, ok := m.known(q, sample); ok {
		return form.phrase(answer, m.verbosity(), sample)
	}
	if form.bare {
		return form.close(random.Pick(sample, "bare", topicWords(q.Text)), "unclear")
	}
	return form.close(prose(q.Text, m.verbosity(), sample), "unclear")
}

// inJSON answers in JSON, by the schema where there is one.
func (m Model) inJSON(q Question, sample random.Seed) string {
	answer, ok := m.known(q, sample)
	switch {
	case q.Schema != nil:
		v := values{question: q.Text, answer: answer, root: q.Schema}
		return v.value("", q.Schema, sample, 0)
	case !ok:
		return `{"answer":` + quote(prose(q.Text, 0.3, sample)) + "}"
	case strings.HasPrefix(answer, "{"):
		return answer
	}
	return `{"answer":` + jsonValue(answer) + "}"
}

// known answers a question whose target is known, rightly or wrongly as the
// model's skill goes.
func (m Model) known(q Question, sample random.Seed) (string, bool) {
	right, ok := m.Known.target(q.Text)
	if ok && !m.knows(q) {
		return m.Known.wrong(right, sample), true
	}
	return right, ok
}

// knows decides whether the model gets this conversation right. Half of the
// time that depends on the question alone: hard questions are hard for all
// models, so the better model is right where the worse one is, mostly.
func (m Model) knows(q Question) bool {
	question := m.Seed.With(q.System).With(q.Text)
	u := q.Seed.Roll("skill")
	if question.Roll("shared") < 0.5 {
		u = question.Roll("difficulty")
	}
	return u < m.skill()
}

// skill is the share of questions that the model gets right.
func (m Model) skill() float64 {
	switch {
	case m.Skill != nil:
		return *m.Skill
	case strings.Contains(m.Name, "sim-large"):
		return 0.93
	case strings.Contains(m.Name, "sim-medium"):
		return 0.80
	case strings.Contains(m.Name, "sim-small"):
		return 0.65
	}
	return 0.55 + 0.4*random.Start.With(m.Name).Roll("skill")
}

// verbosity is how much the model talks.
func (m Model) verbosity() float64 {
	switch {
	case m.Verbosity > 0:
		return m.Verbosity
	case strings.Contains(m.Name, "sim-large"):
		return 1.2
	case strings.Contains(m.Name, "sim-small"):
		return 0.7
	}
	return 1
}

// Thinking is thought about a question, of the given number of tokens or a
// little less.
func Thinking(question string, tokens int, s random.Seed) string {
	var b strings.Builder
	subject := topicWords(question)
	for i, n := uint64(0), 0; n < tokens; i++ {
		sentence := fill(random.Pick(s.WithInt(i), "ponder", musings), subject, s.WithInt(i))
		b.WriteString(sentence)
		b.WriteByte(' ')
		n += CountTokens(sentence)
	}
	text, _ := CutTokens(b.String(), tokens)
	return text
}
