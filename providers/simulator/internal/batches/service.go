// Package batches is the part of the simulator that takes work in batches:
// files, batches over them, and batches whose requests travel in the call that
// makes them, as OpenAI, Anthropic, Google, Mistral, Groq and Together have
// them.
//
// Nothing here runs by itself. How a batch stands follows from what was asked
// of it and from the time, and is worked out when somebody asks. So a batch is
// the same in a test with a simulated clock and behind a port.
package batches

import (
	"net/http"
	"sync"
	"time"

	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
)

// Config is that of the simulator, which describes it.
type Config struct {
	Scale                         float64
	Validate, Run, Cancel, Window time.Duration
	Queue                         int64
	Retention                     time.Duration
	Others                        int
	Projects                      bool
	Shape                         string
	MaxRows                       int
	MaxBytes                      int64
}

// The shapes that paths alone do not tell apart.
const (
	shapeOpenAI   = "openai"
	shapeGroq     = "groq"
	shapeTogether = "together"
	shapeMistral  = "mistral" // checks uploads; its jobs have a path of their own
)

// Shapes are the values of Config.Shape.
func Shapes() []string { return []string{shapeOpenAI, shapeGroq, shapeTogether, shapeMistral} }

// scaled is how long something of the vendors' time takes here.
func (c *Config) scaled(d time.Duration) time.Duration {
	if c.Scale <= 0 || c.Scale == 1 {
		return d
	}
	return time.Duration(float64(d) / c.Scale)
}

// A Model answers rows.
type Model interface {
	// Answer makes the answer to a row and says what it costs.
	Answer(q Question) Answer
	// Describe reads a row without answering it: only Model, Prompt, Key and
	// Input of the answer are set, and Status where the row is refused.
	Describe(q Question) Answer
}

// A Question is one row on its way to the model.
type Question struct {
	APIKey string
	Path   string // that a live request would go to
	Body   []byte
	Time   time.Time
	ID     string // unlike that of any other row
	Long   int    // bytes that the text is drawn out by
}

// An Answer is what a live request would have been answered.
type Answer struct {
	Status    int
	Body      []byte
	RequestID string
	Model     string
	Prompt    string      // beginning of the last user message
	Key       random.Seed // of the conversation
	Input     int         // tokens of the prompt
	Tokens    ledger.Tokens
}

// A Service is the batch API of one server.
type Service struct {
	cfg    Config
	model  Model
	book   *ledger.Book
	seed   random.Seed
	faults map[string][]Fault
	ahead  time.Duration // of the clock that answers are written by

	mu       sync.Mutex
	files    []*file // oldest first
	batches  []*batch
	sessions map[string]*upload // of uploads in several requests
	creates  int                // calls that would make a batch
	calls    map[string]int     // by operation
	tries    map[random.Seed]int
	welcomed map[string]bool // projects and styles that have seen other people's batches
	ids      uint64
}

// New makes the batch API of a server.
func New(cfg Config, faults []Fault, seed uint64, m Model, book *ledger.Book) *Service {
	s := &Service{
		cfg: cfg, model: m, book: book, seed: random.Start.With("batches").WithInt(seed),
		faults: map[string][]Fault{}, sessions: map[string]*upload{}, calls: map[string]int{},
		tries: map[random.Seed]int{}, welcomed: map[string]bool{},
	}
	for _, f := range faults {
		s.faults[f.Kind] = append(s.faults[f.Kind], f)
	}
	if late := s.faults[clockAhead]; late != nil && late[0].Share > 0 {
		s.ahead = hold(&late[0], 10*time.Minute)
	}
	return s
}

// Close removes all files.
func (s *Service) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.data.close()
	}
	for _, b := range s.batches {
		b.close()
	}
	s.files, s.batches = nil, nil
}

// project is whose files and batches a key sees.
func (s *Service) project(apiKey string) string {
	if s.cfg.Projects {
		return apiKey
	}
	return ""
}

// A call is one request to the API.
type call struct {
	*Service
	w       http.ResponseWriter
	r       *http.Request
	at      place
	now     time.Time
	apiKey  string
	project string
	number  int // of the calls of its operation
}

// Serve answers a request for a place that Find found. It reports whether the
// connection must be broken now.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, at Place, apiKey string) (abort bool) {
	c := &call{Service: s, w: w, r: r, at: place(at), now: time.Now(), apiKey: apiKey, project: s.project(apiKey)}
	s.mu.Lock()
	s.calls[at.op]++
	c.number = s.calls[at.op]
	s.welcome(c)
	s.advanceAll(c.now)
	s.mu.Unlock()
	s.book.Call(at.op)
	if s.ahead != 0 {
		w.Header().Set("Date", c.now.Add(s.ahead).UTC().Format(http.TimeFormat))
	}
	w.Header().Set("X-Request-Id", s.id("req_"))
	do := c.at.style.operations()[at.op]
	if do == nil {
		return c.refuse(notFound("Invalid URL (" + r.Method + " " + r.URL.Path + ")"))
	}
	return do(c)
}

// Refuse answers a request that the server does not accept, in the words of
// the vendor.
func Refuse(w http.ResponseWriter, at Place, status int, message string) {
	c := &call{w: w, at: place(at)}
	c.refuse(&refusal{status: status, kind: "authentication_error", code: "invalid_api_key", message: message})
}

// Settle brings all batches up to date, so that the ledger tells how things
// stand now, and describes them.
func (s *Service) Settle(now time.Time) []ledger.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advanceAll(now)
	var list []ledger.Batch
	for _, b := range s.batches {
		if !b.foreign {
			list = append(list, b.summary(now))
		}
	}
	return list
}

// id makes an id that no other thing has.
func (s *Service) id(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newID(prefix)
}

// newID is id where mu is held.
func (s *Service) newID(prefix string) string {
	s.ids++
	return prefix + s.seed.With("id").WithInt(s.ids).Text() + s.seed.With("more").WithInt(s.ids).Text()[:8]
}

// shown is a time as answers tell it.
func (s *Service) shown(t time.Time) time.Time { return t.Add(s.ahead) }
