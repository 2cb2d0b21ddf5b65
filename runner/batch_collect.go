package runner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/store"
)

// An amount is what was used.
type amount struct {
	tokens int64
	cost   nightshift.NanoUSD
}

// collect turns the results of a batch into records. It may be repeated: rows
// and attempts that are on record are passed over.
func (b *batches) collect(a *batch) error {
	if f := unrun(a); f != nil {
		return b.endedUnrun(a, f)
	}
	u, err := b.openShard(a.Shard)
	if err != nil {
		return err
	}
	defer b.settle(u)
	found, err := b.readResults(a, u)
	if err != nil {
		return b.fetchAgain(a, err)
	}
	defer found.close()
	if found.items() < a.Rows && b.readAgain(a) {
		return nil
	}
	c := &collection{batches: b, a: a, u: u, found: found}
	if err := c.run(); err != nil {
		u.incomplete.Store(true)
		return err
	}
	return c.finish()
}

// unrun is why a batch failed as a whole; nil when it did not.
func unrun(a *batch) *nightshift.BatchError {
	if len(a.Remotes) != 1 || a.Remotes[0].Phase != nightshift.BatchFailed {
		return nil
	}
	if f := a.Remotes[0].Failure; f != nil {
		return f
	}
	return &nightshift.BatchError{Err: &nightshift.Error{Class: nightshift.ClassInvalidRequest,
		Message: "the provider says that the batch failed, and not why"}}
}

// fetchAgain puts a batch back before its download when a file on this disk is
// not as it was written.
func (b *batches) fetchAgain(a *batch, err error) error {
	var storage *store.StorageError
	if !errors.As(err, &storage) || b.Store.Err() != nil {
		return err
	}
	b.Log.Warn("the results of "+a.Name+" are fetched again: the files on the disk are damaged", "error", err.Error())
	a.here = map[string]store.LocalFile{}
	a.Stage = store.BatchEnded
	return nil
}

// A collection is the pass over a batch in which its results become records.
type collection struct {
	*batches
	a     *batch
	u     *shard
	found *results

	sums    store.BatchSums
	used    amount
	stops   []nightshift.Sample // rows whose error may concern all
	stop    *nightshift.Error
	final   bool // those rows are failures of their own
	unasked bool // somebody else has cancelled it
	line    []byte
}

// run goes through the rows of the batch in the order of the dataset.
func (c *collection) run() error {
	c.sums.Foreign = c.found.foreign
	if err := c.samples(c.row); err != nil {
		return err
	}
	if len(c.stops) == 0 || c.concernsAll() {
		return nil
	}
	c.final = true
	rows := c.stops
	c.stops = nil
	for _, s := range rows {
		if err := c.row(s); err != nil {
			return err
		}
	}
	return nil
}

// concernsAll reports whether the errors for which a person has to act are not
// those of single rows: no row was spared, or the money is used up.
func (c *collection) concernsAll() bool {
	return c.stop.Class == nightshift.ClassQuota || int64(len(c.stops)) == c.a.Rows
}

// samples yields the rows of the batch.
func (c *collection) samples(do func(nightshift.Sample) error) error {
	for s, err := range c.Dataset.ReadEpochs(c.calls, c.a.Shard, max(c.Epochs, 1)) {
		var bad *datasets.RowError
		if errors.As(err, &bad) {
			continue // it was not sent
		}
		if err != nil {
			return fmt.Errorf("reading the dataset: %w", err)
		}
		if item, ok := c.u.Item(s.Index, s.Epoch); ok && c.a.Items.Has(item) {
			if err := do(s); err != nil {
				return err
			}
			crashPoint("batch.row")
		}
	}
	return nil
}

// row records what became of one row, unless an earlier pass has.
func (c *collection) row(s nightshift.Sample) error {
	item, _ := c.u.Item(s.Index, s.Epoch)
	got, remote, err := c.best(s, c.found.of(item))
	if err != nil {
		return err
	}
	o := c.outcome(s, c.remote(remote))
	switch {
	case c.u.Done(s.Index, s.Epoch), got != nil && got.turn < len(o.talk.answers):
		c.seen(got)
		return nil
	case got == nil:
		return c.missing(o)
	}
	return c.conclude(o, got.BatchResult)
}

