package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/batches"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/requests"
)

// Batches says how the batch APIs behave. With the zero value a batch is done
// as soon as it is made. All times are the vendors', which pass Scale times as
// fast here; what answers tell of time is real.
type Batches struct {
	Scale     float64       // how many times faster; 0 means 1: with 8640 a day takes 10 s
	Validate  time.Duration // until a new batch has been checked
	Run       time.Duration // from then until its last row is answered
	Cancel    time.Duration // until a cancelled batch has ended
	Window    time.Duration // until a batch expires; 0 means what the vendor says, most often 24 h
	Queue     int64         // most prompt tokens of one model in batches that have not ended; 0 is no limit
	Retention time.Duration // how long files and results are kept; 0 means 30 days
	Others    int           // batches of other people in the account; they make one more with each of ours
	Projects  bool          // each API key has a project of its own, and sees nothing of others
	// Shape is what paths alone do not say: "openai" (default), "groq",
	// "together" or "mistral".
	Shape    string
	MaxRows  int   // in a batch; 0 means the vendor's limit
	MaxBytes int64 // of an uploaded file; 0 means 512 MB
}

// ParseBatches reads the text form of Batches.
func ParseBatches(s string) (b Batches, err error) {
	err = b.UnmarshalText([]byte(s))
	return b, err
}

// UnmarshalText reads the form "scale=8640,validate=1m,run=20m,cancel=5m,
// window=24h,queue=2000000,retention=720h,others=3,projects,shape=groq,
// max_rows=50000,max_bytes=200000000".
func (b *Batches) UnmarshalText(text []byte) error {
	*b = Batches{}
	return setters{
		"scale": into(&b.Scale, parseFloat), "validate": into(&b.Validate, parseDuration), "run": into(&b.Run, parseDuration),
		"cancel": into(&b.Cancel, parseDuration), "window": into(&b.Window, parseDuration), "queue": into(&b.Queue, parseInt),
		"retention": into(&b.Retention, parseDuration), "others": into(&b.Others, parseInt),
		"projects": into(&b.Projects, strconv.ParseBool), "shape": into(&b.Shape, parseText),
		"max_rows": into(&b.MaxRows, parseInt), "max_bytes": into(&b.MaxBytes, parseInt),
	}.read("batches", string(text))
}

// batchFaults are the faults of batches among all, mixes spread over their
// kinds.
func batchFaults(faults []Fault) (list []batches.Fault) {
	for _, f := range faults {
		for _, kind := range f.batchKinds() {
			list = append(list, batches.Fault{
				Kind: kind, Share: f.Share, Hold: f.Hold, Model: f.Only.Model, Contains: f.Only.Contains, First: f.Only.First,
				Batch: f.Only.Batch, Call: f.Only.Call,
			})
		}
	}
	return list
}

// batchKinds are the kinds of batch faults that a fault names; none for a fault
// of live requests. A mix makes each of its kinds as frequent as it says.
func (f Fault) batchKinds() []string {
	for _, k := range batches.Kinds {
		if k.Name == f.Kind {
			return []string{f.Kind}
		}
	}
	return batches.Mixes[f.Kind]
}

// serveBatches answers what asks for files or batches; it reports whether that
// was so.
func (s *Server) serveBatches(w http.ResponseWriter, r *http.Request) bool {
	at, ok := batches.Find(r)
	if !ok {
		return false
	}
	key := apiKey(r.Header)
	if batches.NeedsKey(r) && !s.accepts(key) {
		batches.Refuse(w, at, http.StatusUnauthorized, "Incorrect API key provided.")
		return true
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	x := &exchange{server: s, w: w, r: r.WithContext(ctx)}
	if !s.register(x, cancel) {
		http.Error(w, "server closed", http.StatusServiceUnavailable)
		return true
	}
	defer s.unregister(x)
	if s.batches.Serve(w, x.r, at, key) {
		x.breakOff()
	}
	return true
}

// Rows returns the ledger with the rows of batches by custom_id, the batches,
// and the counters of every conversation.
func (s *Server) Rows() Ledger {
	made := s.batches.Settle(time.Now())
	l := s.book.Copy(true)
	l.Made, l.Rows = made, s.book.Rows()
	return l
}

// writeLedger writes the ledger with the rows of batches into a file.
func (s *Server) writeLedger(path string) error {
	b, err := json.MarshalIndent(s.Rows(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// A batchModel answers the rows of batches as live requests are answered, but
// for limits and the faults of live requests.
type batchModel struct{ *Server }

// protocolOf is the wire format of a path.
func protocolOf(path string) requests.Protocol {
	switch {
	case strings.HasSuffix(path, "/messages"):
		return requests.Messages
	case requests.IsGemini(path):
		return requests.Gemini
	case strings.HasSuffix(path, "/responses"):
		return requests.Responses
	case strings.HasSuffix(path, "/embeddings"):
		return requests.Embeddings
	case strings.HasSuffix(path, "/chat/completions"):
		return requests.Chat
	}
	return requests.Completions
}

// exchange begins the exchange that a row stands for. A failure says why the
// row is refused.
func (m batchModel) exchange(q batches.Question) (*exchange, *failure) {
	at := &url.URL{Path: q.Path}
	x := &exchange{server: m.Server, protocol: protocolOf(q.Path), r: &http.Request{URL: at, Header: http.Header{}},
		start: q.Time}
	x.key, x.batch, x.factor = q.APIKey, true, 1
	x.entry.RequestID = ident("req_", random.Start.WithInt(m.cfg.Seed).With(q.ID), 24)
	f := x.accept(q.Body)
	if f == nil && x.ask.Stream {
		f = &failure{status: http.StatusBadRequest, kind: "invalid_request_error",
			message: "Streaming is not supported in batches."}
	}
	return x, f
}

// Describe implements batches.Model.
func (m batchModel) Describe(q batches.Question) (a batches.Answer) {
	x, f := m.exchange(q)
	if x.ask != nil {
		a.Model, a.Prompt, a.Key, a.Input = x.ask.Model, answers.Head(x.ask.Question, 160), x.ask.Key, x.ask.InputTokens
	}
	a.RequestID = x.entry.RequestID
	if f != nil {
		a.Status, a.Body = f.status, x.errorBody(f)
	}
	return a
}

// Answer implements batches.Model.
func (m batchModel) Answer(q batches.Question) batches.Answer {
	x, f := m.exchange(q)
	a := batches.Answer{Status: http.StatusOK, RequestID: x.entry.RequestID}
	if x.ask != nil {
		a.Model, a.Prompt, a.Key, a.Input = x.ask.Model, answers.Head(x.ask.Question, 160), x.ask.Key, x.ask.InputTokens
	}
	if f != nil {
		a.Status, a.Body = f.status, x.errorBody(f)
		return a
	}
	x.reply = x.generate()
	if q.Long > 0 && x.ask.Embed == nil {
		x.reply.choices[0].text += strings.Repeat(" night", q.Long/len(" night")+1)
	}
	x.setUsage(x.reply)
	for _, p := range x.render(x.reply).pieces {
		a.Body = append(a.Body, p.data...)
	}
	a.Tokens = x.reply.tokens
	m.spend(x.key, a.Tokens.Total(), 1)
	return a
}

var _ batches.Model = batchModel{}

// settled is the ledger when all batches are up to date.
func (s *Server) settled(prompts bool) ledger.Ledger {
	s.batches.Settle(time.Now())
	return s.book.Copy(prompts)
}
