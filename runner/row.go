package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/prefix"
	"nightshift/runner/store"
)

// A shard is a store's shard and the rows of it that are in hand.
type shard struct {
	*store.Shard
	pending    atomic.Int64 // rows in hand, and one for the feed
	incomplete atomic.Bool  // some row was given up without a record
	// giveBack, when not nil, is called in place of settle.
	giveBack func(*shard)
}

// A row is one sample on its way.
type row struct {
	nightshift.Sample
	prefix *prefix.Prefix // what it shares with others; nil for nothing, or where that is no matter
	turn   *prefix.Turn   // nil without a prefix
}

// settle gives back one share of a shard and commits it when that was the last.
func (w *walk) settle(u *shard) {
	if u.giveBack != nil {
		u.giveBack(u)
		return
	}
	if u.pending.Add(-1) > 0 || u.incomplete.Load() || u.Remaining() > 0 {
		return
	}
	if err := u.Commit(); err != nil {
		w.stopRun(err)
	}
}

// row brings one sample to a record, or marks its shard incomplete when it did
// not run.
func (w *walk) row(u *shard, r row) {
	defer r.turn.Release()
	rec, err := w.answer(u, r)
	if err == nil {
		err = u.Put(rec)
	}
	if err == nil {
		return
	}
	u.incomplete.Store(true)
	w.ended(err)
}

// ended passes on why a row was given up: the end of a run, a pool, or
// neither.
func (w *walk) ended(err error) {
	var stop *nightshift.StopError
	switch {
	case w.feed.Err() != nil && isContext(err):
		// The feed has ended already; nothing to add.
	case errors.Is(err, errNotNeeded):
	case errors.As(err, &stop):
		w.stop(stop)
	case errors.Is(err, ErrSubmitted): // other pools go on
		w.stop(err)
	default: // the budget, or storage
		w.stopRun(err)
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// answer sends a sample and returns its record. An error means that there is
// none: the row has not run, or its end was not learned.
func (w *walk) answer(u *shard, r row) (rec *nightshift.Record, err error) {
	s := r.Sample
	if w.feed.Err() != nil {
		return nil, context.Cause(w.feed)
	}
	history := u.History(s.Index, s.Epoch)
	settled := u.Settled(s.Index, s.Epoch)
	if w.SkipUnknown && lostAnswer(history[settled:], w.pool.Workers) {
		return w.unknown(s, history), nil
	}
	started := time.Now()
	c := conversation{walk: w, shard: u, row: r}
	err = c.run(w.calls, history, settled)
	var failure *nightshift.Error
	if err != nil && (!errors.As(err, &failure) || failure.Class == nightshift.ClassCancelled || isStop(err)) {
		return nil, err
	}
	return w.record(s, &c, failure, started), nil
}

func isStop(err error) bool {
	var stop *nightshift.StopError
	return errors.As(err, &stop)
}

// lostAnswer reports whether an earlier process may have paid for this row
// without learning the answer. One that the server makes in the background can
// still be asked for, and where there are workers, one that was given to them.
func lostAnswer(history []nightshift.Attempt, workers bool) bool {
	for i, a := range history {
		if a.Class == nightshift.ClassUnknownOutcome && !(i == len(history)-1 && goesOn(history, workers)) {
			return true
		}
	}
	return false
}

// goesOn reports whether the last attempt of a row was sent by an earlier process,
// and its answer can still be asked for.
func goesOn(history []nightshift.Attempt, workers bool) bool {
	if len(history) == 0 {
		return false
	}
	last := history[len(history)-1]
	return last.Class == nightshift.ClassUnknownOutcome && last.Job != "" &&
		(workers || !strings.HasPrefix(last.Job, nightshift.WorkerJob))
}

// A conversation is the exchange that answers one sample: one request, or one
// for each of its turns.
type conversation struct {
	*walk
	shard *shard
	row   row

	messages []nightshift.Message  // as sent last
	answers  []nightshift.Response // one a turn
}

// run asks turn after turn. The error of a turn ends it; so does an answer
// that nothing can follow.
func (c *conversation) run(ctx context.Context, history []nightshift.Attempt, settled int) error {
	if c.pool.Likelihoods.asks() {
		return c.likelihoods(ctx, history, settled)
	}
	for over := c.recall(); !over; {
		turn := len(c.answers)
		if err := c.complete(ctx, turn, history, settled); err != nil {
			return err
		}
		history, settled = nil, 0 // they belong to the turn that was under way
		if turn < len(c.row.Turns) {
			if err := c.shard.PutTurn(c.row.Index, c.row.Epoch, c.answers[turn]); err != nil {
				return err
			}
		}
		over = c.proceed(turn)
	}
	return nil
}

// recall puts the conversation where the turns that are on record left it, and
// reports whether it is over.
func (c *conversation) recall() (over bool) {
	c.messages = c.row.Messages
	c.answers = c.shard.Turns(c.row.Index, c.row.Epoch)
	for turn := range c.answers {
		if c.proceed(turn) {
			return true
		}
	}
	return false
}

// proceed adds an answer and the turn that follows it to the messages, and
// reports whether there is none.
func (c *conversation) proceed(turn int) (over bool) {
	if turn == len(c.row.Turns) || c.answers[turn].Text == nil {
		return true
	}
	c.messages = append(c.messages[:len(c.messages):len(c.messages)], repeated(c.answers[turn])...)
	c.messages = append(c.messages, nightshift.Message{Role: nightshift.RoleUser, Text: c.row.Turns[turn]})
	return false
}

// repeated are the messages with which an answer is put back for the next turn.
func repeated(answer nightshift.Response) []nightshift.Message {
	if answer.Repeat != nil {
		return answer.Repeat
	}
	return []nightshift.Message{{Role: nightshift.RoleAssistant, Text: *answer.Text}}
}

// complete asks the provider for the answer of one turn, and keeps it.
func (c *conversation) complete(ctx context.Context, turn int, history []nightshift.Attempt, settled int) error {
	req := c.request(turn)
	resp, err := c.send(ctx, turn, &req, history, settled)
	c.answers = append(c.answers, resp)
	return err
}

// request is what one turn asks.
func (c *conversation) request(turn int) nightshift.Request {
	req := c.pool.Request(c.row.Sample)
	req.Messages = c.messages
	req.Continues = turn < len(c.row.Turns)
	return c.cached(turn, req)
}

// send asks the provider once. A panic below is a failed row, not the end of a
// night's work.
func (c *conversation) send(
	ctx context.Context, turn int, req *nightshift.Request, history []nightshift.Attempt, settled int,
) (resp nightshift.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.Log.Error("panic while answering a row", "model", c.pool.Model, "row", c.row.Index, "panic", p, "stack",
				string(debug.Stack()))
			err = &nightshift.Error{Class: nightshift.ClassPanic, Message: fmt.Sprint(p), Hint: "this is a bug in nightshift",
				MaybeBilled: true}
		}
	}()
	req.Key = c.key(turn)
	req.Attempts, req.Settled, req.Unsent = history, settled, c.feed
	req.AttemptLog = c.shard.AttemptLog(c.row.Index, c.row.Epoch)
	return c.pool.Provider.Complete(ctx, *req)
}