// seen counts a row that an earlier pass has recorded.
func (c *collection) seen(got *readResult) {
	switch {
	case got == nil:
		c.sums.Missing++
	case got.Err != nil:
		c.sums.Failed++
	default:
		c.sums.Answers++
		c.count(attemptOf(got.Response), false)
	}
}

// attemptOf is the attempt of an answer.
func attemptOf(r nightshift.Response) (a nightshift.Attempt) {
	if n := len(r.Attempts); n > 0 {
		a = r.Attempts[n-1]
	}
	return a
}

// outcome is what is known of a row before its result is read.
func (c *collection) outcome(s nightshift.Sample, remote store.BatchRemote) *outcome {
	o := &outcome{talk: &conversation{walk: c.walk, shard: c.u, row: row{Sample: s}}, remote: remote}
	if c.u.Done(s.Index, s.Epoch) {
		return o
	}
	o.talk.recall()
	settled := c.u.Settled(s.Index, s.Epoch)
	for i, a := range c.u.History(s.Index, s.Epoch) {
		if o.noted = a.Batch == remote.ID; o.noted {
			break // by an earlier pass
		}
		o.history = append(o.history, a)
		if i >= settled {
			o.begun = append(o.begun, a)
		}
	}
	return o
}

// A readResult is a line of results.
type readResult struct {
	nightshift.BatchResult
	turn int
}

// best is the first answer among the lines of a row, or the first error where
// there is none, and nil where there are no lines. Further answers were paid
// for, too.
func (c *collection) best(s nightshift.Sample, lines []resultLine) (best *readResult, remote string, err error) {
	hash := promptHash(s)[:4]
	for _, l := range lines {
		text, err := c.found.read(l)
		if err != nil {
			return nil, "", err
		}
		got, err := c.API.Read(text)
		if err != nil || l.ticket.hash != hash {
			c.foreign()
			continue
		}
		switch {
		case best == nil, best.Err != nil && got.Err == nil:
			best, remote = &readResult{got, l.ticket.turn}, c.found.files[l.file].remote
		case got.Err == nil:
			c.extra(got.Response)
		}
	}
	return best, remote, nil
}

// foreign counts a line that is not a result of what the row asks.
func (c *collection) foreign() {
	if !c.final {
		c.sums.Foreign++
	}
}

// extra counts an answer that was paid for and is in no record.
func (c *collection) extra(r nightshift.Response) {
	if c.final {
		return // counted in the first pass
	}
	c.sums.Extras++
	c.sums.ExtraInput += r.Usage.InputTotal().N()
	c.sums.ExtraOutput += r.Usage.Output.N()
	c.used.tokens += r.Usage.Total().N()
	for _, a := range r.Attempts {
		if a.Cost != nil {
			c.sums.ExtraCost += *a.Cost
			c.used.cost += *a.Cost
		}
	}
}

// remote is the batch at the provider with that id; the one that leads where it
// is not said.
func (c *collection) remote(id string) store.BatchRemote {
	if r, known := c.a.RemoteOf(id); known {
		return r
	}
	return c.a.Lead()
}

// An outcome is what is known of a row when its batch is collected.
type outcome struct {
	talk    *conversation
	remote  store.BatchRemote
	history []nightshift.Attempt // of the turn, and before
	begun   []nightshift.Attempt // those since the row was begun
	noted   bool                 // the attempt in this batch is on record
}

// conclude records an answer or an error. What the row's line says is all that
// counts.
func (c *collection) conclude(o *outcome, got nightshift.BatchResult) error {
	switch {
	case got.Err == nil:
		return c.answered(o, got)
	case got.Err.Class == nightshift.ClassBatchExpired, got.Err.Class == nightshift.ClassCancelled:
		return c.notRun(o, got.Err)
	case got.Next == nightshift.BatchStop && !c.final:
		c.stops, c.stop = append(c.stops, o.talk.row.Sample), got.Err
		return nil
	case got.Next == nightshift.BatchAgain && tried(o.begun)+1 < c.Attempts:
		c.sums.Again++
		return c.again(o, c.attempt(o, got))
	}
	return c.failed(o, got)
}

// tried is how often a row was tried, those times left out in which it has not
// run.
func tried(begun []nightshift.Attempt) (n int) {
	for _, a := range begun {
		if a.Class != nightshift.ClassBatchExpired {
			n++
		}
	}
	return n
}

