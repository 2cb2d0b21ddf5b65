package hub

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/words"
	"nightshift/runner/cluster/protocol"
)

// A peer is a worker process, connected or not. The hub's lock guards it.
type peer struct {
	name, boot, version string
	slots               int
	conn                *protocol.Conn // nil while it is away
	left                time.Time      // when the connection ended
	draining            bool
	ready               bool // it has said what it holds
	accounts            []*Account
	missing             []protocol.Missing
	inFlight            int
	holds               map[string]bool // attempts of earlier starts that it said it has
	unkept              int             // answers that it keeps, as it said last
	lookingUp           bool            // whether those of earlier starts are on record

	rests    time.Time // until when it is given nothing, after it sent something back
	failures int       // to reach a server, in a row
	sitsOut  time.Time // until when it is not asked after them
	why      string    // the last of these failures

	seen *Worker // what is known under the name
	// keptSaid are attempts that it was told are kept and that it may not have
	// heard of: they are said again after a new connection.
	keptSaid []string
}

// keep tells the worker that answers are on record; the hub's lock is held.
func (p *peer) keep(ids []string) {
	if p == nil {
		return
	}
	const remembered = 10_000 // what was said before is long heard of, or the worker is slow beyond help
	p.keptSaid = append(p.keptSaid, ids...)
	if n := len(p.keptSaid); n > 2*remembered {
		p.keptSaid = slices.Clone(p.keptSaid[n-remembered:])
	}
	if p.conn != nil {
		_ = p.conn.Say(protocol.KindKept, protocol.IDs{IDs: ids})
	}
}

// maxHello bounds what is read of a worker before it is known.
const maxHello = 64 << 10

// ServeConn works with the worker at the other end until the connection ends.
func (h *Hub) ServeConn(c net.Conn) {
	conn := protocol.NewConn(c)
	defer conn.Close()
	slow := time.AfterFunc(10*time.Second, conn.Close)
	f, err := conn.Read(maxHello)
	slow.Stop()
	if err != nil || f.Kind != protocol.KindHello {
		return
	}
	hello, err := protocol.Unpack[protocol.Hello](f)
	if err != nil {
		return
	}
	p, refusal := h.welcome(conn, hello)
	// The end of the connection of a killed worker may be heard of after the first
	// word of the one that was started in its place.
	for try := 0; try < 10 && refusal != nil && refusal.Reason == protocol.RefusedName; try++ {
		time.Sleep(100 * time.Millisecond)
		p, refusal = h.welcome(conn, hello)
	}
	if refusal != nil {
		h.Log.Warn("refused a worker", "worker", hello.Name, "why", refusal.Text)
		_ = conn.Say(protocol.KindRefusal, refusal)
		conn.Finish(time.Second)
		return
	}
	err = h.hear(p, conn)
	h.leave(p, conn, err)
}

// stillTalks is how long a connection must be silent before another process may
// take over the worker's name.
const stillTalks = 5 * time.Second

// welcome lets a worker in, or says why not.
func (h *Hub) welcome(conn *protocol.Conn, hello protocol.Hello) (*peer, *protocol.Refusal) {
	if r := h.refuse(hello); r != nil {
		return nil, r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, &protocol.Refusal{Reason: protocol.RefusedHello, Text: "the run has ended"}
	}
	var p *peer
	for _, o := range h.peers {
		if o.name != hello.Name {
			continue
		}
		if o.boot == hello.Boot {
			p = o
		} else if o.conn != nil && o.conn.Silence() < stillTalks {
			return nil, &protocol.Refusal{Reason: protocol.RefusedName,
				Text: fmt.Sprintf("a worker named %s is connected already: give this one another name with --name", hello.Name)}
		}
	}
	if p == nil {
		p = &peer{name: hello.Name, boot: hello.Boot, seen: h.seenAs(hello.Name)}
		h.peers = append(h.peers, p)
	}
	if p.conn != nil {
		p.conn.Close() // the other end has given it up
	}
	p.conn, p.version, p.slots, p.draining, p.ready = conn, hello.Version, min(max(hello.Slots, 1), maxSlots), false, false
	p.seen.Version, p.seen.Slots = hello.Version, p.slots
	w := protocol.Welcome{Run: h.Run, Epoch: h.Epoch}
	for _, e := range h.endpoints {
		w.Endpoints = append(w.Endpoints, e.Endpoint)
	}
	_ = conn.Say(protocol.KindWelcome, w)
	return p, nil
}

const (
	maxSlots = 100_000
	maxName  = 200
)

