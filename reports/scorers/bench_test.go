package scorers

import (
	"strings"
	"testing"
)

var solution = strings.Repeat("She sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day at $2 each.\n", 4) + "A: 18"

// BenchmarkScore reports rows a second for the scorers that big runs use, on
// all cores, as a run scores.
func BenchmarkScore(b *testing.B) {
	schema := map[string]any{
		"type": "object", "required": []string{"city", "temp"},
		"properties": map[string]any{"city": map[string]any{"type": "string"},
			"temp": map[string]any{"type": "number", "minimum": -90}},
	}
	for _, bc := range []struct {
		name, kind   string
		params       map[string]any
		text, target string
	}{
		{"exact", "exact", map[string]any{"normalize": []string{"strip", "lower"}}, "  Paris, the capital of France",
			"paris, the capital of france"},
		{"exact-squad", "exact", map[string]any{"normalize": "squad"}, "The Eiffel Tower, in Paris!",
			"Eiffel tower in Paris"},
		{"number", "number", nil, solution, "18"},
		{"number-gsm8k", "number", map[string]any{"style": "gsm8k_flexible"},
			"She has 6 boxes of 12. The answer is 72.", "72"},
		{"regex", "regex", map[string]any{"pattern": `A: (-?\d+)`}, solution, "18"},
		{"json_schema", "json_schema", map[string]any{"schema": schema}, `{"city": "Paris", "temp": 21.5}`, ""},
		{"json_equal", "json_equal", nil, `{"city": "Paris", "temp": 21.5}`, `{"temp": 21.50, "city": "Paris"}`},
		{"choice", "choice", map[string]any{"choices": 4}, "Let us think.\n" + solution + "\nAnswer: B", "B"},
		{"f1", "f1", nil, "The Eiffel Tower, in Paris!", "Eiffel tower"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			s := mustNew(b, bc.kind, bc.params)
			a, target := Answer{Text: bc.text}, OneTarget(bc.target)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if r := s.Score(a, target); r.Value == nil || *r.Value == 0 {
						b.Errorf("%+v", r)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