func (c *collection) answered(o *outcome, got nightshift.BatchResult) error {
	c.sums.Answers++
	turn := len(o.talk.answers)
	resp := c.response(o, got)
	o.talk.answers = append(o.talk.answers, resp)
	s := o.talk.row.Sample
	if turn < len(s.Turns) {
		if err := c.u.PutTurn(s.Index, s.Epoch, resp); err != nil {
			return err
		}
	}
	if !o.talk.proceed(turn) {
		c.sums.Again++ // with its next turn
		return nil
	}
	return c.u.Put(c.record(s, o.talk, nil, started(o.remote)))
}

func (c *collection) failed(o *outcome, got nightshift.BatchResult) error {
	c.sums.Failed++
	o.talk.answers = append(o.talk.answers, c.response(o, got))
	return c.u.Put(c.record(o.talk.row.Sample, o.talk, got.Err, started(o.remote)))
}

// again notes an attempt after which the row goes again, unless an earlier pass
// has.
func (c *collection) again(o *outcome, a nightshift.Attempt) error {
	c.count(a, !o.noted)
	if o.noted {
		return nil
	}
	return c.u.AttemptLog(o.talk.row.Index, o.talk.row.Epoch).Failed(a)
}

// notRun deals with a row whose batch ended before it had run. Where somebody
// has cancelled the batch the row is as if it had never been sent.
func (c *collection) notRun(o *outcome, e *nightshift.Error) error {
	c.sums.Expired++
	r := o.remote
	switch {
	case r.Phase == nightshift.BatchCancelled && r.CancelledBy == "":
		c.unasked = true
		return nil
	case r.CancelledBy == "user":
		return nil
	}
	expired := &nightshift.Error{Class: nightshift.ClassBatchExpired, Message: e.Message}
	a := c.attempt(o, nightshift.BatchResult{Err: expired})
	a.MaybeBilled, a.WorstTokens, a.WorstCost, a.Cost = false, 0, 0, new(nightshift.NanoUSD)
	return c.again(o, a)
}

// missing deals with a row that is in no result file.
func (c *collection) missing(o *outcome) error {
	if didNotRun(o.remote, c.sums.Answers) {
		return c.notRun(o, &nightshift.Error{Message: "its batch ended before it had run"})
	}
	c.sums.Missing++
	return c.again(o, c.attempt(o, nightshift.BatchResult{Err: &nightshift.Error{Class: nightshift.ClassUnknownOutcome,
		Message: "it is in no result file of its batch", MaybeBilled: true}}))
}

// didNotRun reports whether a row that is in no file of a batch surely has not
// run: the batch was ended early, and nothing ran besides what was found.
func didNotRun(r store.BatchRemote, answers int64) bool {
	done, known := r.Counts.Completed.Get()
	early := r.Phase == nightshift.BatchExpired || r.Phase == nightshift.BatchCancelled
	return early && known && done == 0 && answers == 0
}

// response is what came for a row, with all its attempts.
func (c *collection) response(o *outcome, got nightshift.BatchResult) nightshift.Response {
	resp := got.Response
	a := c.attempt(o, got)
	c.count(a, true)
	resp.Attempts = append(slices.Clip(o.history), a)
	resp.Cost, resp.PriceID = costOf(resp.Attempts), a.PriceID
	resp.RequestHash = c.worst(o).Hash
	return resp
}

// attempt is the trip of a row in this batch.
func (c *collection) attempt(o *outcome, got nightshift.BatchResult) nightshift.Attempt {
	a := attemptOf(got.Response)
	if e := got.Err; e != nil {
		a.Class, a.Message, a.MaybeBilled = e.Class, e.Error(), a.MaybeBilled || e.MaybeBilled
	}
	a.N, a.Batch, a.Route, a.StartedAt = len(o.history)+1, o.remote.ID, c.a.Account.Route, started(o.remote)
	if end := o.remote.EndedAt; end.After(a.StartedAt) {
		a.DurationMS = float64(end.Sub(a.StartedAt)) / 1e6
	}
	if a.MaybeBilled && a.WorstTokens == 0 {
		cost := c.worst(o)
		a.WorstTokens, a.WorstCost = cost.Input+cost.Output, cost.Cost
	}
	return a
}

// started is when a batch was created.
func started(r store.BatchRemote) time.Time {
	if r.CreatedAt.IsZero() {
		return time.Now().UTC()
	}
	return r.CreatedAt
}

