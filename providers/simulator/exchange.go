package simulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/ratelimit"
	"nightshift/providers/simulator/internal/requests"
)

// A seed is what everything random is drawn from.
type seed = random.Seed

// An exchange is one request on its way through the server.
type exchange struct {
	server   *Server
	protocol requests.Protocol
	w        http.ResponseWriter
	r        *http.Request
	start    time.Time
	since    time.Duration // since the first request
	number   uint64        // of the request
	key      string        // API key
	ask      *requests.Request
	model    Model
	try      int
	limiter  *ratelimit.Limiter
	admitted bool // counted by the limiter
	readings []ratelimit.Reading
	fault    *activeFault
	reply    *reply
	entry    ledger.Entry
	settled  bool
	factor   float64 // of all latencies
	batch    bool    // a row of a batch
}

// serve answers one request to a model.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, p requests.Protocol) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	x := &exchange{server: s, protocol: p, w: w, r: r.WithContext(ctx), start: time.Now(), factor: 1}
	if !s.register(x, cancel) {
		http.Error(w, "server closed", http.StatusServiceUnavailable)
		return
	}
	defer s.unregister(x)
	x.since, x.number = s.begin(x.start)
	s.book.Arrive(x.start)
	x.entry = ledger.Entry{Time: x.start, Protocol: string(p),
		RequestID: ident("req_", random.Start.WithInt(s.cfg.Seed).WithInt(x.number), 24)}
	abort := x.run()
	s.write(&x.entry)
	if abort {
		x.breakOff()
	}
}

func (s *Server) register(x *exchange, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.cancels[x] = cancel
	return true
}

func (s *Server) unregister(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cancels, x)
}

// write appends an entry to the log.
func (s *Server) write(e *ledger.Entry) {
	if s.cfg.Log == nil {
		return
	}
	e.Millis = math.Round(time.Since(e.Time).Seconds()*1e6) / 1e3
	line := e.Line()
	s.logMu.Lock()
	defer s.logMu.Unlock()
	_, _ = s.cfg.Log.Write(line) // a load test goes on without its log
}

// run takes the exchange from its body to its last byte. It reports whether
// the connection must be broken now.
func (x *exchange) run() (abort bool) {
	if f := x.read(); f != nil {
		return x.fail(f, ledger.Rejected)
	}
	if f := x.timedFault(); f != nil {
		return x.fail(f, ledger.Faulted)
	}
	if f := x.admit(); f != nil {
		return x.fail(f, ledger.Refused)
	}
	x.draw()
	if x.fault != nil && x.fault.kind.refuse != nil {
		x.server.tried(x.ask.Key, true)
		return x.fail(x.fault.kind.refuse(x), ledger.Faulted)
	}
	x.reply = x.generate()
	if x.fault != nil && x.fault.kind.change != nil {
		x.fault.kind.change(x, x.reply)
	}
	if x.ask.Embed != nil { // whatever a fault has made of the words
		x.reply.tokens.Output, x.reply.tokens.Reasoning = 0, 0
	}
	x.setUsage(x.reply)
	out := x.render(x.reply)
	broken := false
	if x.fault != nil && x.fault.kind.render != nil {
		x.fault.kind.render(x, &out)
		broken = !x.fault.kind.benign
	}
	x.server.tried(x.ask.Key, broken)
	return x.deliver(out, broken)
}

// read reads, checks and parses the request.
func (x *exchange) read() *failure {
	s := x.server
	body, err := s.readBody(x.r)
	if errors.Is(err, errTooLarge) {
		return &failure{status: 413, kind: "request_too_large", message: "Request exceeds the maximum size"}
	}
	if err != nil {
		return &failure{status: 400, kind: "invalid_request_error", message: "The request body could not be read"}
	}
	x.key = apiKey(x.r.Header)
	if !s.accepts(x.key) {
		message := "invalid x-api-key"
		switch {
		case x.protocol.LikeChat():
			message = "Incorrect API key provided."
		case x.protocol == requests.Gemini: // no 401 there
			return &failure{status: 400, kind: "authentication_error",
				message: "API key not valid. Please pass a valid API key."}
		}
		return &failure{status: 401, kind: "authentication_error", message: message}
	}
	return x.accept(body)
}

