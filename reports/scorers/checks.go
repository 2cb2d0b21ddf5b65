package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/reports/scorers/internal/jsonvalue"
)

type checksParams struct {
	Checks json.RawMessage `json:"checks" type:"list" doc:"scorers, each written as in a plan, with a target: and a weight: of its own if it likes; {field: NAME} takes them from the row"`
	Rule   string          `json:"rule" doc:"all: 1 when every check gives 1, else 0; share: the weighted mean of what they give"`
}

func (p checksParams) check() error { return oneOf("rule", p.Rule, "all", "share") }

// checks are several scorers of one answer, such as the ones that its row lists.
type checks struct {
	base
	rule string
	list []check
	row  bool // some of them look at the row
}

type check struct {
	scorer Scorer
	target *Target // in place of the row's; may be nil
	weight float64
}

// mostChecks bounds the checks of one answer.
const mostChecks = 100

func newChecks(b base, p checksParams) (*checks, error) {
	s := &checks{base: b, rule: p.Rule}
	v, err := jsonvalue.Parse(string(p.Checks))
	if err != nil {
		return nil, fmt.Errorf("checks: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 || len(list) > mostChecks {
		return nil, fmt.Errorf("checks: want 1 to %d scorers, have %d", mostChecks, len(list))
	}
	for i, e := range list {
		c, err := newCheck(e)
		if err != nil {
			return nil, fmt.Errorf("checks[%d]: %w", i, err)
		}
		s.list = append(s.list, c)
		r, ok := c.scorer.(readsRow)
		s.row = s.row || ok && r.readsRow()
	}
	return s, p.check()
}

// newCheck reads a check: the name of a scorer, or an object with its type and
// parameters.
func newCheck(v any) (c check, err error) {
	c.weight = 1
	if name, ok := v.(string); ok {
		v = map[string]any{"type": name}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return c, errors.New("want the name of a scorer, or an object with its type")
	}
	spec := Spec{Params: map[string]any{}}
	for key, value := range m {
		switch key {
		case "type":
			spec.Type, _ = value.(string)
		case "name":
			spec.Name, _ = value.(string)
		case "target":
			c.target = targetOfCheck(value)
		case "weight":
			n, _ := value.(json.Number)
			if c.weight, err = n.Float64(); err != nil || !(c.weight > 0) {
				return c, fmt.Errorf("weight: want a number above 0, have %s", jsonvalue.Canonical(value))
			}
		default:
			spec.Params[key] = value
		}
	}
	if spec.Type == "" || spec.Type == "checks" {
		return c, errors.New("want the type of a scorer other than checks")
	}
	if c.scorer, err = New(spec); err == nil && registry[spec.Type].info.Kind != Pure {
		err = fmt.Errorf("scorer %s gives no score of a single answer", spec.Type)
	}
	return c, err
}

func targetOfCheck(v any) *Target {
	if text, ok := v.(string); ok {
		return OneTarget(text)
	}
	_, isList := v.([]any)
	return NewTarget(jsonvalue.Canonical(v), isList)
}

func (s *checks) readsRow() bool { return s.row }

func (s *checks) Score(a Answer, target *Target) Result {
	sum, weights := 0.0, 0.0
	var failed []string
	for i, c := range s.list {
		want := target
		if c.target != nil {
			want = c.target
		}
		r := c.scorer.Score(a, want)
		if r.Value == nil {
			return unscored("check %d, %s: %s", i+1, c.scorer.Name(), text(r.Explanation))
		}
		sum, weights = sum+c.weight**r.Value, weights+c.weight
		if *r.Value < 1 {
			failed = append(failed, failure(i, c.scorer.Name(), r))
		}
	}
	r := scored(sum / weights)
	if s.rule == "all" {
		r = verdict(len(failed) == 0)
	}
	if len(failed) > 0 {
		r = r.because("%d of %d checks failed: %s", len(failed), len(s.list), strings.Join(failed, "; "))
	}
	return r
}

func failure(i int, name string, r Result) string {
	why := fmt.Sprintf("%d %s", i+1, name)
	if r.Explanation != nil {
		why += " (" + *r.Explanation + ")"
	} else if r.Answer != nil && r.Status == nightshift.Scored {
		why += " (read " + shorten(*r.Answer) + ")"
	}
	return why
}

func init() {
	register("checks", Pure, "1", "several scorers of one answer, such as those that its row lists",
		checksParams{Checks: json.RawMessage(`{"field":"checks"}`), Rule: "all"}, newChecks)
}
