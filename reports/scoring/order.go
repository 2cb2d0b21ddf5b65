package scoring

import (
	"iter"
	"runtime"
)

// batchSize is how many rows one goroutine takes at a time.
const batchSize = 256

// inOrder applies f to every row, several batches at once, and yields the
// results in the order of the rows. The first error ends it.
func inOrder[T, U any](rows iter.Seq2[T, error], f func(T) (U, error)) iter.Seq2[U, error] {
	return func(yield func(U, error) bool) {
		q := &queue[T, U]{f: f, most: 2 * runtime.GOMAXPROCS(0)}
		defer q.wait()
		batch := make([]T, 0, batchSize)
		for row, err := range rows {
			if err != nil {
				q.add(batch)
				if q.drain(0, yield) {
					var zero U
					yield(zero, err)
				}
				return
			}
			if batch = append(batch, row); len(batch) < batchSize {
				continue
			}
			q.add(batch)
			batch = make([]T, 0, batchSize)
			if !q.drain(q.most, yield) {
				return
			}
		}
		q.add(batch)
		q.drain(0, yield)
	}
}

// A queue holds batches under way, oldest first.
type queue[T, U any] struct {
	f       func(T) (U, error)
	most    int
	pending []chan done[U]
}

type done[U any] struct {
	results []U
	err     error // after the results
}

func (q *queue[T, U]) add(batch []T) {
	if len(batch) == 0 {
		return
	}
	out := make(chan done[U], 1)
	q.pending = append(q.pending, out)
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

// drain yields until at most keep batches are under way. It returns false when
// the reader has had enough, or an error was yielded.
func (q *queue[T, U]) drain(keep int, yield func(U, error) bool) bool {
	for len(q.pending) > keep {
		d := <-q.pending[0]
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
		<-p
	}
}
