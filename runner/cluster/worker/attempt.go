package worker

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
	"nightshift/runner/cluster/protocol"
)

// An account is an endpoint with this worker's key, or why there is none.
type account struct {
	wire    providers.Wire
	mark    string
	private bool
	err     error
}

// openAll opens endpoints that are not open yet; w.mu is held.
func (w *worker) openAll(list []protocol.Endpoint) {
	for _, e := range list {
		if _, known := w.wires[e.ID]; known {
			continue
		}
		a := w.open(e)
		if a.err != nil {
			w.Log.Warn("cannot send to "+e.Endpoint.Name, "why", a.err)
		}
		w.wires[e.ID] = a
		w.opened = append(w.opened, e)
	}
}

func (w *worker) open(e protocol.Endpoint) account {
	end := e.Endpoint
	url, private := w.Private[end.Name]
	if private {
		end.BaseURL = url
	}
	if end.Auth.Command != "" && !w.AllowCommands {
		return account{err: errors.New("its key is printed by a program that the hub names; --allow-commands permits that")}
	}
	wire, key, err := w.Open(end)
	if err != nil {
		return account{err: err}
	}
	w.know(key)
	return account{wire: wire, mark: markOf(w.run, key), private: private}
}

// know adds a key to those that are taken out of everything that leaves; w.mu
// is held.
func (w *worker) know(key secrets.Secret) {
	if !key.IsZero() && !slices.Contains(w.known, key) {
		w.known = append(w.known, key)
		w.redactor = secrets.NewRedactor(w.known...)
	}
}

// markOf tells accounts apart without telling their keys.
func markOf(run string, key secrets.Secret) string {
	if key.IsZero() {
		return ""
	}
	m := hmac.New(sha256.New, []byte(key.Reveal()))
	_, _ = m.Write([]byte(run)) // never fails
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// openWire opens the wire of an endpoint with the key that is found here.
func (w *worker) openWire(e providers.Endpoint) (providers.Wire, secrets.Secret, error) {
	key, err := e.Auth.Key()
	if err != nil {
		return nil, key, err
	}
	c := wire.Config{Endpoint: e, Key: key, Concurrency: w.Slots}
	if e.Auth.Changes() {
		c.ReadKey = func() (secrets.Secret, error) {
			again, err := e.Auth.Key()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.know(again)
			return again, err
		}
	}
	opened, err := wire.New(c)
	return opened, key, err
}

// do begins an attempt, or says that it does not.
func (w *worker) do(calls context.Context, s *session, d protocol.Do, p providers.Prepared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, flying := w.flying[d.ID]; flying {
		return // it was said twice
	}
	if _, held := w.spool.frame(d.ID); held {
		w.report(s, d.ID)
		return
	}
	if why := w.unable(s, d); why != "" {
		_ = s.conn.Say(protocol.KindNotSent, protocol.NotSent{ID: d.ID, Why: why})
		return
	}
	if d.Prepared.Begun {
		p.Begun = func() { w.begun(d.ID) }
	}
	ctx, cancel := context.WithCancel(calls)
	w.flying[d.ID] = &flight{cancel}
	go w.send(ctx, d.ID, w.wires[d.Endpoint].wire, p)
}

// begun says that an answer has begun to come. Where that is lost, the hub learns
// it from the answer.
func (w *worker) begun(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		_ = w.session.conn.Say(protocol.KindBegun, protocol.IDs{IDs: []string{id}})
	}
}

// unable is why an attempt cannot be begun now; w.mu is held.
func (w *worker) unable(s *session, d protocol.Do) string {
	a, known := w.wires[d.Endpoint]
	switch {
	case w.session != s:
		return "the connection has ended"
	case w.Clock()-s.answered >= leaseBeats*w.Beat:
		return "the lease is over"
	case w.draining:
		return "the worker drains"
	case !known || a.err != nil:
		return "the worker has no such endpoint"
	case len(w.flying) >= w.Slots:
		return "no slot is free"
	}
	if err := w.spool.failing(); err != nil {
		return "the spool cannot be written: " + err.Error()
	}
	return ""
}

// send makes one attempt, puts the answer into the spool and reports it.
func (w *worker) send(ctx context.Context, id string, to providers.Wire, p providers.Prepared) {
	ex := to.Send(ctx, p)
	if ctx.Err() != nil {
		ex = givenUp(ex)
	}
	f := w.pack(id, ex)
	err := w.spool.keep(id, f)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.Log.Error("the spool cannot be written: answers are kept in memory, and nothing new is begun", "error", err)
	}
	w.flying[id].cancel()
	delete(w.flying, id)
	if w.session != nil {
		_ = w.session.conn.Send(f) // a connection that has ended is followed by another
	}
	w.note()
}

// pack makes the message that brings an answer, without any key. One that is too
// large comes without its raw body, or as the failure that it is.
func (w *worker) pack(id string, ex providers.Exchange) protocol.Frame {
	f, err := protocol.PackDone(id, ex)
	if err == nil && size(f) > protocol.MaxFrame/2 {
		ex.Response.Raw = nil
		ex.Response.Flag("raw_dropped")
		f, err = protocol.PackDone(id, ex)
	}
	if err != nil || size(f) > protocol.MaxFrame/2 {
		why := &nightshift.Error{Class: nightshift.ClassTooLong, MaybeBilled: ex.Sent,
			Message: "the answer is too large to be brought to the hub"}
		if err != nil {
			why.Class, why.Message = nightshift.ClassBadResponse, "the answer cannot be brought to the hub: "+err.Error()
		}
		ex = providers.Exchange{Sent: ex.Sent, Err: why,
			Response: nightshift.Response{Usage: ex.Response.Usage, Status: ex.Response.Status}}
		f, _ = protocol.PackDone(id, ex)
	}
	if w.keys().Contains(f.Head) {
		f, _ = protocol.PackDoneAsText(id, ex)
	}
	f, changed := w.redact(f)
	if !changed {
		return f
	}
	if _, _, err := protocol.UnpackDone(f); err != nil {
		f, _ = protocol.PackDone(id, providers.Exchange{Sent: ex.Sent, Err: &nightshift.Error{
			Class: nightshift.ClassBadResponse, MaybeBilled: ex.Sent,
			Message: "the answer cannot be read any more without the keys that were in it"}})
	}
	return f
}

func size(f protocol.Frame) (n int) {
	n = len(f.Head)
	for _, b := range f.Blobs {
		n += len(b)
	}
	return n
}

// keys finds every key of this worker.
func (w *worker) keys() *secrets.Redactor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.redactor
}

// redact takes every key of this worker out of a message, not only that of the
// endpoint that answered.
func (w *worker) redact(f protocol.Frame) (_ protocol.Frame, changed bool) {
	red := w.keys()
	changed = red.Contains(f.Head)
	f.Head = red.Live(f.Head)
	for i, b := range f.Blobs {
		changed = changed || red.Contains(b)
		f.Blobs[i] = red.Live(b)
	}
	return f, changed
}

// cancel gives attempts up.
func (w *worker) cancel(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if f := w.flying[id]; f != nil {
			f.cancel()
		}
	}
}
