package batching

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"nightshift"
)

// A server makes vectors of at most so many texts, and refuses some.
type server struct {
	mu       sync.Mutex
	most     int
	refuses  string   // texts that hold it
	requests []string // sizes
}

// Complete implements the provider: 1 token and 10 nano-dollars a byte.
func (s *server) Complete(_ context.Context, req nightshift.Request) (nightshift.Response, error) {
	texts := req.Texts
	if texts == nil {
		texts = []string{req.Messages[0].Text}
	}
	s.mu.Lock()
	s.requests = append(s.requests, fmt.Sprint(len(texts)))
	s.mu.Unlock()
	n := len(req.Attempts) + 1
	if err := req.AttemptLog.Sending(nightshift.Intent{Attempt: n, WorstTokens: 101, WorstCost: 1001}); err != nil {
		return nightshift.Response{}, err
	}
	a := nightshift.Attempt{N: n, Status: 200}
	resp := nightshift.Response{Attempts: slices.Clone(req.Attempts)}
	var err error
	for _, text := range texts {
		if s.refuses != "" && strings.Contains(text, s.refuses) {
			err = &nightshift.Error{Class: nightshift.ClassContextLength, Message: "too long"}
		}
	}
	if len(texts) > s.most {
		err = &nightshift.Error{Class: nightshift.ClassTooLarge}
	}
	zero := nightshift.NanoUSD(0)
	a.Cost = &zero
	if err == nil {
		bytes := 0
		for _, text := range texts {
			bytes += len(text)
			resp.Vectors = append(resp.Vectors, nightshift.Vector{float32(len(text))})
		}
		cost := nightshift.NanoUSD(10*bytes + 7)
		a.Usage, a.Cost = nightshift.Usage{Input: nightshift.Tokens(int64(bytes) + 3), Output: nightshift.Tokens(0)}, &cost
		resp.Usage, resp.Cost, resp.Raw = a.Usage, &cost, []byte("body")
	}
	resp.Attempts = append(resp.Attempts, a)
	return resp, err
}

// log notes what a row's journal is told.
type log struct {
	sent    []int
	tokens  int64
	failed  int
	refuses bool
}

func (l *log) Sending(in nightshift.Intent) error {
	l.sent, l.tokens = append(l.sent, in.Attempt), l.tokens+in.WorstTokens
	if l.refuses {
		return fmt.Errorf("disk full")
	}
	return nil
}
func (l *log) Accepted(nightshift.Intent) error { return nil }
func (l *log) Failed(nightshift.Attempt) error  { l.failed++; return nil }

func ask(text string, l *log) nightshift.Request {
	return nightshift.Request{Model: "m", Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: text}},
		AttemptLog: l}
}

type answered struct {
	resp nightshift.Response
	err  error
	log  *log
}

func all(b *Batcher, texts []string) []answered {
	out := make([]answered, len(texts))
	var wait sync.WaitGroup
	for i, text := range texts {
		out[i].log = &log{}
		wait.Go(func() { out[i].resp, out[i].err = b.Complete(context.Background(), ask(text, out[i].log)) })
	}
	wait.Wait()
	return out
}

// Rows get their own vectors and shares that add up, from full batches and from
// the rest, which goes when its time is up.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{most: 10}
		var texts []string
		bytes := 0
		for i := range 25 {
			texts = append(texts, strings.Repeat("x", 1+i*i%17))
			bytes += len(texts[i])
		}
		var tokens, cost, worst int64
		for i, a := range all(&Batcher{Provider: s, Size: 10}, texts) {
			if a.err != nil || len(a.resp.Vectors) != 1 || a.resp.Vectors[0][0] != float32(len(texts[i])) || a.resp.Raw != nil {
				t.Fatalf("row %d: %v, %v", i, a.resp.Vectors, a.err)
			}
			if len(a.resp.Attempts) != 1 || len(a.log.sent) != 1 || a.resp.Attempts[0].Usage != a.resp.Usage {
				t.Errorf("row %d: %+v", i, a.resp.Attempts)
			}
			tokens += a.resp.Usage.InputTotal().N()
			cost += int64(*a.resp.Cost)
			worst += a.log.tokens
		}
		if n := int64(len(s.requests)); n != 3 || tokens != int64(bytes)+3*n || cost != int64(10*bytes)+7*n ||
			worst != 101*n {
			t.Errorf("%v: %d tokens, %d nano-dollars, worst %d", s.requests, tokens, cost, worst)
		}
	})
}

