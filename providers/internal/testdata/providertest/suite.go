package providertest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
)

// Run is the suite of good answers that every wire passes, in every case:
// what goes out, what comes back, and that nothing leaks from one request
// into another.
func Run(t *testing.T, newWire Make) {
	for _, c := range Cases() {
		t.Run(c.String(), func(t *testing.T) {
			t.Run("answer", func(t *testing.T) { c.testAnswer(t, newWire) })
			t.Run("other shape", func(t *testing.T) { c.testOtherShape(t, newWire) })
			t.Run("other format", func(t *testing.T) { c.testOtherFormat(t, newWire) })
			t.Run("envelope", func(t *testing.T) { c.testEnvelope(t, newWire) })
			t.Run("padding", func(t *testing.T) { c.testPadding(t, newWire) })
			t.Run("byte by byte", func(t *testing.T) { c.testByteByByte(t, newWire) })
			t.Run("tool call", func(t *testing.T) { c.testToolCall(t, newWire) })
			t.Run("request", func(t *testing.T) { c.testRequest(t, newWire) })
			t.Run("many at once", func(t *testing.T) { c.testManyAtOnce(t, newWire) })
			t.Run("connections are kept", func(t *testing.T) { c.testKeepsConnections(t, newWire) })
		})
	}
}

// ask starts a server, sends the case's request to it, and wants an answer.
func (c Case) ask(tb testing.TB, newWire Make, respond func(*Exchange)) providers.Exchange {
	tb.Helper()
	f := Fault{Respond: respond}
	wire := newWire(tb, f.Setup(c, f.Start(tb, c)))
	p, err := wire.Prepare(c.Request())
	if err != nil {
		tb.Fatalf("Prepare: %v", err)
	}
	x := f.send(tb, wire, p)
	if x.Err != nil {
		tb.Fatalf("Send: %v (%v); raw %.300q", x.Err, x.Err.Err, x.Response.Raw)
	}
	checkCanary(tb, x)
	return x
}

func textIs(tb testing.TB, r nightshift.Response, want string) {
	tb.Helper()
	if r.Text == nil {
		tb.Errorf("no text, want %q", want)
	} else if *r.Text != want {
		tb.Errorf("text %q, want %q", *r.Text, want)
	}
}

func (c Case) testAnswer(t *testing.T, newWire Make) {
	x := c.ask(t, newWire, func(x *Exchange) {
		x.Good("X-Request-Id", "req-1", "X-Ratelimit-Limit-Requests", "50", "X-Ratelimit-Remaining-Requests", "49",
			"Retry-After", "50")
	})
	r := x.Response
	textIs(t, r, Text)
	if r.StopReason != nightshift.StopEnd || r.RawStopReason == "" || r.ServedModel != Model || r.ID == "" {
		t.Errorf("stop %q (%q), model %q, id %q", r.StopReason, r.RawStopReason, r.ServedModel, r.ID)
	}
	if in, out := r.Usage.InputTotal(), r.Usage.Output; in.N() != inputTokens || out.N() != outputTokens ||
		len(r.UsageRaw) == 0 {
		t.Errorf("usage %v and %v of %s", in, out, r.UsageRaw)
	}
	if r.Status != 200 || r.RequestID != "req-1" || string(r.Raw) != c.good() || len(r.Flags) != 0 || !x.Sent {
		t.Errorf("status %d, id %q, flags %v, sent %v, raw %q", r.Status, r.RequestID, r.Flags, x.Sent, r.Raw)
	}
	if (r.FirstToken > 0) != c.Stream || r.FirstToken > r.Latency || r.Latency <= 0 {
		t.Errorf("first token after %v, all after %v", r.FirstToken, r.Latency)
	}
	if x.Limits.Requests == nil || x.Limits.Requests.Limit != 50 || x.Limits.HasRetryAfter {
		t.Errorf("limits %+v: a good answer's retry-after must not count", x.Limits)
	}
}

// testOtherShape answers a stream where a whole answer was asked for, and the
// reverse, both with the wrong content type.
func (c Case) testOtherShape(t *testing.T, newWire Make) {
	other := Case{c.dialect, !c.Stream}
	x := c.ask(t, newWire, func(x *Exchange) { x.Answer(200, other.good(), "Content-Type", c.contentType()) })
	textIs(t, x.Response, Text)
}

// testOtherFormat answers in the formats that were not asked.
func (c Case) testOtherFormat(t *testing.T, newWire Make) {
	for _, other := range Cases() {
		if other.Stream != c.Stream || other.Protocol() == c.Protocol() {
			continue
		}
		x := c.ask(t, newWire, func(x *Exchange) { x.GoodBody(other.good()) })
		textIs(t, x.Response, Text)
		if u := x.Response.Usage; u.InputTotal().N() != inputTokens || u.Output.N() != outputTokens {
			t.Errorf("in %s: usage %+v", other, u)
		}
	}
}

