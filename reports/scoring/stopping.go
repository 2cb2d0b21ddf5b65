package scoring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"nightshift/internal/fsx"
	"nightshift/reports/stats"
)

// Decided is the state of a run that has stopped because its comparison needs no
// more rows.
const Decided = "stopped: decided"

// Complete reports whether a run that has ended in this state has all answers that it needs.
func Complete(state string) bool { return state == "finished" || state == Decided }

// A StopRule says when a comparison needs no more rows. The zero value is never.
type StopRule struct {
	Decided   bool    `json:"decided,omitempty"`             // the interval of the difference excludes 0,
	Smallest  float64 `json:"smallest_difference,omitempty"` // or, where this is above 0, lies within ± this,
	Precision float64 `json:"precision,omitempty"`           // or, where this is above 0, reaches no further from its middle
}

// Closed reports whether a comparison needs no more rows, of which the differences
// came in this order; NaN is none. alpha is the probability of an error in it.
func (r StopRule) Closed(differences []float64, units []int32, alpha float64) bool {
	s, err := stats.NewSequence(UnitMeans(differences, units), -1, 1)
	switch {
	case err != nil:
		return false // scores of another range than 0..1
	case r.Decided && (s.Above(0, alpha) || s.Below(0, alpha)):
		return true
	case r.Smallest > 0 && s.Above(-r.Smallest, alpha) && s.Below(r.Smallest, alpha):
		return true
	case r.Precision > 0:
		v := s.Interval(alpha)
		return v.Upper-v.Lower <= 2*r.Precision
	}
	return false
}

// orderFile lies in the run directory of a run that may stop early.
const orderFile = "order.json"

// An Order is the random order in which a run sends its rows so that it may stop early. It
// is drawn before anything is sent. Rows that depend on each other form a unit and
// stand together.
type Order struct {
	Seed  uint64  `json:"seed"`
	Rows  []int64 `json:"rows"`            // numbers in the dataset
	Sizes []int   `json:"sizes,omitempty"` // of the units; absent where every row is one
}

// NewOrder draws an order of rows. prompts and clusters are hashes of what they ask
// and of the clusters that they are in; 0 is none. Rows that share either depend on each other.
func NewOrder(seed uint64, rows []int64, prompts, clusters []uint64) (Order, error) {
	labels, units, err := dependent(prompts, clusters)
	if err != nil {
		return Order{}, err
	}
	members := make([][]int64, units)
	for i, l := range labels {
		members[l] = append(members[l], rows[i])
	}
	rand.New(rand.NewPCG(seed, uint64(len(rows)))).Shuffle(units, func(i, j int) {
		members[i], members[j] = members[j], members[i]
	})
	o := Order{Seed: seed, Rows: make([]int64, 0, len(rows))}
	for _, m := range members {
		o.Rows = append(o.Rows, m...)
		if units < len(rows) {
			o.Sizes = append(o.Sizes, len(m))
		}
	}
	return o, nil
}

// dependent labels rows that depend on each other. A key of 0 is a row's own.
func dependent(keys ...[]uint64) (labels []int32, units int, err error) {
	for _, list := range keys {
		own := make([]uint64, len(list))
		for i, key := range list {
			if own[i] = key; key == 0 {
				own[i] = math.MaxUint64 - uint64(i)
			}
		}
		more, n := stats.Group(own)
		if labels == nil {
			labels, units = more, n
			continue
		}
		if labels, units, err = stats.Union(labels, more); err != nil {
			return nil, 0, err
		}
	}
	return labels, units, nil
}

// Units are, for each place in the order, the number of its unit.
func (o Order) Units() []int32 {
	units := make([]int32, len(o.Rows))
	at := 0
	for u, size := range o.Sizes {
		for range size {
			units[at] = int32(u)
			at++
		}
	}
	if o.Sizes == nil {
		for i := range units {
			units[i] = int32(i)
		}
	}
	return units
}

// UnitMeans are the means of the values of each unit, in order; values that are
// NaN are left out, and so are units without any other. units are non-decreasing.
func UnitMeans(values []float64, units []int32) []float64 {
	var means []float64
	sum, n := 0.0, 0
	for i, v := range values {
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
		if i+1 < len(values) && units[i+1] == units[i] {
			continue
		}
		if n > 0 {
			means = append(means, sum/float64(n))
		}
		sum, n = 0, 0
	}
	return means
}

// Sequence is the confidence sequence of scores in 0..1 by row, up to the first row
// of the order that has none; a score that is NaN counts as none of its unit. ok is
// false where some score lies outside.
func (o Order) Sequence(scores map[int64]float64) (s stats.Sequence, ok bool) {
	units := o.Units()
	var values []float64
	for _, row := range o.Rows {
		v, there := scores[row]
		if !there {
			break
		}
		values = append(values, v)
	}
	n := len(values)
	for n > 0 && n < len(units) && units[n] == units[n-1] {
		n--
	}
	s, err := stats.NewSequence(UnitMeans(values[:n], units[:n]), 0, 1)
	return s, err == nil
}

// ReadOrder returns the order of the run in dir; nil where it has none.
func ReadOrder(dir string) (*Order, error) {
	path := filepath.Join(dir, orderFile)
	b, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var o Order
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &o, nil
}

func (o Order) check() error {
	total := 0
	for _, size := range o.Sizes {
		if size < 1 {
			return errors.New("a unit has no rows")
		}
		total += size
	}
	if o.Sizes != nil && total != len(o.Rows) {
		return fmt.Errorf("its units have %d rows, and it has %d", total, len(o.Rows))
	}
	return nil
}

// WriteFile keeps the order in the run directory, whole or not at all.
func (o Order) WriteFile(dir string) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(dir, orderFile), append(b, '\n'))
}
