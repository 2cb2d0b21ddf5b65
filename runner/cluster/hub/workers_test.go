package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/cluster/protocol"
	"nightshift/runner/cluster/worker"
)

// A scriptedWire answers as it is told.
type scriptedWire struct {
	takes time.Duration
	say   func() providers.Exchange

	mu   sync.Mutex
	sent []string
}

func (s *scriptedWire) Prepare(nightshift.Request) (providers.Prepared, error) {
	return providers.Prepared{}, errors.New("workers prepare nothing")
}

func (s *scriptedWire) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	s.mu.Lock()
	s.sent = append(s.sent, p.Attempt)
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
		return s.say()
	case <-ctx.Done():
		return providers.Exchange{Sent: true, Err: &nightshift.Error{Class: nightshift.ClassCancelled}}
	}
}

func (s *scriptedWire) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

func says(text string) func() providers.Exchange {
	return func() providers.Exchange {
		return providers.Exchange{Sent: true, Response: nightshift.Response{Text: &text, Status: 200, Raw: []byte(text)}}
	}
}

// A bench is a hub for one endpoint and the accounts that have come.
type bench struct {
	t   *testing.T
	hub *hub.Hub

	mu       sync.Mutex
	accounts []*hub.Account
}

func newBench(t *testing.T, o hub.Options) *bench {
	if o.Run == "" {
		o.Run, o.Version, o.Epoch = "run", "v", 1
	}
	b := &bench{t: t, hub: hub.New(o)}
	b.hub.Add("corp", providers.Endpoint{Name: "corp", Protocol: nightshift.Chat, BaseURL: "http://127.0.0.1:1/v1",
		Auth: providers.Auth{Env: "CORP_KEY"}}, func(a *hub.Account) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.accounts = append(b.accounts, a)
	}, func() {})
	return b
}

// first is the account that came first.
func (b *bench) first() *hub.Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[0]
}

func (b *bench) names() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.accounts {
		list = append(list, a.Account())
	}
	slices.Sort(list)
	return list
}

// options are those of a worker with a key, which connects to the bench's hub.
func (b *bench) options(name, key string, to providers.Wire) worker.Options {
	began := time.Now()
	return worker.Options{Name: name, Slots: 4, Spool: filepath.Join(b.t.TempDir(), name), Version: "v",
		Clock: func() time.Duration { return time.Since(began) },
		Open: func(providers.Endpoint) (providers.Wire, secrets.Secret, error) {
			return to, secrets.New(key), nil
		},
		Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go b.hub.ServeConn(there)
			return here, nil
		}}
}

// start runs a worker; the error with which it ends comes from the channel.
func (b *bench) start(o worker.Options) (ended chan error, drain, kill context.CancelFunc) {
	calls, kill := context.WithCancel(context.Background())
	waiting, drain := context.WithCancel(calls)
	ended = make(chan error, 1)
	go func() { ended <- worker.Run(calls, waiting, o) }()
	time.Sleep(time.Second)
	return ended, drain, kill
}

// bubble runs a test in simulated time, and lets everything end.
func bubble(t *testing.T, play func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		play(t)
		time.Sleep(5 * time.Minute)
	})
}

func (b *bench) send(a *hub.Account) providers.Exchange {
	return a.Send(b.t.Context(), providers.Prepared{Attempt: a.NewAttempt(), Body: []byte("{}"), Model: "m"})
}