// accept parses a request and checks what can be known before it is answered.
func (x *exchange) accept(body []byte) *failure {
	s := x.server
	a, err := x.parse(body)
	if err != nil {
		var bad *requests.Error
		errors.As(err, &bad)
		return refuseRequest(bad)
	}
	x.ask = a
	x.entry.Model, x.entry.Key, x.entry.Stream = a.Model, a.Key.Text(), a.Stream
	x.entry.Prompt = answers.Head(a.Question, 160)
	if s.exhausted(x.key) {
		return quotaFailure(s.cfg.Quota.Kind)
	}
	return x.findModel()
}

// parse reads a body by its protocol. The error is a *requestError.
func (x *exchange) parse(body []byte) (*requests.Request, error) {
	switch x.protocol {
	case requests.Gemini:
		return requests.ParseGemini(x.r.URL, body)
	case requests.Embeddings, requests.GeminiEmbeddings:
		return requests.ParseEmbedding(x.protocol, x.r.URL.Path, body)
	}
	return requests.Parse(x.protocol, body)
}

// findModel looks the model up and checks what it does not take.
func (x *exchange) findModel() *failure {
	a, cfg := x.ask, &x.server.cfg
	m, known := cfg.Models[a.Model]
	if cfg.OnlyModels && !known && !cfg.Answers.Has(a.Model) {
		message := "model: " + a.Model
		if a.Protocol.LikeChat() {
			message = "The model `" + a.Model + "` does not exist or you do not have access to it."
		}
		return &failure{status: 404, kind: "not_found_error", message: message}
	}
	x.model = m
	if x.model.Context == 0 {
		x.model.Context = defaultContext
	}
	if a.InputTokens > x.model.Context {
		return x.tooLong()
	}
	if a.Embed != nil {
		if f := x.tooManyTexts(); f != nil {
			return f
		}
	}
	a.Seed = a.Seed.WithInt(cfg.Seed).WithInt(uint64(a.Key))
	if cfg.Strict {
		if err := requests.Strict(a); err != nil {
			return refuseRequest(err)
		}
	}
	return nil
}

func (x *exchange) tooLong() *failure {
	f := &failure{status: 400, kind: "invalid_request_error"}
	f.message = fmt.Sprintf("prompt is too long: %d tokens > %d maximum", x.ask.InputTokens, x.model.Context)
	if x.ask.Protocol.LikeChat() {
		f.code, f.param = "context_length_exceeded", "messages"
		f.message = fmt.Sprintf("This model's maximum context length is %d tokens. However, your messages resulted "+
			"in %d tokens. Please reduce the length of the messages.", x.model.Context, x.ask.InputTokens)
	}
	return f
}

// timedFault returns the failure of a fault that is bound to a stretch of
// time, or notes it for later.
func (x *exchange) timedFault() *failure {
	var open []activeFault
	for _, f := range x.server.timed {
		if f.During.holds(x.since) {
			open = append(open, f)
		}
	}
	if open == nil {
		return nil
	}
	u := x.ask.Seed.WithInt(uint64(x.since)).Roll("timed fault")
	x.fault = drawFault(open, x.ask, 0, u)
	if x.fault == nil || x.fault.kind.refuse == nil {
		return nil
	}
	return x.fault.kind.refuse(x)
}

// admit asks the limiter.
func (x *exchange) admit() *failure {
	a := x.ask
	x.limiter = x.server.limiter(x.key, a.Model, x.start)
	if x.limiter == nil {
		return nil
	}
	x.entry.Early = x.limiter.Early(x.start)
	output := 0
	if x.server.cfg.Limits.Charge == ChargeMax {
		output = a.N * x.reserved()
	}
	refused, readings := x.limiter.Admit(x.start, int(x.uncached()), output)
	x.readings = readings
	if refused == nil {
		x.admitted = true
		return nil
	}
	dialect := dialectFor(x.server.cfg.Limits.Headers, x.protocol)
	wait := waitHeaders(x.w.Header(), dialect, refused, x.start)
	if a.Protocol == requests.Gemini { // in whole seconds of the body
		wait = time.Duration(math.Ceil(refused.Wait.Seconds())) * time.Second
	}
	x.limiter.Told(x.start, wait)
	f := &failure{status: 429, kind: "rate_limit_error", message: rateLimitMessage(a.Protocol, a.Model, refused),
		refused: refused}
	if a.Protocol.LikeChat() && refused.Dimension != ratelimit.Requests && refused.Dimension >= 0 {
		f.kind, f.code = "tokens", "rate_limit_exceeded"
	}
	return f
}

