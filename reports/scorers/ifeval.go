package scorers

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift/reports/scorers/internal/instructions"
	"nightshift/reports/scorers/internal/jsonvalue"
)

type ifevalParams struct {
	Instructions json.RawMessage `json:"instructions" type:"list" doc:"ids of instructions, such as punctuation:no_comma; {field: NAME} takes them from the row"`
	Kwargs       json.RawMessage `json:"kwargs" type:"list" doc:"the arguments of each instruction, an object each, in the same order"`
	Measure      string          `json:"measure" doc:"which part is the score: prompt_strict, prompt_loose, instruction_strict or instruction_loose"`
}

func (p ifevalParams) check() error {
	return oneOf("measure", p.Measure, "prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose")
}

// ifeval checks the verifiable instructions of a row.
type ifeval struct {
	base
	measure string
	list    []instructions.Instruction
}

func newIFEval(b base, p ifevalParams) (*ifeval, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	s := &ifeval{base: b, measure: p.Measure}
	ids, err := jsonvalue.Parse(string(p.Instructions))
	if err != nil {
		return nil, fmt.Errorf("instructions: %w", err)
	}
	kwargs, err := jsonvalue.Parse(string(p.Kwargs))
	if err != nil {
		return nil, fmt.Errorf("kwargs: %w", err)
	}
	list, ok := ids.([]any)
	args, okArgs := kwargs.([]any)
	if !ok || !okArgs || len(list) == 0 || len(list) != len(args) {
		return nil, fmt.Errorf("want as many kwargs as instructions, and one or more: have %s and %s",
			shorten(string(p.Instructions)), shorten(string(p.Kwargs)))
	}
	for i, id := range list {
		name, _ := id.(string)
		of, _ := args[i].(map[string]any) // null stands for none
		one, err := instructions.New(name, instructions.Arguments(of))
		if err != nil {
			return nil, err
		}
		s.list = append(s.list, one)
	}
	return s, nil
}

func (s *ifeval) Score(a Answer, _ *Target) Result {
	strict, loose := 0, 0
	var broken []string
	for _, one := range s.list {
		isStrict := one.Strict(a.Text)
		isLoose := isStrict || one.Loose(a.Text)
		if isStrict {
			strict++
		}
		if isLoose {
			loose++
		}
		switch {
		case !isLoose:
			broken = append(broken, one.ID)
		case !isStrict:
			broken = append(broken, one.ID+" (followed loosely)")
		}
	}
	n := float64(len(s.list))
	parts := []Part{
		{Name: "prompt_strict", Value: *verdict(strict == len(s.list)).Value},
		{Name: "prompt_loose", Value: *verdict(loose == len(s.list)).Value},
		{Name: "instruction_strict", Value: float64(strict) / n, Weight: n},
		{Name: "instruction_loose", Value: float64(loose) / n, Weight: n},
	}
	var r Result
	for _, p := range parts {
		if p.Name == s.measure {
			r = scored(p.Value)
		}
	}
	if r.Parts = parts; len(broken) > 0 {
		r = r.because("not followed: %s", strings.Join(broken, ", "))
	}
	return r
}

func init() {
	register("ifeval", Pure, "2", "the answer follows the verifiable instructions of its row, as IFEval defines them",
		ifevalParams{Instructions: json.RawMessage(`{"field":"instruction_id_list"}`),
			Kwargs: json.RawMessage(`{"field":"kwargs"}`), Measure: "prompt_strict"}, newIFEval)
}
