package limits

// A Turn says why a request is in the queue. Later turns go before first
// ones: an old row should not starve behind new ones.
type Turn uint8

const (
	First  Turn = iota // not sent before
	Retry              // refused before, through no fault of its own
	Repeat             // failed before; goes within the retry budget
	Solo               // refused when sent alone: it is sent alone again, as a trial
)

// A waiter is one blocked call of Wait.
type waiter struct {
	cost       Cost
	flow       *flow
	ready      chan struct{} // closed when permit or err is set
	permit     *Permit       // granted, once it is
	granted    Permit
	err        error
	list       *fifo
	prev, next *waiter
}

// A fifo is a linked list of waiters, so that one that is cancelled leaves
// from the middle without a search.
type fifo struct{ head, tail *waiter }

func (f *fifo) push(w *waiter) {
	w.list, w.prev, w.next = f, f.tail, nil
	if f.tail == nil {
		f.head = w
	} else {
		f.tail.next = w
	}
	f.tail = w
}

func (f *fifo) remove(w *waiter) {
	if w.prev == nil {
		f.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		f.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.list, w.prev, w.next = nil, nil, nil
}

// A flow is one stream of requests that shares the limits fairly with others.
type flow struct {
	first  fifo
	served float64 // tokens sent so far, on the queue's clock
}

// A queue holds waiters: retries in their order, then the flow that had the
// fewest tokens so far.
type queue struct {
	flows                  map[string]*flow
	order                  []*flow // of flows, so that picking is deterministic
	retries, repeats, solo fifo
	served                 float64 // of the flow picked last
	waiting                int
}

// flow returns the flow of that name. One that was away must not make up for
// the time, so it starts where the others are.
func (q *queue) flow(name string) *flow {
	ln := q.flows[name]
	if ln == nil {
		if q.flows == nil {
			q.flows = map[string]*flow{}
		}
		ln = &flow{}
		q.flows[name] = ln
		q.order = append(q.order, ln)
	}
	if ln.first.head == nil {
		ln.served = max(ln.served, q.served)
	}
	return ln
}

func (q *queue) push(w *waiter) {
	switch w.cost.Turn {
	case Retry:
		q.retries.push(w)
	case Repeat:
		q.repeats.push(w)
	case Solo:
		q.solo.push(w)
	default:
		w.flow.first.push(w)
	}
	q.waiting++
}

func (q *queue) remove(w *waiter) {
	w.list.remove(w)
	q.waiting--
}

// next returns who is to go next, without removing it; nil when nobody can.
// Repeats are passed over unless they may go; solo come last in a trial.
func (q *queue) next(repeats, trial bool) *waiter {
	if !trial && q.solo.head != nil {
		return q.solo.head
	}
	if q.retries.head != nil {
		return q.retries.head
	}
	if repeats && q.repeats.head != nil {
		return q.repeats.head
	}
	if w := q.fresh(); w != nil {
		return w
	}
	return q.solo.head
}

// fresh returns who is to go next of those that were not sent before.
func (q *queue) fresh() *waiter {
	var least *flow
	for _, ln := range q.order {
		if ln.first.head != nil && (least == nil || ln.served < least.served) {
			least = ln
		}
	}
	if least == nil {
		return nil
	}
	return least.first.head
}

// charge books tokens that a flow sends.
func (q *queue) charge(ln *flow, tokens float64) {
	q.served = max(q.served, ln.served)
	ln.served += tokens
}

// drain removes and returns all waiters.
func (q *queue) drain() []*waiter {
	lists := []*fifo{&q.solo, &q.retries, &q.repeats}
	for _, ln := range q.order {
		lists = append(lists, &ln.first)
	}
	var all []*waiter
	for _, f := range lists {
		for f.head != nil {
			all = append(all, f.head)
			q.remove(f.head)
		}
	}
	return all
}