// Workers with one key are one account, those with another are another, and an
// endpoint that one worker alone reaches is its own, as long as it is there.
func TestAccounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		own := &scriptedWire{say: says("own")}
		private := b.options("gpu", "key-one-123", own)
		private.Private = map[string]string{"corp": "http://127.0.0.1:8000/v1"}
		var kills []context.CancelFunc
		for _, o := range []worker.Options{b.options("w1", "key-one-123", &scriptedWire{say: says("1")}),
			b.options("w2", "key-one-123", &scriptedWire{say: says("2")}),
			b.options("w3", "key-two-456", &scriptedWire{say: says("3")}), private} {
			_, _, kill := b.start(o)
			kills = append(kills, kill)
		}
		names := b.names()
		if len(names) != 3 || names[2] != "worker gpu" {
			t.Fatalf("accounts %q, want two keys and gpu", names)
		}
		for _, a := range b.accounts {
			if a.Account() != "worker gpu" {
				continue
			}
			if ex := b.send(a); ex.Err != nil || ex.Worker != "gpu" || own.count() != 1 || a.Away() {
				t.Errorf("%+v by %s", ex.Err, ex.Worker)
			}
			kills[3]()
			time.Sleep(time.Second)
			if ex := b.send(a); !ex.Returned || !a.Away() {
				t.Errorf("without its worker: %+v", ex)
			}
			kills[3] = func() {}
			_, _, kills[3] = b.start(private)
			if ex := b.send(a); ex.Err != nil || a.Away() {
				t.Errorf("after it came back: %+v", ex)
			}
		}
		for _, kill := range kills {
			kill()
		}
	})
}

// No key leaves a worker, in whatever it comes, and none is in its spool.
func TestKeysStay(t *testing.T) {
	const canary = "sk-canary-\"quoted\"-0123456789"
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		text := "your key is " + canary
		wire := &scriptedWire{say: func() providers.Exchange {
			return providers.Exchange{
				Sent: true, Err: &nightshift.Error{Class: nightshift.ClassServer, Message: text, Code: canary},
				Response: nightshift.Response{Text: &text, Thinking: &text, Raw: []byte(text), Status: 500, RequestID: canary,
					ToolCalls: []nightshift.ToolCall{{Arguments: text}}, UsageRaw: []byte(text)}}
		}}
		o := b.options("w", canary, wire)
		_, _, kill := b.start(o)
		ex := b.send(b.first())
		f, err := protocol.PackDone("a", ex)
		if err != nil {
			t.Fatal(err)
		}
		whole := append(f.Head, bytes.Join(f.Blobs, nil)...)
		spool, err := os.ReadFile(filepath.Join(o.Spool, "spool-run.dat"))
		if err != nil || len(spool) == 0 {
			t.Fatalf("%d bytes in the spool, %v", len(spool), err)
		}
		if !strings.Contains(*ex.Response.Text, "***") {
			t.Errorf("the text is %q", *ex.Response.Text)
		}
		red := secrets.NewRedactor(secrets.New(canary))
		if red.Contains(whole) || red.Contains(spool) {
			t.Error("the key has left")
		}
		// An answer of the usual kind can still be read afterwards.
		wire.say = func() providers.Exchange {
			return providers.Exchange{Sent: true, Response: nightshift.Response{Text: &text, RequestID: canary, Status: 200}}
		}
		if ex = b.send(b.first()); ex.Err != nil || ex.Response.RequestID != "***" {
			t.Errorf("an answer with the key in its id: %q, %v", ex.Response.RequestID, ex.Err)
		}
		kill()
	})
}

// A worker that drains finishes what it has, waits until that is on record, and
// takes nothing new.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		slow := &scriptedWire{takes: 5 * time.Second, say: says("x")}
		ended, drain, _ := b.start(b.options("w", "", slow))
		a := b.first()
		attempt := a.NewAttempt()
		got := make(chan providers.Exchange, 1)
		go func() { got <- a.Send(t.Context(), providers.Prepared{Attempt: attempt, Body: []byte("{}")}) }()
		time.Sleep(time.Second)
		drain()
		time.Sleep(time.Second)
		if ex := b.send(a); !ex.Returned {
			t.Errorf("something new was taken: %+v", ex)
		}
		if ex := <-got; ex.Err != nil {
			t.Errorf("what was in flight: %v", ex.Err)
		}
		time.Sleep(10 * time.Second)
		select {
		case err := <-ended:
			t.Fatalf("it ended with %v before the answer was on record", err)
		default:
		}
		b.hub.Durable("", "m", []string{`[{"n":1,"job":"` + attempt + `"}]`})
		time.Sleep(10 * time.Second)
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it does not end")
		}
	})
}