func (c Case) testEnvelope(t *testing.T, newWire Make) {
	if c.Stream {
		t.Skip("streams come without an envelope")
	}
	x := c.ask(t, newWire, func(x *Exchange) {
		x.Answer(200, `{"success":true,"code":"200","message":"successful","data":`+c.good()+`}`)
	})
	textIs(t, x.Response, Text)
}

func (c Case) testPadding(t *testing.T, newWire Make) {
	x := c.ask(t, newWire, func(x *Exchange) {
		x.Head(200, "Content-Type", c.contentType(), "Connection", "close")
		x.Write("\ufeff")
		for range 30 {
			x.Write("\n         \n")
		}
		x.Write(c.good())
	})
	textIs(t, x.Response, Text)
}

func (c Case) testByteByByte(t *testing.T, newWire Make) {
	x := c.ask(t, newWire, func(x *Exchange) {
		x.Head(200, "Content-Type", c.contentType(), "Connection", "close")
		for _, b := range []byte(c.good()) {
			x.Write(string([]byte{b}))
		}
	})
	textIs(t, x.Response, Text)
	if string(x.Response.Raw) != c.good() {
		t.Errorf("raw %q", x.Response.Raw)
	}
}

func (c Case) testToolCall(t *testing.T, newWire Make) {
	answer := c.toolCall(c.Stream)
	if answer == "" {
		t.Skip("the format has no tools")
	}
	x := c.ask(t, newWire, func(x *Exchange) { x.GoodBody(answer) })
	want := nightshift.ToolCall{ID: "call_1", Name: "look", Arguments: `{"a":1}`}
	if r := x.Response; len(r.ToolCalls) != 1 || r.ToolCalls[0] != want || r.StopReason != nightshift.StopToolUse {
		t.Errorf("calls %v, stop %q", r.ToolCalls, r.StopReason)
	}
}

// testRequest looks at what goes out.
func (c Case) testRequest(t *testing.T, newWire Make) {
	c.ask(t, newWire, func(x *Exchange) {
		want := map[string]string{"Content-Type": "application/json", "Accept": c.contentType(), "Accept-Encoding": "gzip"}
		maps.Copy(want, c.header())
		key := http.Header{}
		c.auth().Set(key, secrets.New(Canary))
		for name := range key {
			want[name] = key.Get(name)
		}
		for name, value := range want {
			if got := x.Request.Header.Get(name); got != value {
				t.Errorf("header %s is %q, want %q", name, got, value)
			}
		}
		if n := strings.Count(fmt.Sprint(x.Request.Header), Canary); n != 1 {
			t.Errorf("%d headers carry the key", n)
		}
		if x.Request.Method != "POST" || x.Request.URL.RequestURI() != c.path(c.Stream) ||
			x.Request.ContentLength != int64(len(x.Body)) {
			t.Errorf("%s %s, length %d", x.Request.Method, x.Request.URL, x.Request.ContentLength)
		}
		c.checkBody(t, x.Body, c.Stream)
		x.Good()
	})
}

// testManyAtOnce sends different requests through one wire at the same time;
// each must get its own answer.
func (c Case) testManyAtOnce(t *testing.T, newWire Make) {
	f := Fault{Respond: func(x *Exchange) {
		mark := x.Body[bytes.Index(x.Body, []byte("mark-")):]
		mark = mark[:bytes.IndexByte(mark, '.')]
		x.GoodBody(c.answer(counted, quote(string(mark))))
	}}
	wire := newWire(t, f.Setup(c, f.Start(t, c)))
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			req := c.Request()
			mark := fmt.Sprintf("mark-%d", i)
			req.Messages[0].Text = "Say " + mark + "."
			p, err := wire.Prepare(req)
			if err != nil {
				t.Error(err)
				return
			}
			x := f.send(t, wire, p)
			if x.Err != nil {
				t.Error(x.Err)
				return
			}
			textIs(t, x.Response, mark)
		})
	}
	wg.Wait()
}

func (c Case) testKeepsConnections(t *testing.T, newWire Make) {
	var mu sync.Mutex
	peers := map[string]bool{}
	f := Fault{Respond: func(x *Exchange) {
		mu.Lock()
		peers[x.conn.RemoteAddr().String()] = true
		mu.Unlock()
		x.Good()
	}}
	wire := newWire(t, f.Setup(c, f.Start(t, c)))
	p, err := wire.Prepare(c.Request())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if x := f.send(t, wire, p); x.Err != nil {
			t.Fatal(x.Err)
		}
	}
	if len(peers) != 1 {
		t.Errorf("%d connections for ten requests one after the other", len(peers))
	}
}
