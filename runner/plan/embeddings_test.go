package plan

import (
	"strings"
	"testing"

	"nightshift"
)

func TestRowsPerRequest(t *testing.T) {
	const head = "dataset: {path: rows.jsonl}\nmodels: [{name: m, model: e, "
	for _, tc := range []struct{ model, wrong string }{
		{"endpoint: openai-embeddings, rows_per_request: 64}]", ""},
		{"endpoint: own, rows_per_request: 64}]\nendpoints: {own: {protocol: gemini_embeddings, base_url: " +
			"https://h.test, auth: none}}", ""},
		{"endpoint: openai, rows_per_request: 1}]", ""},
		{"endpoint: openai, rows_per_request: 64}]",
			"several rows in a request are for embeddings, and openai speaks chat"},
		{"endpoint: openai-embeddings, rows_per_request: 5000}]", "at most 2048 texts"},
		{"endpoint: openai-embeddings, rows_per_request: -1}]", "rows_per_request"},
	} {
		_, err := parse(t, head+tc.model).Resolve(keys)
		if (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
			t.Errorf("%s: %v, want %q", tc.model, err, tc.wrong)
		}
	}
}

// A budget needs no cap on the output of models that have none.
func TestBudgetOfEmbeddings(t *testing.T) {
	resolve(t, `dataset: {path: rows.jsonl}
models: [{name: m, endpoint: openai-embeddings, model: e, rows_per_request: 8, price: {input: 1, output: 0}}]
budget: {usd: 1}
`)
}

// The model of an embedding scorer is asked in the format of embeddings, at the
// endpoint that it names, whatever that speaks otherwise.
func TestEmbeddingScorerSpeaksEmbeddings(t *testing.T) {
	r := resolve(t, small+`scorers:
  - {type: embedding, name: a, endpoint: openai, model: text-embedding-3-small}
  - {type: embedding, name: b, endpoint: own, model: e}
  - {type: embedding, name: c, endpoint: gemini-gemini_embeddings, model: g}
endpoints: {own: {protocol: messages, base_url: https://h.test/api, path: /api/v1/messages, auth: none}}
`)
	for i, want := range []string{"https://api.openai.com/v1/embeddings", "https://h.test/api/embeddings",
		"https://generativelanguage.googleapis.com/v1beta/models/{model}:batchEmbedContents"} {
		e := r.Scorers[i].Judge.Endpoint
		if got, err := e.URL(); got != want || err != nil || !r.Scorers[i].Embeds() {
			t.Errorf("%s: %s, %v; want %s", r.Scorers[i].Spec.Name, got, err, want)
		}
	}
	if r.Models[0].Endpoint.Protocol == nightshift.Embeddings ||
		r.Plan.Endpoints["own"].Protocol != nightshift.Messages {
		t.Error("the endpoints of the plan have changed")
	}
	// A key that is not set is told for the scorer, too.
	_, err := parse(t, small+"scorers: [{type: embedding, endpoint: openai, model: e}]").Resolve(env())
	if err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY is not set") {
		t.Errorf("%v", err)
	}
}