// A lateEnd is a connection whose end is heard of a while after it.
type lateEnd struct{ net.Conn }

func (l lateEnd) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err != nil {
		time.Sleep(300 * time.Millisecond)
	}
	return n, err
}

// A worker that is started in the place of a killed one gets its name, also when the hub
// has not heard yet that the other's connection has ended.
func TestNameOfAKilledWorker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		options := func() worker.Options {
			o := b.options("w", "", &scriptedWire{say: says("x")})
			o.Dial = func(context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				go b.hub.ServeConn(lateEnd{there})
				return here, nil
			}
			return o
		}
		_, _, kill := b.start(options())
		kill()
		next, _, kill := b.start(options())
		defer kill()
		select {
		case err := <-next:
			t.Errorf("it ended: %v", err)
		default:
		}
	})
}

// A hub hears that an answer has begun where it waits for that, and hears nothing
// where it does not.
func TestBegun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		slow := &scriptedWire{takes: 5 * time.Second, say: says("x")}
		ended, drain, _ := b.start(b.options("w", "", beginning{slow}))
		a, sent := b.first(), time.Now()
		begun := time.Hour
		ex := a.Send(t.Context(), providers.Prepared{Attempt: a.NewAttempt(), Body: []byte("{}"),
			Begun: func() { begun = time.Since(sent) }})
		if ex.Err != nil || begun > time.Second {
			t.Errorf("it has begun after %v, %v", begun, ex.Err)
		}
		if ex := b.send(a); ex.Err != nil {
			t.Error(ex.Err)
		}
		drain()
		b.hub.Close(true)
		<-ended
	})
}

// A beginning wire begins its answer at once.
type beginning struct{ *scriptedWire }

func (b beginning) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	if p.Begun != nil {
		p.Begun()
	}
	return b.scriptedWire.Send(ctx, p)
}

// Who does not fit is told why, and does not come back.
func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		_, _, kill := b.start(b.options("w", "", &scriptedWire{say: says("x")}))
		defer kill()
		twin, _, _ := b.start(b.options("w", "", &scriptedWire{}))
		if err := <-twin; !errors.Is(err, worker.ErrNameTaken) {
			t.Errorf("the second of a name: %v", err)
		}
		other := b.options("old", "", &scriptedWire{})
		other.Version = "v0"
		var refused *protocol.Refusal
		ended, _, _ := b.start(other)
		if err := <-ended; !errors.As(err, &refused) || !strings.Contains(err.Error(), "v0") {
			t.Errorf("another version: %v", err)
		}
		other.AllowSkew, other.Name = true, "skewed"
		ended, _, stop := b.start(other)
		select {
		case err := <-ended:
			t.Errorf("another version that is allowed: %v", err)
		default:
		}
		stop()
	})
}

// A hub of an earlier start is left alone: what it says is old.
func TestEarlierHub(t *testing.T) {
	bubble(t, func(t *testing.T) {
		late := newBench(t, hub.Options{Run: "run", Version: "v", Epoch: 2})
		early := newBench(t, hub.Options{Run: "run", Version: "v", Epoch: 1})
		wire := &scriptedWire{say: says("x")}
		to := late
		o := late.options("w", "", wire)
		var mu sync.Mutex // of to and ends
		var ends []net.Conn
		o.Dial = func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, there)
			go to.hub.ServeConn(there)
			return here, nil
		}
		_, _, kill := late.start(o)
		mu.Lock()
		to = early
		ends[0].Close()
		mu.Unlock()
		time.Sleep(30 * time.Second)
		if n := len(early.names()); n != 0 {
			t.Error("the worker works for a hub of an earlier start")
		}
		kill()
	})
}

