package compare_test

import (
	"math"
	"strings"
	"testing"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
)

// scoredBy writes a run of one model whose answers to each row are given, one
// an epoch, scores it and compares.
func scoredBy(t *testing.T, spec scorers.Spec, answers [][]string, targets []string) *compare.ScorerResult {
	t.Helper()
	ids := rowIDs(len(answers))
	tr := trial{name: "one", ids: ids, models: []string{"a"}, epochs: len(answers[0]),
		value: func(int, string, int) float64 { return 1 }}
	tr.tweak = func(r *nightshift.Record) {
		r.Text, r.Target = &answers[r.Row][r.Epoch], &targets[r.Row]
	}
	dir := tr.write(t)
	s, err := scorers.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	d := scoring.Described{Name: s.Name(), Type: s.Type(), Kind: scorers.Pure, Version: s.Version(),
		Params: []byte(s.Params())}
	if _, err := scoring.Write(t.Context(), dir, d, scoring.Pure(s)); err != nil {
		t.Fatal(err)
	}
	if err := (scoring.Evaluation{Scorers: []scoring.Described{d}}).WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	return &compared(t, compare.Options{Runs: []string{dir}}).Scorers[0]
}

// TestMajorityGoesByWhatIsEqual: votes count answers that the scorer takes for
// equal as one, whatever the spelling; a scorer that does not say which are
// equal has no majority.
func TestMajorityGoesByWhatIsEqual(t *testing.T) {
	for _, tc := range []struct {
		spec    scorers.Spec
		answers []string
		target  string
		want    float64 // NaN: none
	}{
		{scorers.Spec{Type: "number"}, []string{"1,000", "$1000", "7"}, "1000", 1},
		{scorers.Spec{Type: "number"}, []string{"18.0", "$18", "7", "7.0", "7"}, "18", 0},
		{scorers.Spec{Type: "exact", Params: map[string]any{"normalize": "squad"}}, []string{"Rome", "Oslo", "oslo."},
			"Rome", 0},
		{scorers.Spec{Type: "exact"}, []string{"Oslo", "Bern", "Rome", "Rome"}, "Rome",
			1}, // two wrong answers are not one
		{scorers.Spec{Type: "f1"}, []string{"Oslo", "Rome", "Rome"}, "Rome", math.NaN()},
		{scorers.Spec{Type: "chrf"}, []string{"Oslo", "Rome", "Rome"}, "Rome", math.NaN()},
	} {
		got := scoredBy(t, tc.spec, [][]string{tc.answers}, []string{tc.target}).Repeats[0].Majority.Mean
		if (got == nil) != math.IsNaN(tc.want) || got != nil && *got != tc.want {
			t.Errorf("%s of %q: %v, want %v", tc.spec.Type, tc.answers, got, tc.want)
		}
	}
}

// TestCorpusBesideTheMean: chrF of all answers together, as it is published,
// stands beside the mean over answers.
func TestCorpusBesideTheMean(t *testing.T) {
	answers := [][]string{{"the cat sat on the mat"}, {"no"}, {strings.Repeat("a longer sentence ", 4)}}
	targets := []string{"the cat was on a mat", "yes", strings.Repeat("a longer sentence ", 4)}
	r := scoredBy(t, scorers.Spec{Type: "chrf"}, answers, targets)
	s, err := scorers.New(scorers.Spec{Type: "chrf"})
	if err != nil {
		t.Fatal(err)
	}
	var sums []float64
	for i := range answers {
		counts, _ := s.(scorers.Corpus).Counts(scorers.Answer{Text: answers[i][0]}, scorers.OneTarget(targets[i]))
		if sums == nil {
			sums = make([]float64, len(counts))
		}
		for j, n := range counts {
			sums[j] += n
		}
	}
	m := r.Models[0]
	want := s.(scorers.Corpus).Statistic(sums)
	if m.Corpus == nil || math.Abs(*m.Corpus-want) > 1e-12 || math.Abs(*m.Mean-want) < 0.01 {
		t.Errorf("corpus %v, want %v; mean %v", m.Corpus, want, *m.Mean)
	}
	if other := scoredBy(t, scorers.Spec{Type: "f1"}, answers, targets); other.Models[0].Corpus != nil {
		t.Error("f1 has a statistic of the corpus")
	}
}