// key is the same for a turn of a sample whenever it is sent.
func (c *conversation) key(turn int) string {
	b := make([]byte, 0, 64)
	b = append(append(append(append(b, c.Name...), '-'), c.pool.Model...), '-')
	b = append(strconv.AppendInt(b, c.row.Index, 10), '-')
	b = append(strconv.AppendInt(b, int64(c.row.Epoch), 10), '-')
	return string(strconv.AppendInt(b, int64(turn), 10))
}

// inputError records a sample that cannot be sent and reports whether err says
// that of it. Other epochs of the row have samples of their own.
func (w *walk) inputError(u *shard, s nightshift.Sample, err error) bool {
	var bad *datasets.RowError
	if !errors.As(err, &bad) {
		return false
	}
	if u.Done(s.Index, s.Epoch) {
		return true
	}
	failure := &nightshift.Error{Class: nightshift.ClassInput, Message: bad.Error()}
	rec := w.record(s, &conversation{walk: w, shard: u, row: row{Sample: s}}, failure, time.Time{})
	rec.Outcome = nightshift.OutcomeInputError
	if err := u.Put(rec); err != nil {
		w.stopRun(err)
	}
	return true
}

// unknown is the record of a row that may have been paid for and is not to be
// sent again.
func (w *walk) unknown(s nightshift.Sample, history []nightshift.Attempt) *nightshift.Record {
	c := conversation{walk: w, row: row{Sample: s}, messages: s.Messages,
		answers: []nightshift.Response{{Attempts: history}}}
	failure := &nightshift.Error{Class: nightshift.ClassUnknownOutcome,
		Message: "an earlier process ended between sending this row and reading its answer"}
	rec := w.record(s, &c, failure, time.Time{})
	rec.Outcome = nightshift.OutcomeUnknown
	return rec
}
