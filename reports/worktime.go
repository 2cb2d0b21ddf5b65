package reports

import (
	"slices"
	"time"

	"nightshift/runner/store/view"
)

// A worktime adds up how long a run worked: from the first request to the last
// answer of each start, without the rest between them.
type worktime struct {
	starts []time.Time // of the processes that worked on the run, in order; older ones than the first are one
	spans  [][2]*time.Time
}

func newWorktime(starts []view.Start) worktime {
	w := worktime{spans: make([][2]*time.Time, len(starts)+1)}
	for _, s := range starts {
		w.starts = append(w.starts, s.At)
	}
	return w
}

// add takes in a row that was answered from one time to another.
func (w *worktime) add(from, to *time.Time) {
	if from == nil || to == nil {
		return
	}
	i, found := slices.BinarySearchFunc(w.starts, *from, func(a, b time.Time) int { return a.Compare(b) })
	if found {
		i++
	}
	w.spans[i] = [2]*time.Time{view.Earlier(w.spans[i][0], from), view.Later(w.spans[i][1], to)}
}

func (w *worktime) total() (d time.Duration) {
	for _, s := range w.spans {
		if s[0] != nil {
			d += s[1].Sub(*s[0])
		}
	}
	return d
}
