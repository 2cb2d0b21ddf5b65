package scorers

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift/reports/scorers/internal/jsonvalue"
)

type turnsParams struct {
	Scorer json.RawMessage `json:"scorer" type:"string or object" required:"true" doc:"scorer of each answer, written as in a plan"`
	Rule   string          `json:"rule" doc:"mean of all turns, all (1 when every turn gives 1), or last (the last turn)"`
}

// turns scores the answer of each turn of a conversation.
type turns struct {
	base
	rule  string
	inner check
}

func newTurns(b base, p turnsParams) (*turns, error) {
	inner, err := newCheckOf(p.Scorer)
	if err != nil {
		return nil, err
	}
	return &turns{b, p.Rule, inner}, oneOf("rule", p.Rule, "mean", "all", "last")
}

// newCheckOf reads one scorer that another uses.
func newCheckOf(raw json.RawMessage) (check, error) {
	v, err := jsonvalue.Parse(string(raw))
	if err != nil {
		return check{}, fmt.Errorf("scorer: %w", err)
	}
	inner, err := newCheck(v)
	if err != nil {
		err = fmt.Errorf("scorer: %w", err)
	}
	return inner, err
}

func (s *turns) readsRow() bool { return true } // the earlier answers are in the prompt

func (s *turns) Score(a Answer, target *Target) Result {
	answers := append(earlierAnswers(a.Input), a.Text)
	targets, err := turnTargets(target, len(answers))
	if err != nil {
		return unscored("%v", err)
	}
	sum, lowest, last := 0.0, 1.0, 0.0
	var parts []Part
	var said []string
	for i, want := range targets {
		if want == nil && target != nil {
			continue // null: nothing is expected of this turn
		}
		r := noAnswer("the conversation ended before")
		if i < len(answers) {
			one := a
			one.Text = answers[i]
			if s.inner.target != nil {
				want = s.inner.target
			}
			if r = s.inner.scorer.Score(one, want); r.Value == nil {
				return unscored("turn %d: %s", i+1, text(r.Explanation))
			}
		}
		last = *r.Value
		sum, lowest = sum+last, min(lowest, last)
		parts = append(parts, Part{Name: fmt.Sprintf("turn %d", i+1), Value: last})
		if last < 1 && r.Explanation != nil {
			said = append(said, fmt.Sprintf("turn %d: %s", i+1, *r.Explanation))
		}
	}
	if len(parts) == 0 {
		return unscored("the row's target expects nothing of any turn")
	}
	values := map[string]float64{"mean": sum / float64(len(parts)), "all": *verdict(lowest >= 1).Value, "last": last}
	r := scored(values[s.rule])
	if r.Parts = parts; len(said) > 0 {
		r = r.because("%s", strings.Join(said, "; "))
	}
	return r
}

// earlierAnswers are the assistant's messages of a conversation.
func earlierAnswers(input string) []string {
	var messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal([]byte(input), &messages) != nil {
		return nil
	}
	var all []string
	for _, m := range messages {
		if m.Role == "assistant" {
			all = append(all, contentText(m.Content))
		}
	}
	return all
}

// contentText is the text of a message's content: a text, or a list of parts.
func contentText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(raw, &parts)
	for _, p := range parts {
		s += p.Text
	}
	return s
}

// turnTargets are the targets of the turns: a list in the row, one for each; null for
// a turn that is not scored. Without a target there are as many as answers, all nil.
func turnTargets(target *Target, answers int) ([]*Target, error) {
	if target == nil {
		return make([]*Target, answers), nil
	}
	v, err := jsonvalue.Parse(target.Text)
	list, ok := v.([]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("the row's target %q is no list with one target for each turn", shorten(target.Text))
	}
	all := make([]*Target, max(len(list), answers))
	for i, e := range list {
		if e != nil {
			all[i] = targetOfCheck(e)
		}
	}
	return all, nil
}

func (s *turns) targetProblem(target *Target) string {
	if _, err := turnTargets(target, 1); err != nil {
		return err.Error()
	}
	return ""
}

func init() {
	register("turns", Pure, "1", "the answer of each turn of a conversation, by another scorer",
		turnsParams{Scorer: json.RawMessage("null"), Rule: "mean"}, newTurns)
}
