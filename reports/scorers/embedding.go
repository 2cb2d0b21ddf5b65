package scorers

type embeddingParams struct {
	Model    string `json:"model" doc:"embedding model; the endpoint's id"`
	Endpoint string `json:"endpoint" doc:"endpoint that serves it"`
}

// An embedding is known so that plans can name it and get a reason: nothing
// calls an endpoint for vectors yet.
type embedding struct{ base }

func newEmbedding(b base, _ embeddingParams) (*embedding, error) { return &embedding{b}, nil }

func init() {
	register("embedding", Embedded, "2", "cosine of the answer's and the target's embeddings", embeddingParams{},
		newEmbedding)
}