func (h *Hub) refuse(hello protocol.Hello) *protocol.Refusal {
	switch {
	case hello.Protocol != protocol.Version:
		return &protocol.Refusal{Reason: protocol.RefusedVersion, Text: fmt.Sprintf(
			"the worker speaks protocol %d (%s), the hub %d (%s): use the same version on both",
			hello.Protocol, hello.Version, protocol.Version, h.Version)}
	case hello.Version != h.Version && !h.AllowSkew && !hello.AllowSkew:
		return &protocol.Refusal{Reason: protocol.RefusedVersion, Text: fmt.Sprintf(
			"the worker is %s, the hub %s; answers are decoded on the worker, so use the same version on both "+
				"(--allow-skew lets it work all the same)", hello.Version, h.Version)}
	case hello.Name == "" || len(hello.Name) > maxName || hello.Boot == "" || len(hello.Boot) > maxName:
		return &protocol.Refusal{Reason: protocol.RefusedHello, Text: "the worker has no name, or one that is too long"}
	}
	return nil
}

// hear takes in what a worker says until its connection ends.
func (h *Hub) hear(p *peer, conn *protocol.Conn) error {
	watch := time.NewTimer(h.Silence)
	defer watch.Stop()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-watch.C:
				left := h.Silence - conn.Silence()
				if left <= 0 {
					conn.Close()
					return
				}
				watch.Reset(left)
			case <-stop:
				return
			}
		}
	}()
	for {
		f, err := conn.Read(protocol.MaxFrame)
		if err != nil {
			return err
		}
		if err := h.take(p, conn, f); err != nil {
			return err
		}
	}
}

func (h *Hub) take(p *peer, conn *protocol.Conn, f protocol.Frame) error {
	switch f.Kind {
	case protocol.KindReady:
		r, err := protocol.Unpack[protocol.Ready](f)
		if err == nil {
			h.readied(p, conn, r)
		}
		return err
	case protocol.KindAlive:
		a, err := protocol.Unpack[protocol.Alive](f)
		if err == nil {
			h.mu.Lock()
			p.unkept = a.Held
			h.mu.Unlock()
			err = conn.Say(protocol.KindAnswer, protocol.Alive{N: a.N})
		}
		return err
	case protocol.KindDone:
		id, ex, err := protocol.UnpackDone(f)
		if err == nil {
			ex.Worker = p.name
			h.done(p, id, answer{ex, p})
		}
		return err
	case protocol.KindBegun:
		b, err := protocol.Unpack[protocol.IDs](f)
		h.begun(p, b.IDs)
		return err
	case protocol.KindNotSent:
		n, err := protocol.Unpack[protocol.NotSent](f)
		if err == nil {
			h.notSent(p, conn, n)
		}
		return err
	case protocol.KindDraining:
		h.mu.Lock()
		p.draining = true
		h.workersChanged()
		h.lookUp(p)
		h.mu.Unlock()
		h.Log.Info("worker " + p.name + " drains")
		return nil
	}
	return protocol.ErrDamaged
}

// readied takes in what a worker holds and can send. Later words of it on the
// same connection only add accounts. What came over an earlier connection is old.
func (h *Hub) readied(p *peer, conn *protocol.Conn, r protocol.Ready) {
	h.mu.Lock()
	if p.conn != conn {
		h.mu.Unlock()
		return
	}
	first, said := !p.ready, p.missing
	if first {
		said = nil
	}
	p.ready, p.missing = true, r.Missing
	if first {
		p.holds = map[string]bool{}
		for _, id := range r.Held {
			if h.ours(id) {
				p.holds[id] = true
			}
		}
		h.reconcile(p)
		h.keepAgain(p)
	}
	told := h.takeAccounts(p, r.Accounts)
	h.workersChanged()
	n := len(r.Held)
	h.mu.Unlock()
	for _, tell := range told {
		tell()
	}
	if first {
		h.Log.Info(fmt.Sprintf("worker %s came: %s, %s in its spool or in flight", p.name,
			words.Counted(int64(p.slots), "slot"), words.Counted(int64(n), "answer")))
	}
	for _, m := range r.Missing {
		if slices.Contains(said, m) {
			continue
		}
		h.Log.Warn(fmt.Sprintf("worker %s cannot send to %s: %s", p.name, h.endpointName(m.Endpoint), m.Why))
	}
}

// endpointName is what the plan calls an endpoint.
func (h *Hub) endpointName(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.endpoints {
		if e.ID == id {
			return e.Endpoint.Endpoint.Name
		}
	}
	return id
}

