package scorers

import (
	"math"
	"strings"

	"nightshift"
	"nightshift/reports/scorers/internal/numbers"
)

// A Rate is a share with what it is a share of; Value is NaN when N is 0.
type Rate struct {
	Value float64
	N     int
}

func newRate(sum float64, n int) Rate {
	if n == 0 {
		return Rate{math.NaN(), 0}
	}
	return Rate{sum / float64(n), n}
}

// A Bias says how far a pairwise judge goes by things that should not count.
type Bias struct {
	// Consistency is the share of pairs, asked in both orders and readable in
	// both, with the same winner in both orders. Ties agree with ties.
	Consistency Rate
	// FirstPosition is the win rate of the answer shown first over all
	// readable replies, a tie counting half; 0.5 is no bias.
	FirstPosition Rate
	// Longer is the win rate of the longer answer over scored pairs of
	// different lengths, a tie counting half. Longer may well be better:
	// read it beside the scores.
	Longer Rate
}

// MeasureBias takes the bias of a judge from its pairs.
func MeasureBias(pairs []Pair) Bias {
	same, both := 0.0, 0
	first, replies := 0.0, 0
	longer, unequal := 0.0, 0
	for _, p := range pairs {
		straight, okStraight := points(p.Straight)
		swapped, okSwapped := points(p.Swapped)
		okSwapped = okSwapped && !p.Single
		if okStraight {
			first, replies = first+straight, replies+1
		}
		if okSwapped {
			first, replies = first+swapped, replies+1
		}
		if okStraight && okSwapped {
			both++
			if straight == 1-swapped {
				same++
			}
		}
		if v, known := p.Value(); known && p.Ours != p.Theirs {
			unequal++
			if p.Theirs > p.Ours {
				v = 1 - v
			}
			longer += v
		}
	}
	return Bias{newRate(same, both), newRate(first, replies), newRate(longer, unequal)}
}

// families are the makers' names in model ids.
var families = []struct{ family, in string }{
	{"claude", "claude"}, {"gpt", "gpt"}, {"gpt", "chatgpt"}, {"gemini", "gemini"}, {"gemini", "gemma"},
	{"llama", "llama"}, {"mistral", "mistral"}, {"mistral", "mixtral"}, {"mistral", "ministral"},
	{"mistral", "codestral"},
	{"qwen", "qwen"}, {"qwen", "qwq"}, {"deepseek", "deepseek"}, {"grok", "grok"}, {"command", "command-r"},
	{"kimi", "kimi"}, {"glm", "glm"}, {"phi", "phi-"}, {"nova", "nova-"},
}

// family names the family that a model id belongs to; empty when unknown.
func family(model string) string {
	model = strings.ToLower(model)
	for _, f := range families {
		if strings.Contains(model, f.in) {
			return f.family
		}
	}
	base := model[strings.LastIndexByte(model, '/')+1:]
	if len(base) > 1 && base[0] == 'o' && numbers.IsDigit(base[1]) { // o1, o3-mini, …
		return "gpt"
	}
	return ""
}

// SameFamily reports whether a judge and a candidate come from one family.
// Judges tend to prefer their own kind.
func SameFamily(judge, candidate string) bool {
	f := family(judge)
	return f != "" && f == family(candidate)
}

// WithLengths keeps the lengths of two answers with a judge's pair.
func (p Pair) WithLengths(ours, theirs string) Pair {
	p.Ours, p.Theirs = len([]rune(ours)), len([]rune(theirs))
	return p
}

// Label is a short name of a result for comparing it with a human's label: the
// extracted answer, or the value.
func Label(r Result) string {
	switch {
	case r.Status != nightshift.Scored && r.Status != nightshift.NoAnswer:
		return ""
	case r.Answer != nil:
		return *r.Answer
	case r.Value != nil:
		return numbers.FormatFloat(*r.Value)
	}
	return ""
}
