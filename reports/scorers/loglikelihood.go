package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"nightshift"
)

type loglikelihoodParams struct {
	Normalize string `json:"normalize" doc:"what a choice's sum is divided by: none, bytes or characters"`
	Delimiter string `json:"delimiter" doc:"stands between prompt and choice where neither has white space"`
}

// loglikelihood is right where the choice that a model takes for the likeliest is
// the target.
type loglikelihood struct {
	base
	p loglikelihoodParams
}

func newLoglikelihood(b base, p loglikelihoodParams) (*loglikelihood, error) {
	return &loglikelihood{b, p}, oneOf("normalize", p.Normalize, "none", "bytes", "characters")
}

// Delimiter is what a run puts between a prompt and each of its choices.
func (s *loglikelihood) Delimiter() string { return s.p.Delimiter }

// noLikelihoods is why an answer cannot be scored.
const noLikelihoods = "the answers of this run are not log-probabilities: " +
	"the scorer must be in the plan when the run begins"

func (s *loglikelihood) Score(a Answer, target *Target) Result {
	if target == nil {
		return unscored("%s", missingTarget)
	}
	texts := make([]string, len(a.Choices))
	best, most := -1, math.Inf(-1)
	for i, c := range a.Choices {
		if c.Loglikelihood == nil {
			return unscored("%s", noLikelihoods)
		}
		texts[i] = c.Text
		if p := c.Loglikelihood.Sum / s.length(c.Text); p > most {
			best, most = i, p
		}
	}
	if best < 0 {
		return unscored("%s", noLikelihoods)
	}
	right, err := rightChoice(texts, target)
	if err != nil {
		return unscored("%v", err)
	}
	return verdict(best == right).extracted(texts[best]).sameAs(strconv.Itoa(best))
}

// length is what the log-probability of a choice is divided by. White space that
// stands between prompt and choice is not counted.
func (s *loglikelihood) length(choice string) float64 {
	switch s.p.Normalize {
	case "bytes":
		return float64(max(len(choice), 1))
	case "characters":
		return float64(max(utf8.RuneCountInString(choice), 1))
	}
	return 1
}

// rightChoice is the choice that a target means: its text, its letter, or its
// number from 0.
func rightChoice(choices []string, target *Target) (int, error) {
	want := target.Text
	if len(target.Texts) == 1 {
		want = target.Texts[0]
	}
	for i, c := range choices {
		if strings.TrimSpace(c) == strings.TrimSpace(want) {
			return i, nil
		}
	}
	want = strings.Trim(strings.TrimSpace(want), "().")
	if n, err := strconv.Atoi(want); err == nil && n >= 0 && n < len(choices) {
		return n, nil
	}
	if len(want) == 1 {
		if n := int(want[0]|0x20) - 'a'; n >= 0 && n < len(choices) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the row's target %q is none of its %d choices", want, len(choices))
}

// targetProblem implements what [RowProblem] asks: without an answer nothing is
// known of the choices.
func (s *loglikelihood) targetProblem(target *Target) string {
	if target == nil {
		return missingTarget
	}
	return ""
}

type perplexityParams struct {
	Unit string `json:"unit" doc:"token, or byte, which is comparable between models with different tokenizers"`
}

// perplexity is a statistic of all texts of a run. As a score it is the inverse, the
// geometric mean of the probability of a token, or of a byte.
type perplexity struct {
	base
	unit string
}

func newPerplexity(b base, p perplexityParams) (*perplexity, error) {
	return &perplexity{b, p.Unit}, oneOf("unit", p.Unit, "token", "byte")
}

func (s *perplexity) Score(a Answer, _ *Target) Result {
	counts, ok := s.Counts(a, nil)
	if !ok {
		return unscored("%s", noLikelihoods)
	}
	raw, err := json.Marshal(counts)
	if err != nil {
		return unscored("%v", err)
	}
	return Result{Status: nightshift.Scored}.extracted(string(raw)).because("%s", s.Words(counts))
}

// Counts implements Corpus: the sum of the log-probabilities, the tokens and the
// bytes.
func (s *perplexity) Counts(a Answer, _ *Target) (counts []float64, ok bool) {
	if len(a.Choices) != 1 || a.Choices[0].Loglikelihood == nil {
		return nil, false
	}
	l := a.Choices[0].Loglikelihood
	return []float64{l.Sum, float64(l.Tokens), float64(l.Bytes)}, true
}

// Statistic implements Corpus.
func (s *perplexity) Statistic(sums []float64) float64 {
	n := sums[1]
	if s.unit == "byte" {
		n = sums[2]
	}
	return math.Exp(sums[0] / n) // NaN without any
}

// Words are the usual figures for the sums of counts.
func (s *perplexity) Words(sums []float64) string {
	return fmt.Sprintf("perplexity %.4f a token, %.4f a byte, %.4f bits per byte, over %.0f tokens and %.0f bytes",
		math.Exp(-sums[0]/sums[1]), math.Exp(-sums[0]/sums[2]), -sums[0]/sums[2]/math.Ln2, sums[1], sums[2])
}

func (s *perplexity) targetProblem(*Target) string { return "" }

// Likelihoods says which log-probabilities a run must ask for so that its scorers
// can score: none, those of each row's choices, or that of each row's prompt.
type Likelihoods struct {
	Choices, Text bool
	Delimiter     string // between a prompt and a choice
}

// Asks reports whether any are asked for.
func (l Likelihoods) Asks() bool { return l.Choices || l.Text }

// LikelihoodsFor finds what scorers need. All of them score the same requests, so
// they must agree.
func LikelihoodsFor(all []Scorer) (l Likelihoods, err error) {
	for _, s := range all {
		switch s := s.(type) {
		case *loglikelihood:
			if l.Choices && l.Delimiter != s.p.Delimiter {
				return l, errors.New("the loglikelihood scorers of a plan have one delimiter: it is part of what is sent")
			}
			l.Choices, l.Delimiter = true, s.p.Delimiter
		case *perplexity:
			l.Text = true
		}
	}
	if l.Choices && l.Text {
		return l, errors.New("loglikelihood scores choices and perplexity whole texts: they need a run each")
	}
	return l, nil
}

func init() {
	register("loglikelihood", Pure, "1", "the likeliest choice is the target; the run asks for log-probabilities",
		loglikelihoodParams{Normalize: "none", Delimiter: " "}, newLoglikelihood)
	register("perplexity", OfCorpus, "1", "how well a model predicts the prompts; the run asks for log-probabilities",
		perplexityParams{Unit: "token"}, newPerplexity)
}
