package scorers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"nightshift"
	"nightshift/reports/scorers/internal/numbers"
)

type thresholdParams struct {
	Threshold *float64 `json:"threshold" required:"true" doc:"the most that passes; equality passes, and 0 is a threshold"`
}

// atMost passes facts of the run up to a threshold.
type atMost struct {
	base
	threshold float64
	fact      func(Answer) *float64
	unknown   string
}

func newAtMost(fact func(Answer) *float64, unknown string) func(base, thresholdParams) (*atMost, error) {
	return func(b base, p thresholdParams) (*atMost, error) {
		if p.Threshold == nil {
			return nil, fmt.Errorf("threshold is null")
		}
		return &atMost{b, *p.Threshold, fact, unknown}, nil
	}
}

func (s *atMost) Score(a Answer, _ *Target) Result {
	v := s.fact(a)
	if v == nil {
		return unscored("%s", s.unknown)
	}
	return verdict(*v <= s.threshold).extracted(numbers.FormatFloat(*v))
}

type lengthParams struct {
	Threshold *float64 `json:"threshold" required:"true" doc:"the most that passes; equality passes, and 0 is a threshold"`
	Unit      string   `json:"unit" doc:"characters (code points), words or output_tokens"`
}

func newLength(b base, p lengthParams) (*atMost, error) {
	if err := oneOf("unit", p.Unit, "characters", "words", "output_tokens"); err != nil {
		return nil, err
	}
	fact := func(a Answer) *float64 { return length(a, p.Unit) }
	return newAtMost(fact, "the number of output tokens is unknown")(b, thresholdParams{p.Threshold})
}

func length(a Answer, unit string) *float64 {
	n := 0.0
	switch unit {
	case "characters":
		n = float64(utf8.RuneCountInString(a.Text))
	case "words":
		n = float64(len(strings.Fields(a.Text)))
	default:
		if a.OutputTokens == nil {
			return nil
		}
		n = float64(*a.OutputTokens)
	}
	return &n
}

type stopParams struct {
	Equals oneOrMore `json:"equals" type:"string or list" required:"true" doc:"stop reasons that pass: our words, or a server's own"`
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return fmt.Errorf("want a text or a list of texts, have %s", raw)
	}
	*o = list
	return nil
}

type stopReason struct {
	base
	equals []string
}

func newStopReason(b base, p stopParams) (*stopReason, error) {
	if len(p.Equals) == 0 {
		return nil, fmt.Errorf("equals: no stop reason given")
	}
	return &stopReason{b, p.Equals}, nil
}

// serversWords translates the words of the two wire formats into ours.
var serversWords = map[string][]nightshift.StopReason{
	"stop":                          {nightshift.StopEnd, nightshift.StopSequence},
	"end_turn":                      {nightshift.StopEnd},
	"length":                        {nightshift.StopMaxTokens},
	"tool_calls":                    {nightshift.StopToolUse},
	"function_call":                 {nightshift.StopToolUse},
	"pause_turn":                    {nightshift.StopPause},
	"model_context_window_exceeded": {nightshift.StopContextWindow},
}

func (s *stopReason) Score(a Answer, _ *Target) Result {
	ours, raw := a.StopReason, a.RawStopReason
	if ours == "" && raw == "" {
		return unscored("the stop reason is unknown")
	}
	shown := string(ours)
	if ours == "" {
		shown = raw
		if words := serversWords[raw]; words != nil {
			ours = words[0]
		}
	}
	right := slices.ContainsFunc(s.equals, func(word string) bool {
		return word == raw || word == string(ours) || slices.Contains(serversWords[word], ours)
	})
	return verdict(right).extracted(shown)
}

func init() {
	register("cost_max", Pure, "1", "the answer cost no more than a threshold, in US dollars, all attempts",
		thresholdParams{}, newAtMost(func(a Answer) *float64 { return a.CostUSD }, "the cost is unknown"))
	register("latency_max", Pure, "1", "the answer took no longer than a threshold, in milliseconds",
		thresholdParams{}, newAtMost(func(a Answer) *float64 { return a.LatencyMS },
			"the answer has no latency: it came from a cache, or none was measured"))
	register("length_max", Pure, "1", "the answer is no longer than a threshold", lengthParams{Unit: "characters"},
		newLength)
	register("stop_reason", Pure, "1", "the answer ended for one of some reasons", stopParams{Equals: oneOrMore{}},
		newStopReason)
}
