package compare_test

import (
	"math"
	"testing"

	"nightshift/reports/compare"
)

// A pilot says which share of rows one model alone has right, and what further
// answers a row would change.
func TestPilots(t *testing.T) {
	half := func(m int, id string, epoch int) float64 { // right for one of both on every second row
		if id[len(id)-1]%2 == 0 {
			return float64(m)
		}
		return 1
	}
	one := trial{name: "one", ids: rowIDs(100), models: []string{"a", "b"}, value: half}.write(t)
	list, ok, err := compare.Pilots(one, 1)
	if err != nil || !ok || len(list) == 0 {
		t.Fatalf("%v, %v, %v", list, ok, err)
	}
	if p := list[0]; p.Items != 100 || p.Share != 0.5 || p.Needs(0.5, 0.8, 0.05) < 10 || p.Shows(100, 0.8, 0.05) > 0.25 {
		t.Errorf("%+v needs %d rows, shows %v", p, p.Needs(0.5, 0.8, 0.05), p.Shows(100, 0.8, 0.05))
	}
	// Both models are right in one of two answers to each row: all variance is
	// within rows, 0.5 in the unbiased estimate of each.
	random := func(m int, id string, epoch int) float64 { return float64((epoch + m + int(id[len(id)-1]/2)) % 2) }
	dir := trial{name: "two", ids: rowIDs(100), models: []string{"a", "b"}, epochs: 2, value: random}.write(t)
	for epochs, want := range map[int]float64{2: 0, 1: 0.5, 4: 0} {
		list, ok, err := compare.Pilots(dir, epochs)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if p := list[0]; math.Abs(p.Variance-want) > 1e-9 || !math.IsNaN(p.Share) {
			t.Errorf("%d answers a row: variance %v, want %v; share %v", epochs, p.Variance, want, p.Share)
		}
	}
	single := trial{name: "three", ids: rowIDs(10), models: []string{"a"}, value: half}.write(t)
	if _, ok, err := compare.Pilots(single, 1); ok || err != nil {
		t.Errorf("one model is a pilot: %v", err)
	}
}
