package batchlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// An ItemRange is items of a shard that follow each other. An item is a row with
// an epoch; a shard counts them from 0, the epochs of a row side by side. In the
// log a range is an array of two numbers.
type ItemRange struct{ First, Count int64 }

// MarshalJSON writes the array.
func (r ItemRange) MarshalJSON() ([]byte, error) { return json.Marshal([]int64{r.First, r.Count}) }

// maxItem bounds what a line may claim: more than any shard has.
const maxItem = 1 << 40

// UnmarshalJSON reads the array and refuses one that is no range. A log may hold
// a million of them, hence no decoder for each.
func (r *ItemRange) UnmarshalJSON(b []byte) error {
	text := strings.TrimSuffix(strings.TrimPrefix(string(b), "["), "]")
	first, count, _ := strings.Cut(text, ",")
	n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	m, err2 := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
	if errors.Join(err, err2) != nil || n < 0 || m < 1 || n > maxItem || m > maxItem {
		return fmt.Errorf("%q is no range of items", b)
	}
	*r = ItemRange{n, m}
	return nil
}

// Items are the items of a batch, in order.
type Items []ItemRange

// Count is how many there are.
func (s Items) Count() (n int64) {
	for _, r := range s {
		n += r.Count
	}
	return n
}

// Has reports whether an item is among them.
func (s Items) Has(item int64) bool {
	i, exact := slices.BinarySearchFunc(s, item, func(r ItemRange, item int64) int { return cmp.Compare(r.First, item) })
	return exact || i > 0 && item < s[i-1].First+s[i-1].Count
}

// All yields them in order.
func (s Items) All() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, r := range s {
			for item := r.First; item < r.First+r.Count; item++ {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// Add returns the items with one more, which best comes in order. It does not
// look whether it is there already: see [Items.Sorted].
func (s Items) Add(item int64) Items {
	if n := len(s); n > 0 && s[n-1].First+s[n-1].Count == item {
		s[n-1].Count++
		return s
	}
	return append(s, ItemRange{item, 1})
}

// Sorted returns the items in order. The error names one that is there twice.
func (s Items) Sorted() (Items, error) {
	sorted := slices.Clone(s)
	slices.SortFunc(sorted, func(a, b ItemRange) int { return cmp.Compare(a.First, b.First) })
	return sorted, sorted.check()
}

// check says what is wrong with items that were read.
func (s Items) check() error {
	for i := 1; i < len(s); i++ {
		if s[i].First < s[i-1].First+s[i-1].Count {
			return fmt.Errorf("item %d is there twice, or out of order", s[i].First)
		}
	}
	return nil
}
