package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"nightshift/runner/cluster/protocol"
)

// connect works over one connection until it ends, and says why it did. reached
// is true when the hub let the worker in.
func (w *worker) connect(calls context.Context) (reached bool, err error) {
	raw, err := w.Dial(calls)
	if err != nil {
		return false, err
	}
	conn := protocol.NewConn(raw)
	defer conn.Close()
	stop := context.AfterFunc(calls, conn.Close)
	defer stop()
	said := w.Clock()
	hello := protocol.Hello{Protocol: protocol.Version, Version: w.Version, Name: w.Name, Boot: w.boot,
		Slots: w.Slots, AllowSkew: w.AllowSkew}
	if err := conn.Say(protocol.KindHello, hello); err != nil {
		return false, err
	}
	late := time.AfterFunc(w.Patience, conn.Close)
	welcome, err := hear(conn)
	late.Stop()
	if err != nil {
		return false, err
	}
	s := &session{conn: conn, answered: said, said: map[int64]time.Duration{}}
	if err := w.begin(s, welcome); err != nil {
		return false, err
	}
	defer w.leave(s)
	go w.beat(s)
	return true, w.serve(calls, s)
}

// hear reads the hub's first word.
func hear(conn *protocol.Conn) (protocol.Welcome, error) {
	f, err := conn.Read(protocol.MaxFrame)
	if err != nil {
		return protocol.Welcome{}, err
	}
	switch f.Kind {
	case protocol.KindWelcome:
		return protocol.Unpack[protocol.Welcome](f)
	case protocol.KindRefusal:
		r, err := protocol.Unpack[protocol.Refusal](f)
		if err == nil {
			err = &r
		}
		return protocol.Welcome{}, err
	}
	return protocol.Welcome{}, protocol.ErrDamaged
}

// begin opens what the hub's run needs and says what is held. From here on a Do
// of an earlier connection begins nothing.
func (w *worker) begin(s *session, welcome protocol.Welcome) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if welcome.Epoch < w.epoch && welcome.Run == w.run {
		return fmt.Errorf("this hub is of an earlier start of the run (%d, %d was seen): it is left alone",
			welcome.Epoch, w.epoch)
	}
	if err := w.enter(welcome.Run); err != nil {
		return err
	}
	w.epoch = welcome.Epoch
	w.openAll(welcome.Endpoints)
	held := append(w.spool.ids(), slices.Collect(maps.Keys(w.flying))...)
	if err := s.conn.Say(protocol.KindReady, protocol.Ready{Held: held, Offer: w.offer()}); err != nil {
		return err
	}
	if w.draining {
		_ = s.conn.Say(protocol.KindDraining, struct{}{})
	}
	w.session = s
	for _, id := range w.spool.ids() {
		w.report(s, id)
	}
	w.note()
	w.Log.Info("working", "hub", welcome.Run, "start", welcome.Epoch, "held", len(held))
	return nil
}

// enter changes to another run's spool, once nothing of the last one is in flight.
func (w *worker) enter(run string) error {
	if run == w.run {
		return nil
	}
	if !plainName(run) {
		return protocol.ErrDamaged
	}
	if len(w.flying) > 0 {
		return errors.New("requests of another run are in flight")
	}
	next, damaged, err := openSpool(w.Spool, run)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	if damaged > 0 {
		w.Log.Error(fmt.Sprintf("%d pieces of the spool are damaged: those answers are lost unless they are on record",
			damaged))
	}
	if w.spool != nil {
		err = w.spool.close(false)
	}
	w.run, w.spool, w.epoch = run, next, 0
	w.opened, w.wires = nil, map[string]account{}
	return err
}

// plainName reports whether a run's id may be in a file name.
func plainName(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (w *worker) leave(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == s {
		w.session = nil
	}
	w.note()
}

// report says an answer again as it is in the spool; w.mu may be held.
func (w *worker) report(s *session, id string) {
	frame, ok := w.spool.frame(id)
	if !ok {
		return
	}
	f, err := protocol.Read(bufio.NewReader(bytes.NewReader(frame)), protocol.MaxFrame)
	if err == nil {
		_ = s.conn.Send(f) // a connection that has ended is followed by another
	}
}

// serve does what the hub says.
func (w *worker) serve(calls context.Context, s *session) error {
	done := make(chan struct{})
	defer close(done)
	go w.goWhenFinished(s, done)
	for {
		f, err := s.conn.Read(protocol.MaxFrame)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errors.New("the hub has closed the connection")
			}
			return err
		}
		if err := w.obey(calls, s, f); err != nil {
			return err
		}
	}
}

func (w *worker) obey(calls context.Context, s *session, f protocol.Frame) error {
	switch f.Kind {
	case protocol.KindAnswer:
		a, err := protocol.Unpack[protocol.Alive](f)
		w.renew(s, a.N)
		return err
	case protocol.KindDo:
		d, p, err := protocol.UnpackDo(f)
		if err == nil {
			w.do(calls, s, d, p)
		}
		return err
	case protocol.KindKept:
		k, err := protocol.Unpack[protocol.IDs](f)
		w.spool.forget(k.IDs)
		w.mu.Lock()
		w.note()
		w.mu.Unlock()
		return err
	case protocol.KindCancel:
		c, err := protocol.Unpack[protocol.IDs](f)
		w.cancel(c.IDs)
		return err
	case protocol.KindEndpoints:
		more, err := protocol.Unpack[protocol.Endpoints](f)
		if err == nil {
			w.mu.Lock()
			w.openAll(more.Endpoints)
			err = s.conn.Say(protocol.KindReady, protocol.Ready{Offer: w.offer()})
			w.mu.Unlock()
		}
		return err
	case protocol.KindEnd:
		return w.ended(f)
	}
	return protocol.ErrDamaged
}

// ended is the hub's last word. What is held is of no use any more when the run
// is complete, and else waits for the next start of the hub.
func (w *worker) ended(f protocol.Frame) error {
	end, err := protocol.Unpack[protocol.End](f)
	if err != nil {
		return err
	}
	w.mu.Lock()
	held := len(w.spool.ids())
	if end.Complete {
		w.spool.forget(w.spool.ids())
		w.run = "" // the next run opens its own
		w.mu.Unlock()
		return errEndOfTheRun
	}
	w.mu.Unlock()
	w.Log.Info("the hub has stopped; waiting for it to start again", "held", held)
	return errors.New("the hub has stopped")
}

// beat says that the worker is alive, and ends a connection whose hub does not
// answer.
func (w *worker) beat(s *session) {
	tick := time.NewTicker(w.Beat)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		w.mu.Lock()
		over := w.session != s
		now := w.Clock()
		lost := now-s.answered > w.Patience
		s.said[n] = now
		held := len(w.spool.ids())
		w.mu.Unlock()
		if lost && !over {
			s.conn.Close()
		}
		if over || lost || s.conn.Say(protocol.KindAlive, protocol.Alive{N: n, Held: held}) != nil {
			return
		}
		<-tick.C
	}
}

// renew begins the lease anew, from when the word was said that is answered.
func (w *worker) renew(s *session, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	said, ok := s.said[n]
	if !ok {
		return
	}
	s.answered = max(s.answered, said)
	maps.DeleteFunc(s.said, func(k int64, _ time.Duration) bool { return k <= n })
}

// goWhenFinished ends the connection of a worker that drains once nothing is
// left, so that it can go.
func (w *worker) goWhenFinished(s *session, done <-chan struct{}) {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if w.finished() {
			s.conn.Finish(w.Beat)
			return
		}
		select {
		case <-changed:
		case <-done:
			return
		}
	}
}
