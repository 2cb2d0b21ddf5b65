package prefix

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
)

const life = 5 * time.Minute

// crowd is how many requests are in flight at once.
const crowd = 64

var answered = nightshift.Usage{Input: nightshift.Tokens(10), CacheRead: nightshift.Tokens(1024),
	Output: nightshift.Tokens(5)}

// send sends a request of each turn as a client does, all at once, and returns how
// many went with nothing to expect of the cache: each of them writes.
func send(turns []*Turn, route string, took time.Duration) (wrote int) {
	results := make(chan int)
	for _, u := range turns {
		go func() {
			note, ok := u.Begin(route)
			for ; !ok; note, ok = u.Begin(route) {
				_ = u.Wait(context.Background())
			}
			time.Sleep(took / 2)
			u.Written()
			time.Sleep(took - took/2)
			u.Ended(true, answered)
			u.Release()
			if note.Expected == 0 {
				results <- 1
				return
			}
			results <- 0
		}()
	}
	for range turns {
		wrote += <-results
	}
	return wrote
}

func turnsOf(t *Table, p *Prefix, n int) (turns []*Turn) {
	for range n {
		turns = append(turns, t.Turn(p))
	}
	return turns
}

// TestWrittenOncePerLifetime: of 64 requests at once one writes, as long as the
// cache lives none does, and when it has died one does again.
func TestWrittenOncePerLifetime(t *testing.T) {
	for _, life := range []time.Duration{5 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			table := NewTable(life, 0.27, false)
			p := &Prefix{Hash: 1, Bytes: 8000, Rows: 1000}
			for i, step := range []struct {
				pause time.Duration
				wrote int
			}{{0, 1}, {0, 0}, {life * 9 / 10, 0}, {life * 9 / 10, 0}, {life, 1}, {10 * life, 1}, {life / 2, 0}} {
				time.Sleep(step.pause)
				if got := send(turnsOf(table, p, crowd), "key", time.Second); got != step.wrote {
					t.Errorf("lifetime %v, step %d: %d requests wrote, want %d", life, i, got, step.wrote)
				}
			}
			if got := send(turnsOf(table, p, crowd), "other key", time.Second); got != 1 {
				t.Errorf("%d requests wrote by another key, want 1", got)
			}
			if inFlight, waiting := table.Load(); inFlight != 0 || waiting != 0 {
				t.Errorf("%d in flight and %d waiting in the end", inFlight, waiting)
			}
		})
	}
}

// TestWrittenWhileRunning: requests that follow each other for longer than a
// lifetime keep the cache alive.
func TestWrittenWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, p, wrote := NewTable(life, 0.27, false), &Prefix{Hash: 1, Bytes: 8000}, 0
		for range 20 {
			wrote += send(turnsOf(table, p, crowd), "key", time.Minute)
		}
		if wrote != 1 {
			t.Errorf("written %d times in %v", wrote, 20*time.Minute)
		}
	})
}

// TestWithinEachOther: a longer prefix is written by one request although the
// shorter one within it is in the cache, of which that request reads it.
func TestWithinEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(life, 0.27, false)
		system := &Prefix{Hash: 1, Bytes: 4000}
		send(turnsOf(table, system, 3), "key", time.Second)
		book := &Prefix{Hash: 2, Bytes: 9000, Parent: system}
		if got := table.Standing(book); got != Cold {
			t.Fatalf("standing %d", got)
		}
		writer, reader := table.Turn(book), table.Turn(book)
		note, ok := writer.Begin("key")
		if !ok || note.Expected != 1024 { // as answers have told
			t.Fatalf("the writer expects %+v, %v", note, ok)
		}
		if _, ok := reader.Begin("key"); ok {
			t.Fatal("a second request writes")
		}
		if got := table.Standing(book); got != Writing {
			t.Errorf("standing %d", got)
		}
		writer.Written()
		if note, ok := reader.Begin("key"); !ok || note.Expected != int64(9000*0.27) {
			t.Errorf("the reader expects %+v, %v", note, ok)
		}
	})
}

// TestWriterFails: when the request that writes fails, gives up or hangs, one other
// takes its place.
func TestWriterFails(t *testing.T) {
	for name, fail := range map[string]func(*Turn){
		"fails":    func(u *Turn) { u.Ended(false, nightshift.Usage{}) },
		"gives up": func(u *Turn) { u.Release() },
		"leaves":   func(u *Turn) { u.Leave(); u.Ended(true, answered) },
		"hangs":    func(*Turn) { time.Sleep(patience) },
	} {
		synctest.Test(t, func(t *testing.T) {
			table, p := NewTable(life, 0.27, false), &Prefix{Hash: 1, Bytes: 8000}
			first := table.Turn(p)
			if _, ok := first.Begin("key"); !ok {
				t.Fatal("the first may not write")
			}
			turns := turnsOf(table, p, crowd)
			go func() {
				time.Sleep(time.Second)
				fail(first)
			}()
			if got := send(turns, "key", time.Second); got != 1 {
				t.Errorf("%s: %d others wrote, want 1", name, got)
			}
		})
	}
}

