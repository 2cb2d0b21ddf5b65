package reports

import (
	"maps"
	"math"
	"slices"
)

// bucketsPerDecade is how finely histograms tell values apart.
const bucketsPerDecade = 10

// A histogram counts values in buckets whose bounds grow by the same factor.
type histogram struct {
	N       int64    `json:"n"`
	Zeros   int64    `json:"zeros,omitempty"` // values of 0 and less, which have no bucket
	Buckets []bucket `json:"buckets"`
}

// A bucket counts the values in [From, To).
type bucket struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	N    int64   `json:"n"`
}

// logBuckets collects a Histogram.
type logBuckets struct {
	n, zeros int64
	counts   map[int]int64
}

func (b *logBuckets) add(v float64) {
	b.n++
	if !(v > 0) || math.IsInf(v, 0) {
		b.zeros++
		return
	}
	if b.counts == nil {
		b.counts = map[int]int64{}
	}
	b.counts[int(math.Floor(math.Log10(v)*bucketsPerDecade+1e-9))]++
}

func (b *logBuckets) histogram() histogram {
	h := histogram{N: b.n, Zeros: b.zeros, Buckets: []bucket{}}
	edge := func(k int) float64 { return math.Pow(10, float64(k)/bucketsPerDecade) }
	for _, k := range slices.Sorted(maps.Keys(b.counts)) {
		h.Buckets = append(h.Buckets, bucket{edge(k), edge(k + 1), b.counts[k]})
	}
	return h
}
