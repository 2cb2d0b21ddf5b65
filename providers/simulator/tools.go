package simulator

import (
	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/requests"
)

// toolCalls decides which tools are called: the forced one, or those that the
// question speaks of.
func (x *exchange) toolCalls(s seed) (calls []call) {
	a := x.ask
	if len(a.Tools) == 0 || a.Choice.Kind == "none" {
		return nil
	}
	forced := a.Choice.Kind == "any" || a.Choice.Kind == "tool"
	if n := len(a.Turns); n > 0 && a.Turns[n-1].Result && !forced {
		return nil // the result is there: time to answer
	}
	var chosen []requests.Tool
	for _, t := range a.Tools {
		switch {
		case a.Choice.Kind == "tool":
			if t.Name == a.Choice.Name {
				chosen = append(chosen, t)
			}
		case answers.Mentions(a.Question, t.Name):
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && forced {
		chosen = a.Tools[:1]
	}
	if a.Choice.Single || a.Legacy {
		chosen = chosen[:min(1, len(chosen))]
	}
	prefix := "toolu_01"
	if a.Protocol != requests.Messages {
		prefix = "call_"
	}
	for i, t := range chosen {
		from := s.WithInt(uint64(i)).With(t.Name)
		calls = append(calls, call{ident(prefix, from, 22), t.Name, t.Arguments(a.Question, from), t.Custom})
	}
	return calls
}