// Where a worker cannot reach the server others are asked, and nobody is charged.
func TestWorkerThatReachesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		deaf := &scriptedWire{say: func() providers.Exchange {
			return providers.Exchange{Err: &nightshift.Error{Class: nightshift.ClassConnection, Message: "no route to host"}}
		}}
		fine := &scriptedWire{takes: 50 * time.Millisecond, say: says("x")}
		_, _, kill := b.start(b.options("deaf", "", deaf))
		defer kill()
		_, _, kill2 := b.start(b.options("fine", "", fine))
		defer kill2()
		for range 40 {
			if ex := b.send(b.first()); ex.Err != nil || ex.Worker != "fine" {
				t.Fatalf("%v by %s", ex.Err, ex.Worker)
			}
		}
		if n := deaf.count(); n < 8 || n > 16 {
			t.Errorf("the worker that reaches nothing was asked %d times, want about 8 before it is left alone", n)
		}
	})
}

// The hub says what each worker has done: answers, refusals, failures, what was
// lost with it and what came after all, also once it is gone.
func TestWhatIsSaidOfWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		next := says("x")
		wire := &scriptedWire{takes: 50 * time.Millisecond, say: func() providers.Exchange { return next() }}
		o := b.options("w", "key", wire)
		o.Private = map[string]string{"corp": "http://127.0.0.1:8000/v1"}
		var away atomic.Bool
		dial, connections := o.Dial, make(chan net.Conn, 2)
		o.Dial = func(ctx context.Context) (net.Conn, error) {
			if away.Load() {
				return nil, errors.New("no way to the hub")
			}
			c, err := dial(ctx)
			connections <- c
			return c, err
		}
		_, _, kill := b.start(o)
		account := b.first()
		b.send(account)
		for _, class := range []nightshift.ErrorClass{nightshift.ClassRateLimit, nightshift.ClassServer} {
			next = func() providers.Exchange {
				return providers.Exchange{Sent: true, Err: &nightshift.Error{Class: class}}
			}
			b.send(account)
		}
		next, wire.takes = says("late"), time.Minute
		lost := make(chan providers.Exchange, 1)
		attempt := account.NewAttempt()
		go func() { lost <- account.Send(t.Context(), providers.Prepared{Attempt: attempt, Body: []byte("{}")}) }()
		time.Sleep(time.Second)
		w := b.hub.Workers()[0]
		if w.Name != "w" || w.Version != "v" || !w.Connected || w.Slots != 4 || w.InFlight != 1 || w.Answered != 1 ||
			w.Refused != 1 || w.Failed != 1 || w.Lost != 0 || !slices.Equal(w.Private, []string{"corp"}) ||
			!w.Since.Before(w.LastSeen) {
			t.Errorf("a worker at work: %+v", w)
		}
		away.Store(true) // it has no time to say that its request has ended
		if err := (<-connections).Close(); err != nil {
			t.Error(err)
		}
		kill()
		if ex := <-lost; ex.Err == nil || ex.Worker != "w" {
			t.Errorf("the request of a worker that is gone: %+v", ex)
		}
		synctest.Wait() // the request ends before the worker counts as gone
		if w = b.hub.Workers()[0]; w.Connected || w.Lost != 1 || w.Answered != 1 || w.Note != "gone" {
			t.Errorf("a worker that is gone: %+v", w)
		}
		away.Store(false)
		_, _, kill = b.start(o) // with the spool in which its answer is: that it was stopped
		defer kill()
		synctest.Wait() // it hands its spool in after it has joined
		if w = b.hub.Workers()[0]; !w.Connected || w.Lost != 1 || w.Late != 1 || w.Note != "" {
			t.Errorf("a worker that came back: %+v", w)
		}
		if _, there := account.Late(attempt); !there {
			t.Error("what it brought is not there for the row")
		}
	})
}

// Machines that come and go under new names are not remembered for ever.
func TestWorkersThatAreGoneAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		for i := range 230 {
			_, _, kill := b.start(b.options(fmt.Sprint("spot-", i), "", &scriptedWire{}))
			kill()
		}
		time.Sleep(time.Minute)
		if list := b.hub.Workers(); len(list) != 200 {
			t.Errorf("%d workers are remembered", len(list))
		}
	})
}