// draw chooses the fault of this try.
func (x *exchange) draw() {
	if x.fault != nil || len(x.server.drawn) == 0 {
		return
	}
	x.try = x.server.try(x.ask.Key)
	u := x.ask.Seed.WithInt(uint64(x.try)).Roll("fault")
	x.fault = drawFault(x.server.drawn, x.ask, x.try, u)
}

// outputCap is the most tokens one answer may have.
func (x *exchange) outputCap() int {
	limit := x.model.MaxOutput
	if limit == 0 {
		limit = 64_000
	}
	if x.ask.HasMax {
		return min(limit, x.ask.MaxTokens)
	}
	return limit
}

// reserved is what an answer is charged beforehand; requests that set no cap
// are charged as if they had set a usual one.
func (x *exchange) reserved() int {
	if x.ask.HasMax {
		return x.outputCap()
	}
	return min(4096, x.outputCap())
}

// fail sends an error.
func (x *exchange) fail(f *failure, outcome ledger.Outcome) (abort bool) {
	if !x.wait(x.scaled(x.server.cfg.Latency.Base)) {
		x.settle(0, ledger.Aborted, ledger.Tokens{})
		return true
	}
	x.headers()
	h := x.w.Header()
	if f.contentType != "" {
		set(h, "Content-Type", f.contentType)
	} else if !f.raw {
		set(h, "Content-Type", "application/json")
	}
	if f.header[0] != "" {
		set(h, f.header[0], f.header[1])
		x.noteWait(f)
	}
	body := x.errorBody(f)
	set(h, "Content-Length", strconv.Itoa(len(body)))
	x.settle(f.status, outcome, ledger.Tokens{})
	x.w.WriteHeader(f.status)
	_, _ = x.w.Write(body)
	return false
}

// noteWait remembers a wait that a fault told, in whole seconds.
func (x *exchange) noteWait(f *failure) {
	if seconds, err := strconv.Atoi(f.header[1]); err == nil && x.limiter != nil && seconds < 3600 {
		x.limiter.Told(x.start, time.Duration(seconds)*time.Second)
	}
}

// headers sets what every answer carries.
func (x *exchange) headers() {
	h := x.w.Header()
	if x.protocol == requests.Messages {
		set(h, "Request-Id", x.entry.RequestID)
	} else {
		set(h, "X-Request-Id", x.entry.RequestID)
	}
	limitHeaders(h, dialectFor(x.server.cfg.Limits.Headers, x.protocol), x.readings, x.start)
}

// settle enters the exchange in the ledger and frees its place. It comes
// before the last byte is sent, so that a client that has read its answer
// finds it in the ledger.
func (x *exchange) settle(status int, outcome ledger.Outcome, billed ledger.Tokens) {
	e := &x.entry
	e.Status, e.Outcome, e.Tokens = status, outcome, billed
	e.Answered = billed.Total() > 0
	e.Delivered = outcome == ledger.Delivered
	if x.fault != nil {
		e.Fault = x.fault.Kind
	}
	if x.reply != nil {
		e.Stop = x.reply.choices[0].stop
	}
	x.server.book.Settle(e, x.conversationKey(), 1)
	x.settled = true
	if e.Answered {
		x.server.spend(x.key, billed.Total(), 1)
	}
	if x.admitted {
		x.limiter.Done(time.Now(), int(billed.Output))
		x.admitted = false
	}
}

// revise corrects an entry that was settled as delivered.
func (x *exchange) revise(outcome ledger.Outcome) {
	e := &x.entry
	x.server.book.Settle(e, x.conversationKey(), -1)
	e.Outcome, e.Delivered = outcome, false
	x.server.book.Settle(e, x.conversationKey(), 1)
}

