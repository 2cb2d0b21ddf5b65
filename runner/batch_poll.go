package runner

import (
	"errors"
	"fmt"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// polling says when the provider is asked again how batches stand: soon after the
// latest was created, then more and more seldom.
type polling struct {
	first, most time.Duration
	next        time.Time
	since       time.Time // when the latest batch was created
	pause       time.Duration
	failed      int
}

// fastFor is how long after a creation polls are a minute apart at most.
const fastFor = time.Hour

// begin starts over: a batch was created.
func (l *polling) begin() {
	now := time.Now()
	l.since, l.pause, l.next = now, l.first, now.Add(l.first)
}

// plan sets the next poll, after one; later is what the provider asked for.
func (l *polling) plan(later time.Duration) {
	now := time.Now()
	most := l.most
	if now.Sub(l.since) < fastFor {
		most = min(most, max(time.Minute, l.first))
	}
	l.pause = min(max(l.pause+l.pause/2, l.first), most)
	l.next = now.Add(max(jitter(l.pause), later))
}

// poll asks for all batches at once how they stand, when it is time to.
func (b *batches) poll() error {
	asked := b.atProvider()
	if len(asked) == 0 || time.Now().Before(b.polling.next) {
		return nil
	}
	of := map[string]*batch{}
	var ids []string
	for _, r := range asked {
		of[r.id] = r.batch
		ids = append(ids, r.id)
	}
	got, err := b.API.Get(b.feed, ids)
	crashPoint("batch.polled")
	if err := b.pollFailed(err); err != nil {
		return err
	}
	later := retryAfter(err)
	for _, remote := range got {
		later = max(later, remote.RetryAfter)
		if a := of[remote.ID]; a != nil {
			if err := b.heard(a, remote); err != nil {
				return err
			}
		}
	}
	b.polling.plan(later)
	return b.callBack()
}

func retryAfter(err error) time.Duration {
	var e *nightshift.BatchError
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// pollFailed passes on an error that a person has to do something about. Others
// count for nothing: the next poll is as good.
func (b *batches) pollFailed(err error) error {
	var e *nightshift.BatchError
	switch {
	case err == nil:
		b.polling.failed = 0
		return nil
	case errors.As(err, &e) && e.Next == nightshift.BatchStop:
		return b.stopped(e.Err)
	}
	if b.polling.failed++; b.polling.failed == 3 && b.feed.Err() == nil {
		b.Log.Warn("the provider does not say how batches stand; they go on, and it is asked again",
			"model", b.pool.Model, "error", err.Error())
	}
	return nil
}

// An errand is a batch at the provider that has not ended.
type errand struct {
	id string
	*batch
}

func (b *batches) atProvider() (list []errand) {
	for _, a := range b.list {
		if a.Stage != store.BatchCreated {
			continue
		}
		for _, r := range a.Remotes {
			if !r.Over {
				list = append(list, errand{r.ID, a})
			}
		}
	}
	return list
}

// heard takes in how one batch stands.
func (b *batches) heard(a *batch, r nightshift.Batch) error {
	if r.Phase == nightshift.BatchGone {
		return b.absent(a, r)
	}
	a.gone = absence{}
	if r.Phase == nightshift.BatchStrange && !b.strange[r.State] {
		b.strange[r.State] = true
		b.Log.Warn(fmt.Sprintf("%s is in the state %q, which nightshift does not know; it is asked again", a.Name, r.State),
			"model", b.pool.Model)
	}
	if err := b.changed(a, b.Store.BatchState(a.N, r)); err != nil {
		return err
	}
	switch {
	case b.over(a, r):
		return b.ended(a, r)
	case b.stuck(a, r):
		return b.giveUp(a, r, "it has not ended a day after it was cancelled")
	}
	return nil
}

// ended notes the end of a batch at the provider; its results can be fetched.
func (b *batches) ended(a *batch, r nightshift.Batch) error {
	b.queue.resume = time.Time{}
	if r.Phase != nightshift.BatchFailed {
		b.refused = refusals{}
	}
	err := b.changed(a, b.Store.BatchEnded(a.N, r))
	crashPoint("batch.ended")
	return err
}

const (
	// strangeFor is how long an unknown state may go on before the files that are
	// there are taken for results.
	strangeFor = time.Hour
	// lateFor is how long the files of a batch that has ended may be late.
	lateFor = 24 * time.Hour
	// stuckFor is how long after it was cancelled a batch may go on.
	stuckFor = 24 * time.Hour
)

// over reports whether a batch has ended and its results are there, as far as
// they ever will be.
func (b *batches) over(a *batch, r nightshift.Batch) bool {
	complete := len(r.Results) > 0 || r.Phase == nightshift.BatchFailed || nothingRan(r)
	switch {
	case r.Phase == nightshift.BatchStrange && len(r.Results) > 0:
		return a.waited(strangeFor)
	case !r.Phase.Ended():
		a.late = time.Time{}
		return false
	case complete:
		return true
	}
	return a.waited(lateFor)
}

// nothingRan reports whether a batch ended before any of it ran, by counts that
// do not contradict themselves.
func nothingRan(r nightshift.Batch) bool {
	done, known := r.Counts.Completed.Get()
	return r.Phase != nightshift.BatchCompleted && known && done == 0
}

// waited reports whether that much time has passed since it was asked first.
func (a *batch) waited(d time.Duration) bool {
	if a.late.IsZero() {
		a.late = time.Now()
	}
	return time.Since(a.late) >= d/speedup
}

// stuck reports whether a batch goes on although it was cancelled long ago.
func (b *batches) stuck(a *batch, r nightshift.Batch) bool {
	at := a.remote(r.ID).CancelledAt
	return !at.IsZero() && time.Since(at) >= stuckFor/speedup
}

// An absence is how long the provider has not known a batch.
type absence struct {
	since time.Time
	times int
}

const (
	absentTimes = 3
	absentFor   = 10 * time.Minute
)

// absentFor is how long the provider may not know a batch before it is given up;
// less where the plan has it asked often.
func (b *batches) absentFor() time.Duration { return min(absentFor, 10*b.polling.most) / speedup }

// absent deals with a batch that the provider does not know. That never means
// that it was not submitted: another key may be in use, or somebody has deleted
// it.
func (b *batches) absent(a *batch, r nightshift.Batch) error {
	if a.gone.times++; a.gone.times == 1 {
		a.gone.since = time.Now()
	}
	if a.gone.times < absentTimes || time.Since(a.gone.since) < b.absentFor() {
		return nil
	}
	if now := b.API.Account(); b.otherAccount(a) {
		return b.stopped(&nightshift.Error{Class: nightshift.ClassNotFound,
			Message: fmt.Sprintf("batch %s was made with key %s at %s and is not known with key %s at %s",
				r.ID, a.Account.Key, a.Account.BaseURL, now.Key, now.BaseURL),
			Hint: "use the key of the account or project in which it was made"})
	}
	if _, err := b.API.Find(b.feed, b.order(a), a.Creating.Add(-lookBack)); err != nil {
		return nil // the next poll may tell more
	}
	return b.giveUp(a, r, "the provider does not know it any more: it was deleted, or its results were kept no longer")
}

// callBack asks for the end of batches that are past their deadline, or that a
// person wants back.
func (b *batches) callBack() error {
	if !b.limits.Cancel && b.Recall == RecallNone {
		return nil
	}
	for _, r := range b.atProvider() {
		by := b.calledBackBy(r.batch, r.id)
		if by == "" {
			continue
		}
		if err := b.cancel(r.batch, r.id, by); err != nil {
			return err
		}
	}
	return nil
}

// calledBackBy says who wants a batch to end now; nobody is "".
func (b *batches) calledBackBy(a *batch, id string) string {
	r := a.remote(id)
	switch {
	case r.Phase == nightshift.BatchCancelling, r.Phase.Ended():
		return ""
	case b.Recall != RecallNone:
		return "user"
	case r.CancelledBy != "": // asked, and it does not know of it
		return r.CancelledBy
	case b.Deadline > 0 && b.age(a, r) > b.Deadline:
		return "deadline"
	}
	return ""
}

// age is how long ago a batch was created, by the server's clock.
func (b *batches) age(a *batch, r store.BatchRemote) time.Duration {
	created := r.CreatedAt
	if created.IsZero() {
		created = a.Creating
	}
	return b.API.ServerTime().Sub(created)
}

// cancel notes who wants a batch to end and asks the provider for it. An error
// is no matter: the next poll finds out whether to ask again.
func (b *batches) cancel(a *batch, id, by string) error {
	if a.remote(id).CancelledBy == "" {
		if err := b.changed(a, b.Store.BatchCancel(a.N, id, by)); err != nil {
			return err
		}
	}
	crashPoint("batch.cancel-noted")
	if err := b.API.Cancel(b.calls, id); err != nil && !a.uncancelled {
		a.uncancelled = true
		b.Log.Info("batch "+id+" could not be cancelled yet", "model", b.pool.Model, "error", err.Error())
	}
	return nil
}

// recalled reports whether every batch has been asked to end.
func (b *batches) recalled() bool {
	for _, r := range b.atProvider() {
		if r.remote(r.id).CancelledBy == "" {
			return false
		}
	}
	for _, a := range b.list {
		if a.Holds() && a.Stage != store.BatchCreated {
			return false
		}
	}
	return true
}