// worst is the most that the row's request can have used.
func (c *collection) worst(o *outcome) nightshift.BatchCost {
	line, cost, err := c.encode(c.line[:0], c.a.Name, o.talk)
	if err != nil {
		return nightshift.BatchCost{}
	}
	c.line = line
	return cost
}

// count adds an attempt to what the batch has cost; one that is new on record,
// also to what was used of the reservation.
func (c *collection) count(a nightshift.Attempt, fresh bool) {
	tokens, cost := max(a.Usage.Total().N(), a.WorstTokens), a.WorstCost
	if a.Cost != nil && a.WorstCost == 0 {
		cost = *a.Cost
		c.sums.Cost += cost
	} else {
		c.sums.CostUnknown++
	}
	if fresh {
		c.used.tokens += tokens
		c.used.cost += cost
	}
}

// costOf is what attempts cost together; nil when that is not known.
func costOf(log []nightshift.Attempt) *nightshift.NanoUSD {
	var sum nightshift.NanoUSD
	for _, a := range log {
		if a.Cost == nil || a.WorstTokens > 0 || a.WorstCost > 0 {
			return nil
		}
		sum += *a.Cost
	}
	return &sum
}

// finish notes that the batch is collected, and says what else follows.
func (c *collection) finish() error {
	c.sums.Note = c.difference()
	if err := c.collected(c.a, c.sums, c.used); err != nil {
		return err
	}
	b := c.batches
	switch {
	case len(c.stops) > 0:
		return b.stopped(c.stop)
	case c.unasked && b.Recall == RecallNone:
		return b.stopped(&nightshift.Error{Class: nightshift.ClassCancelled,
			Message: fmt.Sprintf("batch %s was cancelled by somebody else at %s", c.a.Lead().ID,
				c.a.Lead().EndedAt.Format(time.RFC3339)),
			Hint: "what had run is on record; the same command goes on with the rest"})
	}
	return nil
}

// difference says where the provider's counts are not what its files hold.
func (c *collection) difference() string {
	counted, known := c.a.Lead().Counts.Completed.Get()
	if len(c.a.Remotes) != 1 || !known || counted == c.sums.Answers {
		return ""
	}
	return fmt.Sprintf("the provider counts %d completed requests, its files hold %d answers", counted, c.sums.Answers)
}

// collected notes that everything a batch brought is in the journal, settles
// what was reserved for it, and frees its rows.
func (b *batches) collected(a *batch, sums store.BatchSums, used amount) error {
	crashPoint("batch.recorded")
	if err := b.changed(a, b.Store.BatchCollected(a.N, sums)); err != nil {
		return err
	}
	crashPoint("batch.collected")
	a.reserved.Settle(used.tokens, used.cost)
	a.here, a.cut, a.cleared = nil, nil, nil
	if !b.holds(a.Shard) {
		b.lookAgain(a.Shard)
	}
	b.nextCut = time.Time{}
	b.Log.Info(a.Name+" is collected", "model", b.pool.Model, "answers", sums.Answers, "failed", sums.Failed,
		"again", sums.Again+sums.Expired, "missing", sums.Missing)
	return nil
}

// holds reports whether a batch that is not collected has rows of a shard.
func (b *batches) holds(i int) bool {
	return slices.ContainsFunc(b.list, func(a *batch) bool { return a.Shard == i && a.Holds() })
}

// recordBadRow records the row that a batch was refused for: it would be
// refused again.
func (b *batches) recordBadRow(a *batch, e *nightshift.BatchError) error {
	u, err := b.openShard(a.Shard)
	if err != nil {
		return err
	}
	defer b.settle(u)
	bad := int64(-1)
	n := 0
	for item := range a.Items.All() {
		if n++; n == e.Line {
			bad = item
		}
	}
	c := &collection{batches: b, a: a, u: u}
	return c.samples(func(s nightshift.Sample) error {
		item, _ := u.Item(s.Index, s.Epoch)
		if item != bad || u.Done(s.Index, s.Epoch) {
			return nil
		}
		o := &outcome{talk: &conversation{walk: b.walk, shard: u, row: row{Sample: s}}, remote: a.Lead(),
			history: u.History(s.Index, s.Epoch)}
		o.talk.recall()
		o.talk.answers = append(o.talk.answers, nightshift.Response{Attempts: o.history, Cost: costOf(o.history)})
		return u.Put(b.record(s, o.talk, e.Err, time.Now()))
	})
}
