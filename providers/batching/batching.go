// Package batching sends the texts of several rows in one request for vectors,
// and gives each row its vector and its share of what that used and cost.
package batching

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift"
)

// maxTexts is how many texts one request may hold, as OpenAI has it.
const maxTexts = 2048

// A Batcher is a [nightshift.Provider] for requests of one text each, which it
// sends on in requests of up to Size. A request that is refused for what is in
// it, or for its size, is sent again in two halves, until the text that is to
// blame is alone. What an attempt used and cost is shared out by the length of
// the texts, to the last token and nano-dollar. Requests that are more than a
// text, or have been sent before, go out alone.
type Batcher struct {
	Provider nightshift.Provider
	Size     int           // most texts in a request
	Wait     time.Duration // how long a text waits for others; 0 means 20 ms

	mu      sync.Mutex
	waiting map[string]*batch // by what the texts of a request must have in common
}

const defaultWait = 20 * time.Millisecond

// A batch is texts that will be sent together.
type batch struct {
	ctx   context.Context
	items []*item
	timer *time.Timer
}

// An item is one row's request on its way.
type item struct {
	req      nightshift.Request
	text     string
	attempts []nightshift.Attempt // its shares
	done     chan result
}

type result struct {
	resp nightshift.Response
	err  error
}

// Complete implements [nightshift.Provider].
func (b *Batcher) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	text, ok := onlyText(req)
	if !ok || b.Size < 2 {
		return b.Provider.Complete(ctx, req)
	}
	it := &item{req: req, text: text, done: make(chan result, 1)}
	if full := b.add(ctx, it); full != nil {
		go b.send(full.ctx, full.items, nil)
	}
	r := <-it.done
	return r.resp, r.err
}

// onlyText is the text that a request is, where it is nothing else.
func onlyText(req nightshift.Request) (text string, ok bool) {
	if req.Body != nil || req.Texts != nil || req.System != "" || len(req.Messages) != 1 || len(req.Attempts) > 0 {
		return "", false
	}
	m := req.Messages[0]
	return m.Text, m.Raw == nil && m.Role == nightshift.RoleUser && m.Text != ""
}

// common is what texts must agree in to go into one request.
func common(req nightshift.Request) string {
	var s strings.Builder
	s.WriteString(req.Model)
	for _, p := range req.Params {
		s.WriteString("\x00" + p.Name + "\x00" + string(p.Value))
	}
	return s.String()
}

// add puts an item into the batch that is filling, and returns that batch once
// it is full.
func (b *Batcher) add(ctx context.Context, it *item) (full *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := common(it.req)
	filling := b.waiting[key]
	if filling == nil {
		filling = &batch{ctx: ctx}
		wait := b.Wait
		if wait == 0 {
			wait = defaultWait
		}
		filling.timer = time.AfterFunc(wait, func() {
			if b.take(key, filling) {
				b.send(filling.ctx, filling.items, nil)
			}
		})
		if b.waiting == nil {
			b.waiting = map[string]*batch{}
		}
		b.waiting[key] = filling
	}
	filling.items = append(filling.items, it)
	if len(filling.items) < min(b.Size, maxTexts) {
		return nil
	}
	filling.timer.Stop()
	delete(b.waiting, key)
	return filling
}

// take removes a batch whose time is up; false when it is on its way already.
func (b *Batcher) take(key string, old *batch) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting[key] != old {
		return false
	}
	delete(b.waiting, key)
	return true
}

// send asks for the vectors of items, whose earlier attempts together are
// history.
func (b *Batcher) send(ctx context.Context, items []*item, history []nightshift.Attempt) {
	req := items[0].req
	req.AttemptLog = sharedLog(items)
	if len(items) > 1 {
		req.Messages, req.Texts = nil, textsOf(items)
		req.Key = keyOf(req.Key, len(items))
	}
	req.Attempts, req.Settled = history, len(history)
	resp, err := b.complete(ctx, req)
	for _, a := range resp.Attempts[min(len(history), len(resp.Attempts)):] {
		for i, share := range shares(a, items) {
			items[i].attempts = append(items[i].attempts, share)
		}
	}
	if half := len(items) / 2; half > 0 && divisible(err) {
		var both sync.WaitGroup
		both.Go(func() { b.send(ctx, items[:half], resp.Attempts) })
		b.send(ctx, items[half:], resp.Attempts)
		both.Wait()
		return
	}
	for i, it := range items {
		it.done <- result{it.answer(resp, i, len(items), shareOf(resp.Usage, items)), copied(err)}
	}
}

