package runner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// cutAhead is how many batches may be on the disk and not at the provider.
const cutAhead = 2

// mostExpired is how often a row is put into a batch that ends before the row
// has run.
const mostExpired = 3

// cuts reports whether rows may go into batches.
func (b *batches) cuts() bool { return b.Submit && b.Recall == RecallNone }

// cut makes a batch of the next rows that have no record and are in none, and
// reports whether it got on: with a batch, or by being done with a shard.
func (b *batches) cut() (moved bool, err error) {
	if !b.cuts() || !b.room() {
		return false, nil
	}
	i, ok := b.nextShard()
	if !ok {
		return false, nil
	}
	u, err := b.openShard(i)
	if err != nil {
		return false, err
	}
	defer b.settle(u)
	if err := b.takeOver(u, i); err != nil {
		u.incomplete.Store(true)
		return false, err
	}
	c := &cutting{batches: b, u: u, number: i, round: b.round(i), rest: b.rest(i, u)}
	if err := c.read(); err != nil {
		return false, err
	}
	return c.finish()
}

// room reports whether another batch may be made now.
func (b *batches) room() bool {
	if time.Now().Before(b.nextCut) {
		return false
	}
	ahead, away := 0, 0
	for _, a := range b.list {
		switch a.Stage {
		case store.BatchPlanned, store.BatchUploaded:
			ahead++
		case store.BatchCreating, store.BatchCreated:
			away++
		}
	}
	return ahead < cutAhead && !b.queue.closed() && (b.limits.Away == 0 || ahead+away < b.limits.Away)
}

// nextShard is the next shard that rows may be taken from.
func (b *batches) nextShard() (i int, ok bool) {
	for n, i := range b.again {
		if !b.busy(i) {
			b.again = slices.Delete(b.again, n, n+1)
			if b.Store.Committed(b.pool.Model, i) {
				return b.nextShard()
			}
			b.again = slices.Insert(b.again, 0, i)
			return i, true
		}
	}
	for chunks := b.Dataset.Chunks(); b.cursor < len(chunks); b.cursor++ {
		if !b.walk.settled(b.cursor, chunks[b.cursor]) {
			return b.cursor, !b.busy(b.cursor)
		}
	}
	return 0, false
}

// doneWith takes a shard off those that rows are taken from, until it is to be
// looked at again.
func (b *batches) doneWith(i int) {
	if n := slices.Index(b.again, i); n >= 0 {
		b.again = slices.Delete(b.again, n, n+1)
	}
	if i == b.cursor {
		b.cursor++
	}
}

// round is the number of the trip on which rows of a shard go now.
func (b *batches) round(i int) int {
	round := 0
	for _, a := range b.list {
		if a.Shard == i && a.Stage == store.BatchCollected {
			round = max(round, a.Round)
		}
	}
	return round + 1
}

// rest is how many rows of a shard have no record and are in no batch.
func (b *batches) rest(i int, u *shard) int64 {
	rest := u.Remaining()
	for _, a := range b.list {
		if a.Shard == i && a.Holds() {
			rest -= a.Items.Count()
		}
	}
	return rest
}

// A cutting is a batch in the making.
type cutting struct {
	*batches
	u      *shard
	number int   // of the shard
	round  int   // of its rows' trips
	rest   int64 // rows that are left of the shard

	input    *store.BatchInput // nil before the first row
	reserved Reservation
	sum      store.Batch // worst case and input tokens so far
	line     []byte
	full     bool // no further row fits now
	noRoom   bool // because the budget has no more
	later    bool // and may have more when other requests have been settled
}

// read takes rows until the batch is full or the shard is at its end.
func (c *cutting) read() error {
	for s, err := range c.Dataset.ReadEpochs(c.feed, c.number, max(c.Epochs, 1)) {
		if c.feed.Err() != nil {
			c.u.incomplete.Store(true)
			return nil
		}
		if !c.wantsRow(s, err) {
			continue
		}
		if err != nil && !c.inputError(c.u, s, err) {
			return fmt.Errorf("reading the dataset: %w", err)
		}
		if err == nil {
			if err := c.row(s); err != nil {
				return c.given(err)
			}
		}
		if c.full {
			return nil
		}
	}
	return nil
}

