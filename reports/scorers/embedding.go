package scorers

import (
	"context"
	"fmt"
	"math"
)

// Cosine is the cosine of the angle between two vectors; NaN when it is
// undefined (different lengths, a vector of zeros).
func Cosine(a, b []float64) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.NaN()
	}
	dot, x, y := 0.0, 0.0, 0.0
	for i := range a {
		dot += a[i] * b[i]
		x += a[i] * a[i]
		y += b[i] * b[i]
	}
	if x == 0 || y == 0 {
		return math.NaN()
	}
	return dot / (math.Sqrt(x) * math.Sqrt(y))
}

type embeddingParams struct {
	Model    string `json:"model" doc:"embedding model; the endpoint's id"`
	Endpoint string `json:"endpoint" doc:"endpoint that serves it"`
}

// An Embedding scores by how near the answer's vector is to a target's. Who
// calls the endpoint is up to the caller.
type Embedding struct {
	base
	Model    string
	Endpoint string
}

func newEmbedding(b base, p embeddingParams) (*Embedding, error) {
	return &Embedding{b, p.Model, p.Endpoint}, nil
}

// NewEmbedding builds a scorer of kind [Embedded].
func NewEmbedding(spec Spec) (*Embedding, error) { return buildAs[*Embedding](spec) }

// Score asks embed for the vectors of the answer and its targets, in that
// order, in one call. The value is the best cosine, not below 0.
func (s *Embedding) Score(ctx context.Context, a Answer, target *Target, embed func(ctx context.Context, texts []string) ([][]float64, error)) (Result, error) {
	targets, bad := texts(target)
	if bad != nil {
		return *bad, nil
	}
	vectors, err := embed(ctx, append([]string{a.Text}, targets...))
	if err != nil {
		return Result{}, err
	}
	if len(vectors) != len(targets)+1 {
		return unscored("%d vectors for %d texts", len(vectors), len(targets)+1), nil
	}
	return EmbeddingScore(vectors[0], vectors[1:]...), nil
}

// EmbeddingScore is the best cosine of an answer's vector and its targets', in
// 0..1.
func EmbeddingScore(answer []float64, targets ...[]float64) Result {
	top := math.NaN()
	for _, t := range targets {
		if c := Cosine(answer, t); !(c <= top) {
			top = c
		}
	}
	return scored(min(1, max(0, top)))
}

// buildAs builds a scorer that needs a call.
func buildAs[S any](spec Spec) (s S, err error) {
	built, err := build(spec)
	if err != nil {
		return s, err
	}
	s, ok := built.(S)
	if !ok {
		return s, fmt.Errorf("scorer %s is of kind %q, which has a constructor of its own", spec.Type, registry[spec.Type].info.Kind)
	}
	return s, nil
}

func init() {
	register("embedding", Embedded, "2", "cosine of the answer's and the target's embeddings", embeddingParams{}, newEmbedding)
}
