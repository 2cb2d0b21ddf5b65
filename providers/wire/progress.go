package wire

import (
	"context"
	"fmt"
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
type watch struct {
	cancel   context.CancelCauseFunc
	timeouts providers.Timeouts
	started  time.Time
	total    *time.Timer

	mu    sync.Mutex
	phase phase
	step  *time.Timer
}

func newWatch(ctx context.Context, t providers.Timeouts) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, timeouts: t, started: time.Now()}
	w.total = time.AfterFunc(t.Total, func() { cancel(&timeout{nightshift.ClassTimeoutTotal, t.Total}) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = time.AfterFunc(t.Connect, w.expire)
	return ctx, w
}

func (w *watch) expire() {
	w.mu.Lock()
	phase := w.phase
	w.mu.Unlock()
	switch phase {
	case connecting:
		w.cancel(&timeout{nightshift.ClassTimeoutConnect, w.timeouts.Connect})
	case awaiting:
		w.cancel(&timeout{nightshift.ClassTimeoutFirstByte, w.timeouts.FirstByte})
	case flowing:
		w.cancel(&timeout{nightshift.ClassTimeoutIdle, w.timeouts.Idle})
	case draining:
		w.cancel(&timeout{nightshift.ClassTimeoutIdle, drainTime})
	}
}

// connected notes that the request is on its way.
func (w *watch) connected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase == connecting {
		w.phase = awaiting
		w.step.Reset(max(0, w.timeouts.FirstByte-time.Since(w.started)))
	}
}

// progress notes that a part of the answer came.
func (w *watch) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase < draining {
		w.phase = flowing
		w.step.Reset(w.timeouts.Idle)
	}
}

// drain notes that the answer is whole.
func (w *watch) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase < draining {
		w.phase = draining
		w.step.Reset(drainTime)
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
	w.phase = over
	w.mu.Unlock()
	w.total.Stop()
	w.step.Stop()
	w.cancel(nil)
}
