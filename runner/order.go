package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/prefix"
)

// An Order says in which order rows are sent, where that is not the dataset's, and
// how far. Its methods are safe for concurrent use.
type Order interface {
	// Rows are the numbers of the rows to send, first to last.
	Rows() []int64
	// Next waits until a model may send the row at a place of the order. It returns
	// false when ctx has ended, or the model is to send no more.
	Next(ctx context.Context, model string, place int) bool
	// Enough is closed when a model is to send no more. What it has not sent by
	// then is left.
	Enough(model string) <-chan struct{}
	// Ended is told when a model's pool has ended, whatever for.
	Ended(model string)
}

// errNotNeeded ends a pool whose further answers nobody needs.
var errNotNeeded = errors.New("no more answers are needed")

// The rows of the order are read some at a time: at first few, then as many as were
// read before, as far as they fit into memory.
const (
	firstRound = 512
	roundBytes = 16 << 20
)

// An orderedWalk sends the rows of a pool in the run's order.
type orderedWalk struct {
	*walk
	shards map[int]*shard // that are open, by chunk
}

// An orderedRow is a row in one of its epochs, with its place in the order.
type orderedRow struct {
	place  int
	shard  *shard
	sample nightshift.Sample
	err    error          // *datasets.RowError of a row that cannot be sent
	prefix *prefix.Prefix // what it shares with others that were read with it; nil for nothing
}

// inOrder sends the rows in the run's order. All shards stay open until the end.
func (w *walk) inOrder() {
	o := &orderedWalk{walk: w, shards: map[int]*shard{}}
	go func() {
		select {
		case <-w.Order.Enough(w.pool.Model):
			w.stop(errNotNeeded)
		case <-w.feed.Done():
		}
	}()
	err := o.rounds()
	if err != nil {
		w.stopRun(err)
	}
	for _, u := range o.shards {
		if err != nil || w.feed.Err() != nil {
			u.incomplete.Store(true)
		}
		w.settle(u)
	}
}

// rounds reads and sends all rows.
func (o *orderedWalk) rounds() error {
	rows := o.Order.Rows()
	for first := 0; first < len(rows) && o.feed.Err() == nil; {
		last := min(len(rows), first+max(firstRound, first))
		list, end, err := o.read(rows[first:last], first)
		if err != nil {
			return err
		}
		o.findPrefixes(list)
		for _, r := range list {
			if !o.take(r) {
				return nil
			}
		}
		first = end
	}
	return nil
}

// take sends a row when the order allows it. It returns false when the feed has ended.
func (o *orderedWalk) take(r orderedRow) bool {
	if r.shard.Done(r.sample.Index, r.sample.Epoch) {
		return true
	}
	if !o.Order.Next(o.feed, o.pool.Model, r.place) || o.feed.Err() != nil {
		return false
	}
	if r.err != nil {
		return o.inputError(r.shard, r.sample, r.err)
	}
	out := row{Sample: r.sample, prefix: r.prefix}
	if o.table != nil {
		out.turn = o.table.Turn(r.prefix)
	}
	return o.send(r.shard, out)
}

// findPrefixes finds what the rows share, where the pool's prompt cache is to have it. The
// order stays: the first row of a prefix writes it, and those that come meanwhile wait.
func (o *orderedWalk) findPrefixes(list []orderedRow) {
	if o.table == nil {
		return
	}
	var f prefix.Finder
	var found []int
	for i, r := range list {
		if r.err == nil {
			req := o.pool.Request(r.sample)
			f.Add(&req)
			found = append(found, i)
		}
	}
	c := o.pool.Caching
	for i, p := range f.Find(prefix.Rule{Minimum: c.Minimum, Step: c.Step, Pays: c.Pays}) {
		list[found[i]].prefix = p
	}
}

// read reads rows, of which the first has the place first in the order, and returns them
// in that order, and the place behind the last of them. It is all of the rows unless they are large.
func (o *orderedWalk) read(rows []int64, first int) (list []orderedRow, end int, err error) {
	places := make(map[int64]int, len(rows))
	for i, row := range rows {
		places[row] = first + i
	}
	sorted, held := slices.Sorted(slices.Values(rows)), int64(0)
	end = first + len(rows)
	for i, c := range o.Dataset.Chunks() {
		at, _ := slices.BinarySearch(sorted, c.First)
		if at == len(sorted) || sorted[at] >= c.First+c.Rows || o.Store.Committed(o.pool.Model, i) {
			continue
		}
		u, err := o.open(i)
		if err != nil {
			return nil, 0, err
		}
		wanted := func(row int64) bool {
			place, ok := places[row]
			return ok && place < end
		}
		for s, err := range o.Dataset.ReadRows(o.feed, i, max(o.Epochs, 1), wanted) {
			var bad *datasets.RowError
			switch {
			case o.feed.Err() != nil:
				return nil, end, nil
			case err != nil && !errors.As(err, &bad):
				return nil, 0, fmt.Errorf("reading the dataset: %w", err)
			}
			list = append(list, orderedRow{place: places[s.Index], shard: u, sample: s, err: err})
			if held += weight(s); held > roundBytes && end-first > 1 {
				list, end, held = halve(list, first, end)
			}
		}
	}
	sortRows(list)
	return list, end, nil
}

// halve keeps the rows of the first half of the places.
func halve(list []orderedRow, first, end int) ([]orderedRow, int, int64) {
	end = first + (end-first+1)/2
	list = slices.DeleteFunc(list, func(r orderedRow) bool { return r.place >= end })
	held := int64(0)
	for _, r := range list {
		held += weight(r.sample)
	}
	return list, end, held
}

// open opens the shard of a chunk, once.
func (o *orderedWalk) open(chunk int) (*shard, error) {
	if u := o.shards[chunk]; u != nil {
		return u, nil
	}
	opened, err := o.Store.OpenShard(o.pool.Model, chunk)
	if err != nil {
		return nil, err
	}
	u := &shard{Shard: opened}
	u.pending.Store(1) // the feed's own share, so that no worker commits early
	o.shards[chunk] = u
	return u, o.takeOver(u, chunk)
}

func sortRows(list []orderedRow) {
	slices.SortFunc(list, func(a, b orderedRow) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.sample.Epoch, b.sample.Epoch))
	})
}