// reconcile compares what a worker holds with what it was given: what the same
// process does not have it has not begun, and never will. What another process
// under the name has in its spool is taken over from it.
func (h *Hub) reconcile(p *peer) {
	for _, k := range h.attempts {
		if k.state != flying || k.peer == nil || k.peer.name != p.name {
			continue
		}
		switch {
		case p.holds[k.id]:
			k.peer.inFlight--
			k.peer = p
			p.inFlight++
		case k.peer == p:
			h.back(k, "the connection ended before it was begun")
		}
	}
}

// keepAgain says once more what the worker may not have heard.
func (h *Hub) keepAgain(p *peer) {
	var again []string
	for _, id := range p.keptSaid {
		if p.holds[id] {
			again = append(again, id)
		}
	}
	if p.keptSaid = nil; again != nil {
		p.keep(again)
	}
}

// back ends a flight that was never begun; h.mu is held.
func (h *Hub) back(k *attempt, why string) {
	k.peer.inFlight--
	delete(h.attempts, k.id)
	k.result <- verdict{notSent: why}
	h.note()
}

// lookUpAfter is how long answers are gathered that a worker brings.
const lookUpAfter = time.Second

// lookUp finds out which answers of earlier starts are on record, so that a worker
// that drains need not keep them: the hub may have ended before it said so. Those of
// rows that are still open are asked for by the rows. h.mu is held.
func (h *Hub) lookUp(p *peer) {
	if h.OnRecord == nil || !p.draining || p.lookingUp {
		return
	}
	p.lookingUp = true
	time.AfterFunc(lookUpAfter, func() {
		h.mu.Lock()
		p.lookingUp = false
		ids := map[string]bool{}
		for id, k := range h.attempts {
			if k.peer == p && h.fromBefore(k) {
				ids[id] = true
			}
		}
		h.mu.Unlock()
		if len(ids) == 0 {
			return
		}
		err := h.OnRecord(func(log string) {
			jobs, _ := attemptlog.Jobs(log)
			if slices.ContainsFunc(jobs, func(id string) bool { return ids[id] }) {
				h.foundOnRecord(log)
			}
		})
		if err != nil {
			h.Log.Warn("it is not known whether answers of worker "+p.name+" are on record", "error", err)
		}
	})
}

// fromBefore reports whether an attempt is one of an earlier start whose answer
// nobody has asked for; h.mu is held.
func (h *Hub) fromBefore(k *attempt) bool { return k.state == held && !h.ofThisStart(k.id) }

// foundOnRecord lets go of answers that the log of a record has. Those that it has as
// unknown are [Hub.Durable]'s.
func (h *Hub) foundOnRecord(log string) {
	attempts, err := attemptlog.Parse(log)
	if err != nil {
		return // it is no log of ours
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range attempts {
		if k := h.attempts[a.Job]; k != nil && h.fromBefore(k) && a.Class != nightshift.ClassUnknownOutcome {
			delete(h.attempts, a.Job)
			k.peer.keep([]string{a.Job})
		}
	}
}

// leave notes that a connection has ended. The worker has a while to come back.
func (h *Hub) leave(p *peer, conn *protocol.Conn, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.conn != conn {
		return // it is back already, over another
	}
	p.conn, p.left = nil, time.Now()
	p.seen.LastSeen = p.left.Add(-conn.Silence())
	h.workersChanged()
	if h.closed {
		return
	}
	switch {
	case p.draining && p.inFlight == 0:
		h.Log.Info("worker " + p.name + " has drained and left")
	case err == nil || errors.Is(err, io.EOF):
		h.Log.Warn(fmt.Sprintf("worker %s has left with %s in flight", p.name,
			words.Counted(int64(p.inFlight), "request")))
	case conn.Silence() >= h.Silence:
		h.Log.Warn(fmt.Sprintf("worker %s has said nothing for %s, with %s in flight", p.name, h.Silence,
			words.Counted(int64(p.inFlight), "request")))
	default:
		h.Log.Warn(fmt.Sprintf("the connection to worker %s has ended with %s in flight: %v", p.name,
			words.Counted(int64(p.inFlight), "request"), err))
	}
	time.AfterFunc(h.Back, func() { h.gone(p) })
}

// gone gives up what a worker has that has not come back.
func (h *Hub) gone(p *peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.conn != nil || time.Since(p.left) < h.Back {
		return
	}
	n := 0
	for _, k := range h.attempts {
		if k.peer == p && k.state == flying {
			h.lose(k, "worker "+p.name+" was lost")
			p.inFlight--
			n++
		}
	}
	h.sayLost(p, n)
	h.peers = slices.DeleteFunc(h.peers, func(o *peer) bool { return o == p })
	h.forgetGone()
	h.workersChanged()
}