// given is err, with the batch in the making given up.
func (c *cutting) given(err error) error {
	c.u.incomplete.Store(true)
	c.discard()
	return err
}

func (c *cutting) discard() {
	if c.input != nil {
		c.input.Discard()
		c.reserved.Settle(0, 0)
		c.input = nil
	}
}

// row does with one row what is to be done next: record it, send it live, or
// put it into the batch.
func (c *cutting) row(s nightshift.Sample) error {
	if c.u.Done(s.Index, s.Epoch) {
		return nil
	}
	if _, in := c.u.InBatch(s.Index, s.Epoch); in {
		return nil
	}
	talk := &conversation{walk: c.walk, shard: c.u, row: row{Sample: s}}
	if talk.recall() {
		return c.u.Put(c.record(s, talk, nil, time.Now()))
	}
	history := c.u.History(s.Index, s.Epoch)
	begun := history[c.u.Settled(s.Index, s.Epoch):]
	switch c.follows(begun) {
	case goUnknown:
		return c.u.Put(c.unknown(s, history))
	case goFail:
		return c.u.Put(c.notRun(talk, history))
	case goLive:
		if !c.send(c.u, row{Sample: s}) {
			c.full = true // the feed has ended
		}
		return nil
	}
	return c.add(talk)
}

// A way is what becomes of a row that has no record.
type way int

const (
	goBatch way = iota
	goLive
	goFail
	goUnknown
)

// follows says by the attempts of a row, since it was begun, where it goes.
func (c *cutting) follows(begun []nightshift.Attempt) way {
	if c.SkipUnknown && lostAnswer(begun, c.pool.Workers) {
		return goUnknown
	}
	expired := 0
	for _, a := range begun {
		if a.Class == nightshift.ClassBatchExpired {
			expired++
		}
	}
	last := nightshift.Attempt{}
	if len(begun) > 0 {
		last = begun[len(begun)-1]
	}
	waits := last.Class == nightshift.ClassUnknownOutcome && last.Job != "" // its answer can be asked for
	didNotRun := last.Class == nightshift.ClassBatchExpired
	switch {
	case waits, didNotRun && c.Then == ThenLive:
		return goLive
	case didNotRun && (c.Then == ThenFail || expired >= mostExpired):
		return goFail
	case c.round > 1 && c.Then == ThenLive && c.rest < int64(c.MinRows):
		return goLive
	}
	return goBatch
}

// notRun is the record of a row whose batches ended before it had run.
func (c *cutting) notRun(talk *conversation, history []nightshift.Attempt) *nightshift.Record {
	last := history[len(history)-1]
	talk.answers = append(talk.answers, nightshift.Response{Attempts: history, Cost: costOf(history)})
	failure := &nightshift.Error{Class: last.Class, Message: last.Message,
		Hint: "then: live in the plan's batch block sends such rows at the live price"}
	return c.record(talk.row.Sample, talk, failure, last.StartedAt)
}

// add puts a row into the batch, unless it does not fit any more.
func (c *cutting) add(talk *conversation) error {
	if err := c.begin(); err != nil {
		return err
	}
	line, cost, err := c.encode(c.line[:0], c.input.Name, talk)
	if err == nil {
		c.line = line
		err = c.tooLong(int64(len(line)), cost)
	}
	var bad *nightshift.Error
	if errors.As(err, &bad) && !isStop(err) {
		talk.answers = append(talk.answers, nightshift.Response{})
		return c.u.Put(c.record(talk.row.Sample, talk, bad, time.Now()))
	}
	if err != nil {
		return err
	}
	if c.full = !c.fits(int64(len(line)), cost); c.full {
		return nil
	}
	c.sum.WorstTokens += cost.Input + cost.Output
	c.sum.WorstCost += cost.Cost
	c.sum.InputTokens += cost.Queued
	item, _ := c.u.Item(talk.row.Index, talk.row.Epoch)
	return c.input.Add(item, line)
}

