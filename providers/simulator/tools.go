package simulator

import (
	"nightshift/providers/simulator/internal/answers"
)

// toolCalls decides which tools are called: the forced one, or those that the
// question speaks of.
func (x *exchange) toolCalls(s seed) (calls []call) {
	a := x.ask
	if len(a.tools) == 0 || a.choice.kind == "none" {
		return nil
	}
	forced := a.choice.kind == "any" || a.choice.kind == "tool"
	if n := len(a.turns); n > 0 && a.turns[n-1].result && !forced {
		return nil // the result is there: time to answer
	}
	var chosen []tool
	for _, t := range a.tools {
		switch {
		case a.choice.kind == "tool":
			if t.name == a.choice.name {
				chosen = append(chosen, t)
			}
		case answers.Mentions(a.question, t.name):
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && forced {
		chosen = a.tools[:1]
	}
	if a.choice.single || a.legacy {
		chosen = chosen[:min(1, len(chosen))]
	}
	prefix := "toolu_01"
	if a.protocol != messages {
		prefix = "call_"
	}
	for i, t := range chosen {
		from := s.WithInt(uint64(i)).With(t.name)
		calls = append(calls, call{ident(prefix, from, 22), t.name, t.arguments(a.question, from), t.custom})
	}
	return calls
}

// arguments are what a tool is called with: a text for a custom tool, else JSON.
func (t *tool) arguments(question string, s seed) string {
	if t.custom {
		return answers.Head(question, 200)
	}
	return answers.Arguments(t.schema, question, s)
}
