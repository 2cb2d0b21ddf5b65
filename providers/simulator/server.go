package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nightshift/providers/simulator/internal/batches"
	"nightshift/providers/simulator/internal/inprocess"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/ratelimit"
	"nightshift/providers/simulator/internal/requests"
)

// A Server is the model server. It is an http.Handler and safe for concurrent
// use.
//
// Paths are recognised by their end, so that every vendor's variant works:
// …/v1/messages, …/chat/completions, …/v1/completions, …/v1/responses, /api/v1/messages (which wraps its answer
// in "data"), …/messages/count_tokens, …/models; the batch APIs' …/files, …/batches and
// their like; GET /ledger (with ?prompts=1 for the counters of each conversation,
// ?rows=1 for those of the rows of batches too) and GET /healthz.
type Server struct {
	cfg     Config
	timed   []activeFault
	drawn   []activeFault
	book    *ledger.Book
	batches *batches.Service

	mu       sync.Mutex
	started  time.Time
	limiters map[string]*ratelimit.Limiter
	tries    map[seed]int // faults suffered in a row, by conversation
	cache    map[seed]time.Time
	prompts  *promptCache // nil where cache holds what is cached
	spent    map[string]*spending
	closed   bool
	cancels  map[*exchange]context.CancelFunc
	jobs     map[string]*job // made in the background, by id
	servers  []*http.Server
	requests uint64

	others atomic.Uint64 // refused requests that are no conversations
	logMu  sync.Mutex
}

type spending struct{ requests, tokens int64 }

// New makes a server. It panics when the config is not valid; see
// Config.Validate.
func New(cfg Config) *Server {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	s := &Server{
		cfg:      cfg,
		book:     ledger.New(cfg.MaxLedger),
		limiters: map[string]*ratelimit.Limiter{},
		tries:    map[seed]int{},
		cache:    map[seed]time.Time{},
		prompts:  newPromptCache(cfg.Cache),
		spent:    map[string]*spending{},
		cancels:  map[*exchange]context.CancelFunc{},
		jobs:     map[string]*job{},
	}
	s.timed, s.drawn = activate(cfg.Faults, cfg.Outages)
	s.batches = batches.New(batches.Config(cfg.Batches), batchFaults(cfg.Faults), cfg.Seed, batchModel{s}, s.book)
	return s
}

// Ledger returns what the server did so far. An exchange is in it before the
// last byte of its answer is sent.
func (s *Server) Ledger() ledger.Ledger { return s.settled(false) }

// Prompts returns the ledger with the counters of every conversation.
func (s *Server) Prompts() ledger.Ledger { return s.settled(true) }

// Serve answers on l until Close, and returns http.ErrServerClosed then.
func (s *Server) Serve(l net.Listener) error {
	hs := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.servers = append(s.servers, hs)
	s.mu.Unlock()
	return hs.Serve(l)
}

// Close ends all listeners and breaks off everything in flight. The ledger
// stays readable.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	servers := s.servers
	cancels := slices.Collect(maps.Values(s.cancels))
	s.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	var errs []error
	for _, hs := range servers {
		errs = append(errs, hs.Close())
	}
	if s.cfg.LedgerFile != "" {
		errs = append(errs, s.writeLedger(s.cfg.LedgerFile))
	}
	s.batches.Close()
	return errors.Join(errs...)
}

// Transport returns a RoundTripper that hands requests to the server inside
// this process, without sockets, so that it may be used in testing/synctest
// bubbles. Every URL reaches the server.
func (s *Server) Transport() http.RoundTripper { return inprocess.Transport{Handler: s} }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if strings.HasPrefix(path, "//") { // gateways answer their console page here
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page(200, "Console")(nil).body)
		return
	}
	if s.serveBatches(w, r) {
		return
	}
	if r.Method == http.MethodPost {
		switch {
		case strings.HasSuffix(path, "/messages/count_tokens"):
			s.countTokens(w, r)
		case path == "/api/v1/messages":
			s.serve(w, r, requests.Envelope)
		case strings.HasSuffix(path, "/messages"):
			s.serve(w, r, requests.Messages)
		case strings.HasSuffix(path, "/chat/completions"):
			s.serve(w, r, requests.Chat)
		case requests.IsGemini(path):
			s.serve(w, r, requests.Gemini)
		case strings.HasSuffix(path, "/embeddings"):
			s.serve(w, r, requests.Embeddings)
		case strings.HasSuffix(path, ":batchEmbedContents"), strings.HasSuffix(path, ":embedContent"):
			s.serve(w, r, requests.GeminiEmbeddings)
		case strings.HasSuffix(path, "/completions"):
			s.serve(w, r, requests.Completions)
		case strings.HasSuffix(path, "/responses"):
			s.serve(w, r, requests.Responses)
		case strings.Contains(path, "/responses/"):
			s.serveJob(w, r, path)
		default:
			s.notFound(w, r)
		}
		return
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case path == "/ledger":
		s.serveLedger(w, r)
	case path == "/healthz" || path == "":
		_, _ = io.WriteString(w, "ok\n")
	case strings.Contains(path, "/responses/"):
		s.serveJob(w, r, path)
	case strings.HasSuffix(path, "/models"):
		s.serveModels(w, r)
	case strings.Contains(path, "/models/"):
		_, name, _ := strings.Cut(path, "/models/")
		s.serveModel(w, r, name)
	default:
		s.notFound(w, r)
	}
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r,
		&failure{status: 404, kind: "not_found_error", code: "unknown_url",
			message: "Invalid URL (" + r.Method + " " + r.URL.Path + ")"})
}

