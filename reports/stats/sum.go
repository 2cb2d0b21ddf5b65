package stats

import "math"

// An accumulator holds a sum exactly, as partial sums that do not overlap
// (J. R. Shewchuk, "Adaptive precision floating-point arithmetic", 1997).
type accumulator struct {
	partials []float64
	room     [8]float64
}

func (a *accumulator) add(x float64) {
	if a.partials == nil {
		a.partials = a.room[:0]
	}
	if !finite(x) {
		a.partials = append(a.partials[:0], math.NaN())
		return
	}
	kept := 0
	for _, y := range a.partials {
		if math.Abs(x) < math.Abs(y) {
			x, y = y, x
		}
		high := x + y
		if low := y - (high - x); low != 0 {
			a.partials[kept] = low
			kept++
		}
		x = high
	}
	a.partials = append(a.partials[:kept], x)
}

// sum rounds the partials, which grow in size, once.
func (a *accumulator) sum() float64 {
	n := len(a.partials)
	if n == 0 {
		return 0
	}
	high, low := a.partials[n-1], 0.0
	i := n - 1
	for i > 0 {
		i--
		x, y := high, a.partials[i]
		high = x + y
		low = y - (high - x)
		if low != 0 {
			break
		}
	}
	// Halfway cases round by what lies below.
	if i > 0 && (low < 0 && a.partials[i-1] < 0 || low > 0 && a.partials[i-1] > 0) {
		twice := low * 2
		if rounded := high + twice; twice == rounded-high {
			return rounded
		}
	}
	return high
}
