package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tick is a short moment of real time.
func tick() <-chan time.Time { return time.After(time.Millisecond) }

func TestTransportCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{FirstToken: time.Minute}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		g := c.postCtx(ctx, chatPath, simple("m", "Hi", ""))
		if !errors.Is(g.err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("err %v after %v", g.err, time.Since(start))
		}
		synctest.Wait()
		l := c.Ledger()
		if l.Aborted != 1 || l.Delivered != 0 || l.Billed.Output == 0 {
			t.Errorf("ledger: %+v", l.Totals)
		}
	})
}

func TestTransportCancelWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{PerToken: time.Second}})
		ctx, cancel := context.WithTimeout(t.Context(), 20500*time.Millisecond)
		defer cancel()
		g := c.postCtx(ctx, messagesPath, simple("m", "Write an essay about volcanoes in detail.", `"stream":true,`))
		if !errors.Is(g.err, context.DeadlineExceeded) || !strings.Contains(g.body, "text_delta") {
			t.Errorf("err %v, body %q", g.err, g.body)
		}
		synctest.Wait()
		l := c.Ledger()
		if l.Aborted != 1 || l.Billed.Output < 15 || l.Billed.Output > 20 {
			t.Errorf("billed for 20 s at a token a second: %+v", l.Billed)
		}
	})
}

func TestTransportHalfRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{PerToken: time.Second}})
		req, _ := http.NewRequest(http.MethodPost, c.base+messagesPath,
			strings.NewReader(simple("m", "Write an essay about volcanoes.", `"stream":true,`)))
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("a closed body can be read")
		}
		synctest.Wait()
		if l := c.Ledger(); l.Aborted != 1 || l.Delivered != 0 || l.InFlight != 0 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

// TestManyAtOnce holds 5,000 requests open in a bubble.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{FirstToken: 10 * time.Second, PerToken: 50 * time.Millisecond, Jitter: 0.5}})
		var group sync.WaitGroup
		for i := range 5000 {
			group.Go(func() {
				if g := c.post(chatPath, simple("m", fmt.Sprint("Question ", i), "")); g.err != nil || g.status != 200 {
					t.Errorf("%d %v", g.status, g.err)
				}
			})
		}
		group.Wait()
		if l := c.Ledger(); l.Delivered != 5000 || l.MaxInFlight != 5000 {
			t.Errorf("delivered %d, most in flight %d", l.Delivered, l.MaxInFlight)
		}
	})
}

func TestCloseBreaksOffWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{FirstToken: time.Hour}})
		go func() {
			time.Sleep(time.Second)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}()
		if g := c.post(chatPath, simple("m", "Hi", "")); g.err == nil {
			t.Errorf("answered %d", g.status)
		}
		if g := c.post(chatPath, simple("m", "Hi", "")); g.status != 503 {
			t.Errorf("after Close: %d", g.status)
		}
	})
}

// TestNoGoroutineStays counts goroutines after all kinds of ends over TCP;
// in-process ends are checked by the bubbles, which fail on leaks.
func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("traffic", func(t *testing.T) {
		faults, _ := ParseFaults("network=50%;hold=5ms,slow_drip=10%;hold=5ms")
		c := overTCP(t, Config{Faults: faults})
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() { c.post(messagesPath, simple("m", fmt.Sprint("Question ", i), `"stream":true,`)) })
		}
		group.Wait()
	})
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		<-tick()
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func BenchmarkSimple(b *testing.B) {
	body := simple("sim-large", "What is 17 + 25?", "")
	s := New(Config{})
	b.Run("handler", func(b *testing.B) {
		for b.Loop() {
			r, _ := http.NewRequest(http.MethodPost, "http://x"+messagesPath, strings.NewReader(body))
			s.ServeHTTP(&discard{h: http.Header{}}, r)
		}
	})
	c := inProcess(Config{})
	b.Run("transport", func(b *testing.B) {
		for b.Loop() {
			c.post(messagesPath, body)
		}
	})
	b.Run("transport stream", func(b *testing.B) {
		body := simple("sim-large", "What is 17 + 25?", `"stream":true,`)
		for b.Loop() {
			c.post(messagesPath, body)
		}
	})
	b.Run("limits", func(b *testing.B) {
		c := inProcess(Config{Limits: Limits{Requests: 1e12, Input: 1e15, Output: 1e15}})
		for b.Loop() {
			c.post(messagesPath, body)
		}
	})
	b.Run("prose", func(b *testing.B) {
		body := simple("sim-large", "Write a short story about a lighthouse keeper and the sea.", "")
		for b.Loop() {
			r, _ := http.NewRequest(http.MethodPost, "http://x"+chatPath, strings.NewReader(body))
			s.ServeHTTP(&discard{h: http.Header{}}, r)
		}
	})
	tcp := overTCP(b, Config{})
	b.Run("TCP", func(b *testing.B) {
		for b.Loop() {
			tcp.post(messagesPath, body)
		}
	})
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
