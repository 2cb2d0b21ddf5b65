package stats

import (
	"math"
	"slices"
)

// exactValues is how many values a Quantiles keeps as they are. Beyond it they
// are counted in buckets half a percent wide, so that a hundred million rows
// need no more memory than a million.
const exactValues = 1 << 20

// bucketRatio is the width of a bucket.
const bucketRatio = 1.005

// A Quantiles collects non-negative values and answers for percentiles.
type Quantiles struct {
	values  []float64
	buckets map[int]int64 // by floor(log(value)/log(ratio)); nil while exact
	n       int64
	max     float64
}

// Add counts a value.
func (q *Quantiles) Add(v float64) {
	q.n++
	q.max = math.Max(q.max, v)
	if q.buckets == nil && len(q.values) < exactValues {
		q.values = append(q.values, v)
		return
	}
	if q.buckets == nil {
		q.buckets = map[int]int64{}
		for _, old := range q.values {
			q.buckets[bucket(old)]++
		}
		q.values = nil
	}
	q.buckets[bucket(v)]++
}

func bucket(v float64) int {
	return int(math.Floor(math.Log(math.Max(v, 1e-6)) / math.Log(bucketRatio)))
}

// At returns the value at quantile p by linear interpolation at (n-1)p, nil
// without values. Once counted in buckets it is exact to half a percent.
func (q *Quantiles) At(p float64) *float64 {
	if q.n == 0 {
		return nil
	}
	if q.buckets != nil {
		return q.inBuckets(p)
	}
	if !slices.IsSorted(q.values) {
		slices.Sort(q.values)
	}
	v := percentile(q.values, p)
	return &v
}

func (q *Quantiles) inBuckets(p float64) *float64 {
	keys := make([]int, 0, len(q.buckets))
	for k := range q.buckets {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	rank := int64(p * float64(q.n-1))
	for _, k := range keys {
		if rank < q.buckets[k] {
			v := math.Min(math.Pow(bucketRatio, float64(k)+0.5), q.max)
			return &v
		}
		rank -= q.buckets[k]
	}
	v := q.max
	return &v
}

// tail is the 99th percentile where a hundred values carry it, else nil: with
// fewer the maximum says as much.
func (q *Quantiles) tail() *float64 {
	if q.n < 100 {
		return nil
	}
	return q.At(0.99)
}

func (q *Quantiles) largest() *float64 {
	if q.n == 0 {
		return nil
	}
	return &q.max
}

// Percentiles of a duration in milliseconds. P99 is nil under a hundred
// values.
type Percentiles struct {
	N   int64    `json:"n"`
	P50 *float64 `json:"p50"`
	P90 *float64 `json:"p90"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
	Max *float64 `json:"max"`
}

// Percentiles are the usual ones.
func (q *Quantiles) Percentiles() Percentiles {
	return Percentiles{N: q.n, P50: q.At(0.5), P90: q.At(0.9), P95: q.At(0.95), P99: q.tail(), Max: q.largest()}
}
