package scorers

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

type embeddingParams struct {
	Model     string   `json:"model" doc:"embedding model: an entry of models, or the endpoint's id"`
	Endpoint  string   `json:"endpoint" doc:"endpoint that serves it"`
	Params    anyJSON  `json:"params" type:"object" doc:"request parameters, such as dimensions"`
	Field     string   `json:"field" doc:"field of the row to compare with, in place of the target"`
	Threshold *float64 `json:"threshold" doc:"cosine from which the score is 1, and 0 below; without it the cosine is the score"`
}

// An Embedder compares an answer with the row's target by their embeddings.
type Embedder struct {
	base
	p embeddingParams
}

// NewEmbedder builds a scorer of type embedding.
func NewEmbedder(spec Spec) (*Embedder, error) { return buildAs[*Embedder](spec) }

func newEmbedder(b base, p embeddingParams) (*Embedder, error) {
	if t := p.Threshold; t != nil && !(*t >= -1 && *t <= 1) {
		return nil, fmt.Errorf("threshold: a cosine lies between -1 and 1, have %v", *t)
	}
	return &Embedder{b, p}, nil
}

// Texts are what to embed for one answer, whose target is among several where
// there is more than one text after the first. The result says why there is
// nothing to compare; nil when there is.
func (s *Embedder) Texts(a Answer, target *Target) (answer string, targets []string, why *Result) {
	targets, why = s.targets(a, target)
	if why != nil {
		return "", nil, why
	}
	for _, t := range targets {
		if strings.TrimSpace(t) == "" {
			r := unscored("the row's target is empty")
			return "", nil, &r
		}
	}
	if strings.TrimSpace(a.Text) == "" {
		r := noAnswer("the answer is empty")
		return "", nil, &r
	}
	return a.Text, targets, nil
}

// targets are the texts to compare with: the row's target, or a field of it.
func (s *Embedder) targets(a Answer, target *Target) ([]string, *Result) {
	if s.p.Field == "" {
		return texts(target)
	}
	var row map[string]json.RawMessage
	raw, found := json.RawMessage(nil), false
	if json.Unmarshal([]byte(a.Metadata), &row) == nil {
		raw, found = row[s.p.Field]
	}
	var list oneOrMore
	if !found || list.UnmarshalJSON(raw) != nil || len(list) == 0 {
		r := unscored("the row has no text in its field %q", s.p.Field)
		return nil, &r
	}
	return list, nil
}

// Score compares the vector of an answer with those of its targets. The nearest
// counts. A cosine below 0 is worth 0.
func (s *Embedder) Score(answer []float32, targets [][]float32) Result {
	best := math.Inf(-1)
	for _, t := range targets {
		c, err := Cosine(answer, t)
		if err != nil {
			return unscored("%v", err)
		}
		best = max(best, c)
	}
	if s.p.Threshold != nil {
		return verdict(best >= *s.p.Threshold).because("cosine %.4f", best)
	}
	return scored(min(max(best, 0), 1)).because("cosine %.4f", best)
}

// Cosine is the cosine of the angle between two vectors: their dot product over
// the product of their lengths. Vectors need not be of length 1.
func Cosine(a, b []float32) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("the vectors have %d and %d numbers", len(a), len(b))
	}
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0, fmt.Errorf("a vector has the length 0")
	}
	return dot / math.Sqrt(aa*bb), nil
}

func init() {
	register("embedding", Embedded, "3", "cosine of the answer's and the target's embeddings",
		embeddingParams{Params: anyJSON{}}, newEmbedder)
}
