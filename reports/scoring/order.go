package scoring

import (
	"iter"
	"runtime"
)

const (
	batchSize  = 256      // rows that one goroutine takes at a time, at most
	batchBytes = 1 << 20  // of those rows, unless one alone is larger
	heldBytes  = 16 << 20 // of all rows that are under way, unless one batch alone is larger
)

// inOrder applies f to every row, several batches at once, and yields the
// results in the order of the rows. The first error ends it. weigh says about
// how many bytes a row holds: large rows go in small batches, and few at once.
func inOrder[T, U any](rows iter.Seq2[T, error], weigh func(*T) int64, f func(T) (U, error)) iter.Seq2[U, error] {
	return func(yield func(U, error) bool) {
		q := &queue[T, U]{f: f, most: 2 * runtime.GOMAXPROCS(0)}
		defer q.wait()
		batch, size := make([]T, 0, batchSize), int64(0)
		for row, err := range rows {
			if err != nil {
				q.add(batch, size)
				if q.drain(0, 0, yield) {
					var zero U
					yield(zero, err)
				}
				return
			}
			batch = append(batch, row)
			if size += weigh(&row); len(batch) < batchSize && size < batchBytes {
				continue
			}
			q.add(batch, size)
			batch, size = make([]T, 0, len(batch)), 0
			if !q.drain(q.most, heldBytes, yield) {
				return
			}
		}
		q.add(batch, size)
		q.drain(0, 0, yield)
	}
}

// A queue holds batches under way, oldest first.
type queue[T, U any] struct {
	f       func(T) (U, error)
	most    int
	pending []underWay[U]
	held    int64 // bytes of the rows of those
}

type underWay[U any] struct {
	done chan done[U]
	size int64
}

type done[U any] struct {
	results []U
	err     error // after the results
}

func (q *queue[T, U]) add(batch []T, size int64) {
	if len(batch) == 0 {
		return
	}
	out := make(chan done[U], 1)
	q.pending = append(q.pending, underWay[U]{out, size})
	q.held += size
	go func() {
		var d done[U]
		d.results = make([]U, 0, len(batch))
		for _, row := range batch {
			u, err := q.f(row)
			if err != nil {
				d.err = err
				break
			}
			d.results = append(d.results, u)
		}
		out <- d
	}()
}

// drain yields until at most keep batches of so many bytes are under way. It
// returns false when the reader has had enough, or an error was yielded.
func (q *queue[T, U]) drain(keep int, bytes int64, yield func(U, error) bool) bool {
	for len(q.pending) > keep || q.held > bytes && len(q.pending) > 0 {
		first := q.pending[0]
		d := <-first.done
		q.held -= first.size
		q.pending[0] = underWay[U]{} // its results are the reader's now
		q.pending = q.pending[1:]
		for _, u := range d.results {
			if !yield(u, nil) {
				return false
			}
		}
		if d.err != nil {
			var zero U
			yield(zero, d.err)
			return false
		}
	}
	return true
}

// wait sees that no goroutine outlives the iteration.
func (q *queue[T, U]) wait() {
	for _, p := range q.pending {
		<-p.done
	}
}