// encode appends the input line of a row's next turn in the batch with that name.
func (b *batches) encode(dst []byte, name string, talk *conversation) ([]byte, nightshift.BatchCost, error) {
	turn := len(talk.answers)
	req := talk.request(turn)
	req.Stream = false
	return b.API.Encode(dst, ticketOf(talk.row.Sample, turn).id(name), req)
}

// begin makes the input file for the first row.
func (c *cutting) begin() (err error) {
	if c.input == nil {
		c.input, err = c.Store.NewBatch(c.pool.Model, c.number, c.round)
		c.reserved = c.hold(0, 0)
	}
	return err
}

// tooLong is why a row can never travel in a batch; nil when it can.
func (c *cutting) tooLong(bytes int64, cost nightshift.BatchCost) error {
	most := least(c.limits.LineBytes, c.MaxBytes)
	if most > 0 && bytes > most {
		return &nightshift.Error{Class: nightshift.ClassTooLarge,
			Message: fmt.Sprintf("the request has %d bytes, and a batch takes %d", bytes, most),
			Hint:    "send it with mode: live"}
	}
	if limit := c.queue.limit; limit > 0 && cost.Queued > limit {
		return &nightshift.Error{Class: nightshift.ClassExceedsLimit,
			Message: fmt.Sprintf("the request has about %d input tokens, and %d may wait in batches", cost.Queued, limit),
			Hint:    "send it with mode: live"}
	}
	return nil
}

// fits reports whether another row may go into the batch, and reserves what it
// can cost.
func (c *cutting) fits(bytes int64, cost nightshift.BatchCost) bool {
	rows := c.input.Rows()
	switch {
	case c.MaxRows > 0 && rows >= int64(c.MaxRows), c.MaxBytes > 0 && c.input.Bytes()+bytes > c.MaxBytes:
		return false
	case c.queue.limit > 0 && c.queued()+c.sum.InputTokens+cost.Queued > c.queue.limit:
		c.noRoom = rows < int64(c.MinRows)
		return false
	}
	ok, later := c.reserved.Grow(cost.Input+cost.Output, cost.Cost)
	if !ok {
		c.noRoom, c.later = rows < int64(c.MinRows), later
	}
	return ok
}

// queued is how many input tokens of our batches wait at the provider.
func (b *batches) queued() (tokens int64) {
	for _, a := range b.list {
		switch a.Stage {
		case store.BatchPlanned, store.BatchUploaded, store.BatchCreating, store.BatchCreated:
			tokens += a.InputTokens
		}
	}
	return tokens
}

// finish plans the batch. One that is small only for now is given up where
// something may change that.
func (c *cutting) finish() (moved bool, err error) {
	if !c.full && c.feed.Err() == nil {
		c.doneWith(c.number)
		moved = true
	}
	rows := int64(0)
	if c.input != nil {
		rows = c.input.Rows()
	}
	wait := c.noRoom && (c.later || c.holdsAny())
	switch {
	case c.feed.Err() != nil, wait:
		c.discard()
		c.nextCut = time.Now().Add(idleAtMost / speedup)
		return false, nil
	case rows == 0 && c.noRoom:
		c.discard()
		return false, nightshift.ErrBudget
	case rows == 0:
		c.discard()
		return moved, nil
	}
	return c.plan()
}

// holdsAny reports whether batches are away that make room when they end.
func (b *batches) holdsAny() bool {
	return slices.ContainsFunc(b.list, func(a *batch) bool { return a.Holds() })
}

func (c *cutting) plan() (moved bool, err error) {
	c.sum.Account, c.sum.Retention = c.API.Account(), c.limits.Retention
	planned, err := c.input.Finish(c.sum)
	if err != nil {
		c.reserved.Settle(0, 0)
		return false, err
	}
	c.batches.add(planned, c.reserved)
	crashPoint("batch.planned")
	return true, nil
}