func (x *exchange) conversationKey() seed {
	if x.ask == nil {
		return 0
	}
	return x.ask.Key
}

// deliver sends a rendering, at the pace of the latency settings.
func (x *exchange) deliver(out rendering, broken bool) (abort bool) {
	tokens := x.reply.tokens
	if !x.wait(x.untilFirst(&out)) {
		x.settle(0, ledger.Aborted, x.partly(tokens, 0))
		return true
	}
	if out.ending == endStall && out.status == 0 {
		x.settle(0, ledger.Faulted, tokens)
		x.wait(x.hold())
		return true
	}
	if out.status == 0 {
		x.settle(0, ledger.Faulted, tokens)
		return true
	}
	if out.ending == endEOF {
		if conn := x.hijack(); conn != nil {
			return x.deliverClosing(conn, &out, tokens)
		}
	}
	x.headers()
	h := x.w.Header()
	set(h, "Content-Type", out.contentType)
	if !x.ask.Stream && out.ending != endEOF {
		set(h, "Content-Length", strconv.Itoa(x.bodyLength(&out)))
	}
	x.w.WriteHeader(out.status)
	if out.ending == endDrip {
		return x.drip(&out, tokens)
	}
	if broken {
		return x.deliverBroken(&out, tokens)
	}
	return x.deliverWhole(&out, tokens)
}

// bodyLength is the length told for a body, of which less may be sent.
func (x *exchange) bodyLength(out *rendering) int {
	if out.ending == endReset || out.ending == endStall {
		return out.size() + 100
	}
	return out.size()
}

// untilFirst is how long the first byte takes: the first token of a stream,
// the last one of a body.
func (x *exchange) untilFirst(out *rendering) time.Duration {
	l := x.server.cfg.Latency
	if l == (Latency{}) {
		return 0
	}
	if r := x.ask.Response; r != nil && r.Background && !x.ask.Stream {
		return x.scaled(l.Base) // the answer itself comes later
	}
	d := l.Base + l.FirstToken
	if !x.ask.Stream {
		d += time.Duration(x.longest()) * l.PerToken
	}
	return x.scaled(d)
}

// longest is the length of the longest answer: several are generated at once.
func (x *exchange) longest() int {
	n := 0
	for _, c := range x.reply.choices {
		n = max(n, c.output)
	}
	return n
}

// scaled applies the model's speed and the jitter of this try.
func (x *exchange) scaled(d time.Duration) time.Duration {
	if d == 0 || x.ask == nil {
		return d
	}
	if x.factor == 1 {
		if sigma := x.server.cfg.Latency.Jitter; sigma > 0 {
			x.factor = math.Exp(sigma * x.ask.Seed.WithInt(uint64(x.try)).Normal("latency"))
		}
		if x.model.Speed > 0 {
			x.factor *= x.model.Speed
		}
	}
	return time.Duration(float64(d) * x.factor)
}

// deliverWhole sends everything. The ledger has it before the last piece.
func (x *exchange) deliverWhole(out *rendering, tokens ledger.Tokens) (abort bool) {
	pace := x.scaled(x.server.cfg.Latency.PerToken)
	if x.ask.Stream && pace > 0 {
		if sent, ok := x.paced(out, pace); !ok {
			x.settle(out.status, ledger.Aborted, x.partly(tokens, sent))
			return true
		}
		out.pieces = out.pieces[len(out.pieces)-1:]
	}
	if x.r.Context().Err() != nil {
		x.settle(out.status, ledger.Aborted, tokens)
		return true
	}
	x.settle(out.status, ledger.Delivered, tokens)
	if x.send(join(out.pieces)) != nil {
		x.revise(ledger.Aborted)
		return true
	}
	return false
}

// paced sends all pieces but the last, each when its tokens are due. It
// returns the tokens sent, and false when the client went away.
func (x *exchange) paced(out *rendering, pace time.Duration) (sent int, ok bool) {
	begin := time.Now()
	for _, p := range out.pieces[:len(out.pieces)-1] {
		due := time.Duration(p.tokens) * pace
		if !x.wait(due-time.Since(begin)) || x.send(p.data) != nil {
			return sent, false
		}
		sent = p.tokens
	}
	last := out.pieces[len(out.pieces)-1]
	return sent, x.wait(time.Duration(last.tokens)*pace - time.Since(begin))
}

