package stats

import (
	"iter"
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
	thousandths numbers       // of the values, while all are whole numbers of them below four million
	values      []float64     // all of them, where one is not
	buckets     map[int]int64 // by floor(log(value)/log(ratio)), once there are too many
	n           int64
	max         float64
}

// Add counts a value.
func (q *Quantiles) Add(v float64) {
	q.n++
	q.max = math.Max(q.max, v)
	whole, exact := thousandths(v)
	switch {
	case q.buckets != nil:
		q.buckets[bucket(v)]++
	case q.n > exactValues:
		q.buckets = map[int]int64{}
		for old := range q.all() {
			q.buckets[bucket(old)]++
		}
		q.thousandths, q.values = nil, nil
		q.buckets[bucket(v)]++
	case exact && q.values == nil:
		q.thousandths.add(whole)
	default:
		if q.values == nil {
			q.values = slices.Collect(q.all())
			q.thousandths = nil
		}
		q.values = append(q.values, v)
	}
}

// all yields the values that are kept.
func (q *Quantiles) all() iter.Seq[float64] {
	return func(yield func(float64) bool) {
		for _, piece := range q.thousandths {
			for _, whole := range piece {
				if !yield(float64(whole) / 1000) {
					return
				}
			}
		}
		for _, v := range q.values {
			if !yield(v) {
				return
			}
		}
	}
}

// thousandths is a value as a whole number of them; ok is false where it is none, or
// too large. Milliseconds that were measured in microseconds are.
func thousandths(v float64) (whole uint32, ok bool) {
	n := math.Round(v * 1000)
	if !(n >= 0 && n <= math.MaxUint32) || n/1000 != v {
		return 0, false
	}
	return uint32(n), true
}

// numbers are numbers in the order in which they came, in pieces of one size: a list
// that grows as one piece takes twice its memory.
type numbers [][]uint32

const pieceSize = 1 << 14

func (b *numbers) add(v uint32) {
	last := len(*b) - 1
	if last < 0 || len((*b)[last]) == pieceSize {
		*b = append(*b, make([]uint32, 0, pieceSize))
		last++
	}
	(*b)[last] = append((*b)[last], v)
}

// sort puts the numbers in order, in one piece.
func (b *numbers) sort() []uint32 {
	if len(*b) != 1 || !slices.IsSorted((*b)[0]) {
		all := slices.Concat(*b...)
		slices.Sort(all)
		*b = numbers{all}
	}
	return (*b)[0]
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
	v := 0.0
	if q.values == nil {
		whole := q.thousandths.sort()
		v = quantile(len(whole), p, func(i int) float64 { return float64(whole[i]) / 1000 })
	} else {
		if !slices.IsSorted(q.values) {
			slices.Sort(q.values)
		}
		v = percentile(q.values, p)
	}
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