// complete asks the provider. A panic below is an error of these rows.
func (b *Batcher) complete(ctx context.Context, req nightshift.Request) (resp nightshift.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &nightshift.Error{
				Class: nightshift.ClassPanic, Message: fmt.Sprint(p), Hint: "this is a bug in nightshift", MaybeBilled: true,
			}
		}
	}()
	return b.Provider.Complete(ctx, req)
}

func textsOf(items []*item) []string {
	texts := make([]string, len(items))
	for i, it := range items {
		texts[i] = it.text
	}
	return texts
}

// keyOf names a request of several rows for gateways that honour keys: by the
// first of them and how many there are, so that halves have keys of their own.
func keyOf(first string, n int) string {
	if first == "" {
		return ""
	}
	return first + "/" + strconv.Itoa(n)
}

// divisible reports whether an error may be the fault of some of the texts, or
// of their number.
func divisible(err error) bool {
	var stop *nightshift.StopError
	var e *nightshift.Error
	if errors.As(err, &stop) || !errors.As(err, &e) {
		return false
	}
	switch e.Class {
	case nightshift.ClassInvalidRequest, nightshift.ClassTooLarge, nightshift.ClassContextLength,
		nightshift.ClassExceedsLimit, nightshift.ClassContentPolicy, nightshift.ClassTooLong:
		return true
	case nightshift.ClassBadResponse:
		return e.Code == "vectors_missing" || e.Code == "bad_vectors"
	}
	return false
}

// copied is an error that no other row shares.
func copied(err error) error {
	if e, ok := err.(*nightshift.Error); ok {
		own := *e
		return &own
	}
	return err
}

// flagBatched says that tokens and cost are the row's share of a request for
// several rows.
const flagBatched = "batched"

// answer is what a request brought for one of its n texts, the one at i.
func (it *item) answer(whole nightshift.Response, i, n int, usage func(int) nightshift.Usage) nightshift.Response {
	r := whole
	if len(it.attempts) > 0 {
		r.Attempts = it.attempts
	}
	r.Flags = append([]string(nil), whole.Flags...)
	if n > 1 {
		r.Raw, r.UsageRaw = nil, nil // of all rows together
		r.Usage, r.Vectors = usage(i), nil
		r.Flag(flagBatched)
		if len(whole.Vectors) == n {
			r.Vectors = whole.Vectors[i : i+1]
		}
	}
	r.Cost = costOf(r.Attempts, whole.Cost != nil)
	return r
}

// costOf is the sum over attempts; nil where one is not known.
func costOf(attempts []nightshift.Attempt, known bool) *nightshift.NanoUSD {
	var sum nightshift.NanoUSD
	for _, a := range attempts {
		if a.Cost == nil || a.WorstTokens > 0 || a.WorstCost > 0 {
			return nil
		}
		sum += *a.Cost
	}
	if !known {
		return nil
	}
	return &sum
}

// sharedLog writes the attempts of a request into the logs of all its rows.
type sharedLog []*item

// Sending implements [nightshift.AttemptLog].
func (l sharedLog) Sending(in nightshift.Intent) error {
	return l.each(in, nightshift.AttemptLog.Sending)
}

// Accepted implements [nightshift.AttemptLog].
func (l sharedLog) Accepted(in nightshift.Intent) error {
	return l.each(in, nightshift.AttemptLog.Accepted)
}

// each writes a row's share of an intent into its log.
func (l sharedLog) each(in nightshift.Intent, write func(nightshift.AttemptLog, nightshift.Intent) error) error {
	split := splitter(l)
	for i, it := range l {
		if it.req.AttemptLog == nil {
			continue
		}
		own := in
		own.WorstTokens = split(in.WorstTokens, i)
		own.WorstCost = nightshift.NanoUSD(split(int64(in.WorstCost), i))
		if err := write(it.req.AttemptLog, own); err != nil {
			return err
		}
	}
	return nil
}

// Failed implements [nightshift.AttemptLog].
func (l sharedLog) Failed(a nightshift.Attempt) error {
	for i, share := range shares(a, l) {
		if log := l[i].req.AttemptLog; log != nil {
			if err := log.Failed(share); err != nil {
				return err
			}
		}
	}
	return nil
}
