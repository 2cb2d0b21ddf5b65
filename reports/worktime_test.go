package reports

import (
	"testing"
	"time"

	"nightshift/runner/store/view"
)

// TestWorktime: the rest between two starts of a run is no work.
func TestWorktime(t *testing.T) {
	at := func(seconds float64) *time.Time {
		x := time.Unix(1e9, 0).Add(time.Duration(seconds * float64(time.Second)))
		return &x
	}
	rows := [][2]*time.Time{{at(1), at(4)}, {at(0), at(5)}, {at(1500), at(1507)}, {at(1502), at(1503)}, {nil, nil},
		{at(-90), at(-80)}}
	for name, tc := range map[string]struct {
		starts []float64
		want   time.Duration
	}{
		"no start is known":    {nil, 1597 * time.Second},
		"one":                  {[]float64{-1}, 10*time.Second + 1507*time.Second},
		"two":                  {[]float64{-1, 1499}, 10*time.Second + 5*time.Second + 7*time.Second},
		"one that did nothing": {[]float64{-1, 700, 1500}, 22 * time.Second},
	} {
		var starts []view.Start
		for _, s := range tc.starts {
			starts = append(starts, view.Start{At: *at(s)})
		}
		w := newWorktime(starts)
		for _, r := range rows {
			w.add(r[0], r[1])
		}
		if got := w.total(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