// A worker that is frozen for less than the hub's patience keeps what it has: its
// answer is the row's, and nobody else is asked. One that is frozen for longer is
// given up [hub.DefaultBack] after the hub has closed its connection.
func TestFrozenWorker(t *testing.T) {
	for _, tc := range []struct {
		frozen time.Duration
		lost   bool
	}{{90 * time.Second, false}, {hub.DefaultSilence + hub.DefaultBack + 10*time.Second, true}} {
		bubble(t, func(t *testing.T) {
			b := newBench(t, hub.Options{})
			wire := &scriptedWire{takes: 10 * time.Second, say: says("x")}
			between := newNetwork(1)
			o := b.options("w", "", wire)
			o.Patience = 10 * time.Minute // a frozen process has none
			o.Dial = func(context.Context) (net.Conn, error) {
				here, there := between.dial("w", "hub")
				go b.hub.ServeConn(there)
				return here, nil
			}
			_, _, kill := b.start(o)
			defer kill()
			time.Sleep(3 * time.Minute) // until the hub has looked at its silence before
			began := time.Now()
			time.AfterFunc(time.Second, func() {
				between.stall("w", 0, tc.frozen)
				between.stall("w", 1, tc.frozen)
			})
			ex := b.send(b.first())
			took := time.Since(began)
			if lost := ex.Err != nil && ex.Err.Class == nightshift.ClassUnknownOutcome; lost != tc.lost || ex.Worker != "w" {
				t.Errorf("frozen for %s: after %s %+v", tc.frozen, took, ex)
			}
			if n := wire.count(); n != 1 {
				t.Errorf("frozen for %s: %d requests", tc.frozen, n)
			}
			// Its last word may be two beats old, and messages travel for up to 12 s here.
			most := hub.DefaultSilence + hub.DefaultBack
			if took < min(tc.frozen, most-2*worker.Beat) || took > most+15*time.Second {
				t.Errorf("frozen for %s: it ended after %s", tc.frozen, took)
			}
		})
	}
}

// The lease runs from when a word was said that the hub has answered, however late
// the answer comes: the hub counts from there too.
func TestLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, hub.Options{})
		wire := &scriptedWire{say: says("x")}
		o := b.options("w", "", wire)
		var once sync.Once
		o.Dial = func(context.Context) (here net.Conn, err error) {
			err = errors.New("one connection is enough")
			once.Do(func() {
				var there net.Conn
				here, there = net.Pipe()
				err = nil
				go slowHub(t, there)
			})
			return here, err
		}
		_, _, kill := b.start(o)
		time.Sleep(20 * time.Second)
		kill()
		if n := wire.count(); n != 1 {
			t.Errorf("%d requests were begun, want the one that came within 10 s of the first word", n)
		}
	})
}

// slowHub answers a worker's first word after 9 s, gives it an attempt at once and
// another 12 s after that word.
func slowHub(t *testing.T, c net.Conn) {
	conn := protocol.NewConn(c)
	began := time.Now()
	say := func(at time.Duration, f protocol.Frame, err error) {
		time.AfterFunc(at-time.Since(began), func() {
			if err == nil {
				err = conn.Send(f)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for {
		f, err := conn.Read(protocol.MaxFrame)
		if err != nil {
			return
		}
		if f.Kind != protocol.KindHello {
			continue
		}
		corp := protocol.Endpoint{ID: "e", Endpoint: providers.Endpoint{Name: "corp", Protocol: nightshift.Chat,
			BaseURL: "http://127.0.0.1:1/v1"}}
		_ = conn.Say(protocol.KindWelcome, protocol.Welcome{Run: "run", Epoch: 1, Endpoints: []protocol.Endpoint{corp}})
		f, err = protocol.Pack(protocol.KindAnswer, protocol.Alive{N: 1})
		say(9*time.Second, f, err)
		for id, at := range map[string]time.Duration{"worker/run-1-1": 9 * time.Second, "worker/run-1-2": 12 * time.Second} {
			f, err = protocol.PackDo(id, "e", providers.Prepared{Body: []byte("{}"), Hash: "h", Model: "m"})
			say(at+time.Millisecond, f, err)
		}
	}
}
