package wire

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats"
)

// How an answer that is made in the background is asked for.
const (
	firstPoll = time.Second
	lastPoll  = 15 * time.Second // the longest wait between two
	// pollPatience is how long the server may fail to say anything about an
	// answer before that is given up. Vendors keep answers for about as long.
	pollPatience = 15 * time.Minute
	// backgroundTotal is how long an answer may take where no timeout is set.
	backgroundTotal = 24 * time.Hour
	cancelTime      = 10 * time.Second // for the server to take a cancellation
)

// inBackground returns the id of an answer that the server is still making,
// and goes on with; empty for any other outcome.
func (a *attempt) inBackground() string {
	e := a.ex.Err
	if e == nil || e.Code != providers.CodeNotReady {
		return ""
	}
	if a.prepared.Accepted == nil && !a.asksForIt() {
		return ""
	}
	return a.ex.Response.ID
}

// asksForIt reports whether the request itself asks for the background.
func (a *attempt) asksForIt() bool {
	f, ok := a.wire.format.(formats.BackgroundFormat)
	doc := rawjson.Borrow()
	defer doc.Return()
	root, err := doc.Scan(a.prepared.Body)
	return ok && err == nil && f.Background(root)
}

// A job is an answer that a server makes in the background.
type job struct {
	*Wire
	prepared providers.Prepared
	target   *url.URL
	started  time.Time
	total    time.Duration
	failing  time.Time // since when the server says nothing of it; zero while it does
}

// follow asks for an answer by its id until it is there. A lost connection
// loses nothing. What is given up is cancelled at the server.
func (w *Wire) follow(ctx context.Context, p providers.Prepared, id string) providers.Exchange {
	if p.Accepted != nil {
		p.Accepted(id)
	}
	at, err := w.target(p)
	if err != nil {
		return providers.Exchange{Err: &nightshift.Error{Class: nightshift.ClassInvalidRequest, Message: err.Error()}}
	}
	j := job{Wire: w, prepared: p, target: at.JoinPath(url.PathEscape(id)), started: time.Now(),
		total: w.endpoint.Timeouts.Total}
	if j.total <= 0 {
		j.total = backgroundTotal
	}
	ex := j.follow(ctx, p.Job != "")
	ex.Sent = true
	ex.Response.Latency = time.Since(j.started)
	return ex
}

// follow polls. An answer of an earlier process may be there already.
func (j *job) follow(ctx context.Context, atOnce bool) providers.Exchange {
	wait := firstPoll
	if atOnce {
		wait = 0
	}
	for {
		if e := j.pause(ctx, wait); e != nil {
			return j.giveUp(ctx, e)
		}
		ex := j.ask(ctx, http.MethodGet, j.target)
		if ctx.Err() == nil && j.pending(&ex) {
			wait = max(min(time.Since(j.started)/10, lastPoll), firstPoll, ex.Limits.RetryAfter)
			continue
		}
		if ctx.Err() != nil && ex.Err != nil {
			return j.giveUp(ctx, j.cancelled(ctx))
		}
		return ex
	}
}

// pause waits; the error says why the answer is not waited for any longer.
func (j *job) pause(ctx context.Context, wait time.Duration) *nightshift.Error {
	left := j.total - time.Since(j.started)
	timer := time.NewTimer(min(wait, left))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return j.cancelled(ctx)
	case <-timer.C:
	}
	if wait > left {
		late := &timeout{nightshift.ClassTimeoutTotal, j.total}
		return &nightshift.Error{Class: late.class, Message: late.Error(), MaybeBilled: true}
	}
	return nil
}

func (j *job) cancelled(ctx context.Context) *nightshift.Error {
	return &nightshift.Error{
		Class: nightshift.ClassCancelled, Message: "cancelled: " + context.Cause(ctx).Error(), MaybeBilled: true,
	}
}

// ask makes one request about the answer.
func (j *job) ask(ctx context.Context, method string, to *url.URL) providers.Exchange {
	p := providers.Prepared{Hash: j.prepared.Hash, Model: j.prepared.Model, Choices: j.prepared.Choices}
	return j.exchange(ctx, func(k *keyed) *attempt {
		return &attempt{wire: j.Wire, prepared: p, method: method, to: to, keyed: k}
	}).ex
}

// pending reports whether the answer is to be asked for again: it is not there
// yet, or the server could not say. It settles what is to be thought of an
// exchange that is not.
func (j *job) pending(ex *providers.Exchange) bool {
	e := ex.Err
	switch {
	case e == nil:
		return false
	case e.Code == providers.CodeNotReady:
		j.failing = time.Time{}
		return true
	case ex.Response.ID != "": // it is there, and is an error
		return false
	case e.Status == http.StatusNotFound:
		ex.Err = &nightshift.Error{
			Class: nightshift.ClassCut, Status: e.Status, MaybeBilled: true,
			Message: "the server no longer has the answer that it made in the background: " + e.Message,
		}
		return false
	}
	e.MaybeBilled = true
	if j.failing.IsZero() {
		j.failing = time.Now()
	}
	return providers.PolicyOf(e).Retry && time.Since(j.failing) < pollPatience
}

// giveUp cancels the answer at the server, so that nobody pays for what nobody
// reads. One that was complete by then is taken.
func (j *job) giveUp(ctx context.Context, why *nightshift.Error) providers.Exchange {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	ex := j.ask(ctx, http.MethodPost, j.target.JoinPath("cancel"))
	if ex.Err != nil {
		ex.Err = why
	}
	return ex
}
