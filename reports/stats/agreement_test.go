package stats_test

import (
	"math"
	"testing"

	"nightshift/reports/stats"
)

// TestAlpha takes the example of K. Krippendorff, "Computing Krippendorff's
// Alpha-Reliability" (2011): four observers, twelve units, values missing.
func TestAlpha(t *testing.T) {
	units := [][]float64{
		{1, 1, 1}, {2, 2, 3, 2}, {3, 3, 3, 3}, {3, 3, 3, 3}, {2, 2, 2, 2}, {1, 2, 3, 4},
		{4, 4, 4, 4}, {1, 1, 2, 1}, {2, 2, 2, 2}, {5, 5, 5}, {1, 1}, {3},
	}
	if a := stats.Alpha(units, stats.Nominal); !near(a, 0.743, 0.0005) {
		t.Errorf("nominal alpha %v, want 0.743", a)
	}
	if a := stats.Alpha(units, stats.Squared); !near(a, 0.849, 0.0005) {
		t.Errorf("interval alpha %v, want 0.849", a)
	}
	if a := stats.Alpha([][]float64{{1, 1}, {1, 1}}, stats.Nominal); !math.IsNaN(a) {
		t.Errorf("alpha where nothing differs: %v, want undefined", a)
	}
}

func TestAgree(t *testing.T) {
	grades := map[string]float64{"1": 0, "2": 0.25, "3": 0.5, "4": 0.75, "5": 1}
	for name, tc := range map[string]struct {
		people [][]string
		want   float64
	}{
		"names":  {[][]string{{"1"}, {"4"}, {"5"}}, 1},
		"worths": {[][]string{{"0"}, {"0.75"}, {"1"}}, 1},
		"raters": {[][]string{{"1", "2"}, {"4", "4"}, {}}, 0.75},
	} {
		a := stats.Agree([]string{"1", "4", "5"}, tc.people, grades)
		if !near(a.Share, tc.want, 1e-12) {
			t.Errorf("%s: %+v, want a share of %v", name, a, tc.want)
		}
	}
	// Two people who always agree, and a judge who is one grade off each time.
	a := stats.Agree([]string{"2", "3", "4"}, [][]string{{"1", "1"}, {"2", "2"}, {"3", "3"}}, grades)
	if a.Share != 0 || a.People != 1 || !(a.Weighted > a.Kappa) || !(a.Alpha < 1) {
		t.Errorf("one grade off: %+v", a)
	}
	none := stats.Agree([]string{"x"}, [][]string{{""}}, nil)
	if none.N != 0 || !math.IsNaN(none.Share) || !math.IsNaN(none.Kappa) {
		t.Errorf("no labels: %+v", none)
	}
}