// deliverBroken sends what there is and does not end well.
func (x *exchange) deliverBroken(out *rendering, tokens ledger.Tokens) (abort bool) {
	x.settle(out.status, ledger.Faulted, tokens)
	err := x.send(join(out.pieces))
	if err == nil && out.ending == endStall {
		x.wait(x.hold())
	}
	return err != nil || out.ending == endReset || out.ending == endStall
}

// deliverClosing sends a body without a length over a taken-over connection,
// whose end is the end of the body.
func (x *exchange) deliverClosing(conn net.Conn, out *rendering, tokens ledger.Tokens) bool {
	defer func() { _ = conn.Close() }()
	x.settle(out.status, ledger.Faulted, tokens)
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nRequest-Id: %s\r\nConnection: close\r\n\r\n%s",
		out.status, http.StatusText(out.status), out.contentType, x.entry.RequestID, join(out.pieces))
	return false
}

// drip sends the body byte by byte over the hold time, or a few bytes at a
// time where that is short: a millisecond is the least pause.
func (x *exchange) drip(out *rendering, tokens ledger.Tokens) (abort bool) {
	body := join(out.pieces)
	step := 1 + int(int64(len(body))*int64(time.Millisecond)/int64(x.hold()))
	pause := x.hold() * time.Duration(step) / time.Duration(len(body))
	for ; len(body) > step; body = body[step:] {
		if x.send(body[:step]) != nil || !x.wait(pause) {
			x.settle(out.status, ledger.Aborted, tokens)
			return true
		}
	}
	x.settle(out.status, ledger.Delivered, tokens)
	if x.send(body) != nil {
		x.revise(ledger.Aborted)
		return true
	}
	return false
}

func join(pieces []piece) []byte {
	if len(pieces) == 1 {
		return pieces[0].data
	}
	n := 0
	for _, p := range pieces {
		n += len(p.data)
	}
	b := make([]byte, 0, n)
	for _, p := range pieces {
		b = append(b, p.data...)
	}
	return b
}

// partly is what an answer costs that was given up after some tokens: a
// stream is ended there, anything else is generated to its end all the same.
func (x *exchange) partly(t ledger.Tokens, sent int) ledger.Tokens {
	if x.ask.Stream {
		t.Output = min(t.Output, max(1, int64(sent)))
		t.Reasoning = min(t.Reasoning, t.Output)
	}
	return t
}

// hold is how long a stall lasts.
func (x *exchange) hold() time.Duration {
	if x.fault != nil && x.fault.Hold > 0 {
		return x.fault.Hold
	}
	return defaultHold
}

// send writes and flushes.
func (x *exchange) send(b []byte) error {
	if len(b) > 0 {
		if _, err := x.w.Write(b); err != nil {
			return err
		}
	}
	if f, ok := x.w.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// wait sleeps; false means that the client went away or the server closes.
func (x *exchange) wait(d time.Duration) bool {
	if d <= 0 {
		return x.r.Context().Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
		return false
	}
}

// hijack takes the connection over; nil where there is none.
func (x *exchange) hijack() net.Conn {
	h, ok := x.w.(http.Hijacker)
	if !ok {
		return nil
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil
	}
	drain(rw)
	return conn
}

// drain drops what the client has sent ahead, so that closing does not reset.
func drain(rw *bufio.ReadWriter) {
	if n := rw.Reader.Buffered(); n > 0 {
		_, _ = io.CopyN(io.Discard, rw.Reader, int64(n))
	}
}

// breakOff breaks the connection: with a reset where it is TCP and nothing
// was sent, by closing it in the middle otherwise.
func (x *exchange) breakOff() {
	if a, ok := x.w.(interface{ BreakOff() }); ok {
		a.BreakOff()
		return
	}
	if x.entry.Status == 0 && x.entry.Outcome == ledger.Faulted {
		if conn := x.hijack(); conn != nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