// refuse answers what is not a conversation with an error, in the words of the
// vendor whose headers the request has, or whose path.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *failure) {
	x := &exchange{server: s, protocol: requests.Chat}
	name := "X-Request-Id"
	if r.Header.Get("Anthropic-Version") != "" || strings.HasSuffix(r.URL.Path, "/count_tokens") {
		x.protocol, name = requests.Messages, "Request-Id"
	}
	x.entry.RequestID = ident("req_", random.Start.WithInt(s.cfg.Seed).With("other").WithInt(s.others.Add(1)), 24)
	set(w.Header(), name, x.entry.RequestID)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_, _ = w.Write(x.errorBody(f))
}

func (s *Server) serveLedger(w http.ResponseWriter, r *http.Request) {
	l := s.settled(r.URL.Query().Get("prompts") != "")
	if r.URL.Query().Get("rows") != "" {
		l = s.Rows()
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(l)
}

// countTokens answers Messages' token counting endpoint. Nothing is billed.
func (s *Server) countTokens(w http.ResponseWriter, r *http.Request) {
	body, err := s.readBody(r)
	if err == nil && !bytes.Contains(body, []byte(`"max_tokens"`)) {
		body = append([]byte(`{"max_tokens":1,`), bytes.TrimLeft(bytes.TrimSpace(body), "{")...)
	}
	var a *requests.Request
	if err == nil {
		a, err = requests.Parse(requests.Messages, body)
	}
	if err != nil {
		s.refuse(w, r, &failure{status: 400, kind: "invalid_request_error", message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"input_tokens":`+itoa(a.InputTokens)+"}\n")
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var errTooLarge = errors.New("request body too large")

// readBody reads a request's body up to the size cap.
func (s *Server) readBody(r *http.Request) ([]byte, error) {
	limit := s.cfg.MaxBody
	if limit == 0 {
		limit = 32 << 20
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	if r.Body == nil {
		return nil, nil
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err == nil && n > limit {
		err = errTooLarge
	}
	return bytes.Clone(buf.Bytes()), err
}

// limiter returns the limits of a key and model; nil when there are none.
func (s *Server) limiter(key, model string, now time.Time) *ratelimit.Limiter {
	l := s.cfg.Limits
	if l.Requests == 0 && l.Input == 0 && l.Output == 0 && l.Tokens == 0 && l.Concurrency == 0 {
		return nil
	}
	if l.PerModel {
		key += "\x00" + model
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limiters[key] == nil {
		s.limiters[key] = ratelimit.New(ratelimit.Limits(l), ratelimit.Competitor(s.cfg.Competitor), now)
	}
	return s.limiters[key]
}

// begin notes when the first request came and returns the time since.
func (s *Server) begin(now time.Time) (since time.Duration, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started.IsZero() {
		s.started = now
	}
	s.requests++
	return now.Sub(s.started), s.requests
}

// try returns how many faults a conversation suffered since it was last
// answered.
func (s *Server) try(k seed) int {
	if len(s.drawn) == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[k]
}

// tried notes that a try ended in a fault, or well. What ended well needs no
// memory, so this stays small in the longest run.
func (s *Server) tried(k seed, fault bool) {
	if len(s.drawn) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fault {
		s.tries[k]++
	} else {
		delete(s.tries, k)
	}
}

// accepts reports whether a key is one of ours.
func (s *Server) accepts(key string) bool {
	return len(s.cfg.Keys) == 0 || slices.Contains(s.cfg.Keys, key)
}

// exhausted reports whether a key's quota is spent.
func (s *Server) exhausted(key string) bool {
	q := s.cfg.Quota
	if q.Requests == 0 && q.Tokens == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.spent[key]
	return p != nil && (q.Requests > 0 && p.requests >= q.Requests || q.Tokens > 0 && p.tokens >= q.Tokens)
}

func (s *Server) spend(key string, tokens, sign int64) {
	if s.cfg.Quota == (Quota{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.spent[key]
	if p == nil {
		p = &spending{}
		s.spent[key] = p
	}
	p.requests += sign
	p.tokens += sign * tokens
}

// apiKey reads the key from whichever header holds it.
func apiKey(h http.Header) string {
	for _, name := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		if k := h.Get(name); k != "" {
			return k
		}
	}
	k := h.Get("Authorization")
	if scheme, rest, ok := strings.Cut(k, " "); ok && strings.EqualFold(scheme, "bearer") {
		return rest
	}
	return k
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