// A server that takes fewer texts is given halves; a text that is refused fails
// alone, and no other row with it.
func TestHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{most: 3, refuses: "bad"}
		texts := []string{"a", "bb", "ccc", "bad", "e", "ff", "ggg", "hhhh"}
		var cost int64
		for i, a := range all(&Batcher{Provider: s, Size: 8}, texts) {
			if bad := texts[i] == "bad"; (a.err != nil) != bad || !bad && a.resp.Vectors[0][0] != float32(len(texts[i])) {
				t.Errorf("%s: %v %v", texts[i], a.resp.Vectors, a.err)
			}
			for n, at := range a.resp.Attempts {
				if at.N != n+1 || a.log.sent[n] != n+1 {
					t.Errorf("%s: attempt %d has the number %d", texts[i], n+1, at.N)
				}
			}
			if a.resp.Cost != nil {
				cost += int64(*a.resp.Cost)
			}
		}
		if s.requests[0] != "8" || cost == 0 {
			t.Errorf("%v", s.requests)
		}
	})
}

// What cannot share a request goes alone.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{most: 10}
		b := &Batcher{Provider: s, Size: 10}
		resumed := ask("a", &log{})
		resumed.Attempts = []nightshift.Attempt{{N: 1}}
		params := ask("c", &log{})
		params.Params = []nightshift.Param{{Name: "dimensions", Value: []byte("8")}}
		var wait sync.WaitGroup
		for _, req := range []nightshift.Request{resumed, ask("b", &log{}), params} {
			wait.Go(func() {
				if r, err := b.Complete(context.Background(), req); err != nil || len(r.Vectors) != 1 ||
					slices.Contains(r.Flags, flagBatched) {
					t.Errorf("%v, %v", r, err)
				}
			})
		}
		wait.Wait()
		if len(s.requests) != 3 {
			t.Errorf("%v", s.requests)
		}
	})
}

// An error of the journal, or one that is nobody's text, is every row's.
func TestErrorsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Batcher{Provider: &server{most: 10}, Size: 2}
		first := make(chan error)
		go func() {
			_, err := b.Complete(context.Background(), ask("a", &log{refuses: true}))
			first <- err
		}()
		_, err := b.Complete(context.Background(), ask("b", &log{}))
		if other := <-first; err == nil || other == nil {
			t.Errorf("%v, %v", err, other)
		}
		b = &Batcher{Provider: panics{}, Size: 2}
		for _, a := range all(b, []string{"a", "b"}) {
			if a.err == nil {
				t.Error("a panic is no error")
			}
		}
	})
}

type panics struct{}

func (panics) Complete(context.Context, nightshift.Request) (nightshift.Response, error) {
	panic("oops")
}

// FuzzShares: shares of any total add up to it.
func FuzzShares(f *testing.F) {
	f.Add(int64(1<<62), "a", "bbb", "")
	f.Add(int64(7), "", "", "")
	f.Fuzz(func(t *testing.T, total int64, a, b, c string) {
		items := []*item{{text: a}, {text: b}, {text: c}}
		split := splitter(items)
		sum := int64(0)
		for i := range items {
			n := split(total, i)
			if n < 0 {
				t.Fatalf("share %d", n)
			}
			sum += n
		}
		if want := max(total, 0); sum != want && len(a+b+c) > 0 {
			t.Fatalf("%d of %d", sum, want)
		}
	})
}
