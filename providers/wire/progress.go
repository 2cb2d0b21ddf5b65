package wire

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"nightshift"
	"nightshift/providers"
)

// A timeout is why an attempt was ended from this side.
type timeout struct {
	class nightshift.ErrorClass
	after time.Duration
}

func (t *timeout) Error() string {
	switch t.class {
	case nightshift.ClassTimeoutConnect:
		return fmt.Sprintf("no connection within %v", t.after)
	case nightshift.ClassTimeoutFirstByte:
		return fmt.Sprintf("no answer began within %v", t.after)
	case nightshift.ClassTimeoutIdle:
		return fmt.Sprintf("the answer stopped coming for %v", t.after)
	}
	return fmt.Sprintf("the answer was not complete within %v", t.after)
}

// A phase is how far an attempt has come.
type phase int

const (
	connecting phase = iota
	awaiting         // the first byte, or the first content of a stream
	flowing          // content comes
	draining         // the answer is whole, only the end of the body is missing
	over             // nothing is watched any more
)

// drainTime is how long a body may take to end once its answer is whole. A
// connection whose body has ended can be used again.
const drainTime = 500 * time.Millisecond

// A watch ends an attempt that makes no progress. Times run from its making,
// which is the dispatch.
//
// It has one timer, which is set anew only to fire earlier. When it fires too
// early, because there was progress meanwhile, it is put off: an attempt goes
// through its phases much more often than one of them takes too long.
type watch struct {
	parent   context.Context
	timeouts providers.Timeouts
	started  time.Time

	mu     sync.Mutex
	phase  phase
	due    time.Time // when the phase has taken too long
	timer  *time.Timer
	fires  time.Time               // when the timer does
	cause  *timeout                // why it has ended the attempt; nil while it has not
	conn   io.Closer               // is closed then
	ctx    context.Context         // ends then; nil before anybody asked for it
	cancel context.CancelCauseFunc // of ctx
}

func newWatch(ctx context.Context, t providers.Timeouts) *watch {
	w := &watch{parent: ctx, timeouts: t, started: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = w.started.Add(t.Connect)
	w.fires = w.end()
	w.timer = time.AfterFunc(w.fires.Sub(w.started), w.fire)
	return w
}

// context is that of the attempt: it ends with the caller's, and when the attempt
// has taken too long.
func (w *watch) context() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		w.ctx, w.cancel = context.WithCancelCause(w.parent)
		if w.cause != nil {
			w.cancel(w.cause)
		}
	}
	return w.ctx
}

// hold takes a connection that is closed when the attempt has taken too long.
func (w *watch) hold(c io.Closer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn = c; w.cause != nil {
		c.Close()
	}
}

// release gives it back, and reports whether it is open.
func (w *watch) release() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = nil
	return w.cause == nil
}

// ended is why the attempt was ended from this side; nil where it was not.
func (w *watch) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		return w.cause
	}
	return context.Cause(w.parent)
}

// end is when the attempt has taken too long, if nothing happens until then.
func (w *watch) end() time.Time {
	if total := w.started.Add(w.timeouts.Total); total.Before(w.due) {
		return total
	}
	return w.due
}

// fire is called by the timer.
func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase == over || w.parent.Err() != nil {
		return
	}
	if left := time.Until(w.end()); left > 0 {
		w.fires = w.end()
		w.timer.Reset(left)
		return
	}
	w.cause = w.why()
	if w.conn != nil {
		w.conn.Close()
	}
	if w.cancel != nil {
		w.cancel(w.cause)
	}
}

func (w *watch) why() *timeout {
	if !w.end().Equal(w.due) {
		return &timeout{nightshift.ClassTimeoutTotal, w.timeouts.Total}
	}
	switch w.phase {
	case connecting:
		return &timeout{nightshift.ClassTimeoutConnect, w.timeouts.Connect}
	case awaiting:
		return &timeout{nightshift.ClassTimeoutFirstByte, w.timeouts.FirstByte}
	case draining:
		return &timeout{nightshift.ClassTimeoutIdle, drainTime}
	}
	return &timeout{nightshift.ClassTimeoutIdle, w.timeouts.Idle}
}

// enter begins a phase that may take until due. The lock is held.
func (w *watch) enter(p phase, due time.Time) {
	w.phase, w.due = p, due
	if end := w.end(); end.Before(w.fires) {
		w.fires = end
		w.timer.Reset(time.Until(end))
	}
}

// connected notes that the request is on its way.
func (w *watch) connected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase == connecting {
		w.enter(awaiting, w.started.Add(w.timeouts.FirstByte))
	}
}

// sending notes that a part of a long request is leaving: its answer is awaited
// from then on.
func (w *watch) sending() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase < flowing {
		w.enter(awaiting, time.Now().Add(w.timeouts.FirstByte))
	}
}

// progress notes that a part of the answer came.
func (w *watch) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase < draining {
		w.enter(flowing, time.Now().Add(w.timeouts.Idle))
	}
}

// drain notes that the answer is whole.
func (w *watch) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase < draining {
		w.enter(draining, time.Now().Add(drainTime))
	}
}

// isDraining reports whether the answer was whole already.
func (w *watch) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phase == draining
}

// stop ends the watch. A transport may still call connected afterwards.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = over
	w.timer.Stop()
	if w.cancel != nil {
		w.cancel(nil)
	}
}