// TestReadableAtTheEnd: where a prompt is cached when its answer has ended, the others
// wait for that.
func TestReadableAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, p := NewTable(life, 0.27, true), &Prefix{Hash: 1, Bytes: 8000}
		writer, reader := table.Turn(p), table.Turn(p)
		writer.Begin("key")
		writer.Written()
		if _, ok := reader.Begin("key"); ok {
			t.Error("a request went before the answer had ended")
		}
		writer.Ended(true, answered)
		if note, ok := reader.Begin("key"); !ok || note.Expected == 0 {
			t.Errorf("the reader expects %+v, %v", note, ok)
		}
	})
}

// TestWaitEnds: who waits for a writer stops when the run does.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, p := NewTable(life, 0.27, false), &Prefix{Hash: 1, Bytes: 8000}
		table.Turn(p).Begin("key")
		other := table.Turn(p)
		if _, ok := other.Begin("key"); ok {
			t.Fatal("two write")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := other.Wait(ctx); err == nil {
			t.Error("waited on")
		}
	})
}

// TestForgotten: prefixes that have died are dropped when there are many.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(life, 0.27, false)
		for i := range mostStates + 10 {
			u := table.Turn(&Prefix{Hash: uint64(i) + 1})
			u.Begin("key")
			u.Ended(true, answered)
			if i == mostStates-1 {
				time.Sleep(life)
			}
		}
		if n := len(table.states); n > 20 {
			t.Errorf("%d prefixes are remembered", n)
		}
	})
}

// TestFind: what prompts share, and the order in which they are sent.
func TestFind(t *testing.T) {
	text := func(n, size int) string {
		s := ""
		for i := 0; len(s) < size; i++ {
			s += fmt.Sprintf("Sentence %d of text %d. ", i, n)
		}
		return s[:size]
	}
	req := func(system, prompt string) nightshift.Request {
		return nightshift.Request{System: system, Messages: []nightshift.Message{{Role: "user", Text: prompt}}}
	}
	rule := Rule{Minimum: 3000, Step: 1000}
	for _, tc := range []struct {
		name  string
		reqs  []nightshift.Request
		bytes []int64 // of each one's prefix; 0 is none
		order []int
	}{
		{"system prompts", []nightshift.Request{req(text(1, 4000), "a"), req(text(2, 4000), "b"), req(text(1, 4000), "c"),
			req("", "d"), req(text(2, 4000), "e")}, []int64{4000, 4000, 4000, 0, 4000}, []int{0, 2, 1, 4, 3}},
		{"too short", []nightshift.Request{req(text(1, 2000), "a"), req(text(1, 2000), "b")}, []int64{0, 0}, []int{0, 1}},
		{"beginnings of a text", []nightshift.Request{req("", text(1, 5000)+"a"), req("", text(1, 5000)+"b")},
			[]int64{4992, 4992}, []int{0, 1}},
		{"within each other", []nightshift.Request{req(text(1, 4000), text(2, 2000)+"a"), req(text(1, 4000), "b"),
			req(text(1, 4000), text(2, 2000)+"c")}, []int64{5920, 4000, 5920}, []int{0, 2, 1}},
		{"the same", []nightshift.Request{req(text(1, 4000), "a"), req(text(1, 4000), "a")}, []int64{4001, 4001},
			[]int{0, 1}},
		{"system and user are not the same", []nightshift.Request{req(text(1, 4000), "a"), req("", text(1, 4000))},
			[]int64{0, 0}, []int{0, 1}},
	} {
		var f Finder
		for i := range tc.reqs {
			f.Add(&tc.reqs[i])
		}
		found := f.Find(rule)
		for i, want := range tc.bytes {
			got := int64(0)
			if found[i] != nil {
				got = found[i].Bytes
			}
			if got != want && !(want == 5920 && got > 5800 && got <= 6000) {
				t.Errorf("%s: row %d shares %d bytes, want %d", tc.name, i, got, want)
			}
		}
		if got := fmt.Sprint(Order(found)); got != fmt.Sprint(tc.order) {
			t.Errorf("%s: order %s, want %v", tc.name, got, tc.order)
		}
	}
	rule.Pays = func(rows int) bool { return rows >= 3 }
	var f Finder
	for i := range 2 {
		r := req(text(1, 4000), fmt.Sprint(i))
		f.Add(&r)
	}
	if found := f.Find(rule); found[0] != nil {
		t.Error("a prefix that does not pay")
	}
}

// TestFinderMemory: what is kept of long prompts is a tenth of their size.
func TestFinderMemory(t *testing.T) {
	var f Finder
	r := nightshift.Request{System: string(make([]byte, 1<<20))}
	f.Add(&r)
	if kept := len(f.rows[0].hashes)*8 + len(f.rows[0].bytes)*4; kept > 1<<20/10 {
		t.Errorf("%d bytes are kept of a MiB", kept)
	}
}
