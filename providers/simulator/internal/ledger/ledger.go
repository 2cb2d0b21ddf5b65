// Package ledger counts what a server received, generated, billed and delivered.
package ledger

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"nightshift/providers/simulator/internal/random"
)

// Tokens are counted in disjoint classes; Reasoning lies inside Output.
type Tokens struct {
	Input        int64 `json:"input"`
	CacheRead    int64 `json:"cache_read"`
	CacheWrite5m int64 `json:"cache_write_5m"`
	CacheWrite1h int64 `json:"cache_write_1h"`
	Output       int64 `json:"output"`
	Reasoning    int64 `json:"reasoning"`
}

// Total is all input and output.
func (t Tokens) Total() int64 { return t.InputTotal() + t.Output }

// InputTotal is all input, cached included.
func (t Tokens) InputTotal() int64 {
	return t.Input + t.CacheRead + t.CacheWrite5m + t.CacheWrite1h
}

func (t *Tokens) Add(u Tokens, sign int64) {
	t.Input += sign * u.Input
	t.CacheRead += sign * u.CacheRead
	t.CacheWrite5m += sign * u.CacheWrite5m
	t.CacheWrite1h += sign * u.CacheWrite1h
	t.Output += sign * u.Output
	t.Reasoning += sign * u.Reasoning
}

// A Price is in nano-dollars a token: $3 per million tokens is 3,000.
type Price struct {
	Input, CacheRead, CacheWrite5m, CacheWrite1h, Output int64
}

// Cost prices tokens, in nano-dollars.
func (p Price) Cost(t Tokens) int64 {
	return p.Input*t.Input + p.CacheRead*t.CacheRead + p.CacheWrite5m*t.CacheWrite5m +
		p.CacheWrite1h*t.CacheWrite1h + p.Output*t.Output
}

// Totals is what a server, or one model of it, did.
type Totals struct {
	Received  int64 `json:"received"`  // requests to a model, whatever became of them
	Answered  int64 `json:"answered"`  // answers generated: all of them are billed
	Delivered int64 `json:"delivered"` // of those, written whole
	Refused   int64 `json:"refused"`   // 429 by the limits
	Rejected  int64 `json:"rejected"`  // refused for what they are: key, quota, model, parameters
	Faulted   int64 `json:"faulted"`   // hit by a fault, answered or not
	Aborted   int64 `json:"aborted"`   // given up by the client
	Early     int64 `json:"early"`     // sent although the client had been told to wait longer
	Polls     int64 `json:"polls"`     // questions after answers that are made in the background
	Cancelled int64 `json:"cancelled"` // cancellations of those

	Billed Tokens `json:"billed"` // of all answers generated
	// CacheReadable is what an oracle would have read from the prompt cache: all that
	// earlier requests share. Only where Config.Cache is on.
	CacheReadable   int64  `json:"cache_readable,omitempty"`
	DeliveredTokens Tokens `json:"delivered_tokens"` // of those written whole

	// What travelled in batches, which is in none of the above and costs half.
	BatchRows            int64  `json:"batch_rows"`
	BatchAnswered        int64  `json:"batch_answered"` // and billed
	BatchDelivered       int64  `json:"batch_delivered"`
	BatchBilled          Tokens `json:"batch_billed"`
	BatchDeliveredTokens Tokens `json:"batch_delivered_tokens"`
}

func (t *Totals) add(e *Entry, sign int64) {
	t.Received += sign
	count := func(n *int64, is bool) {
		if is {
			*n += sign
		}
	}
	count(&t.Answered, e.Answered)
	count(&t.Delivered, e.Delivered)
	count(&t.Refused, e.Outcome == Refused)
	count(&t.Rejected, e.Outcome == Rejected)
	count(&t.Faulted, e.Fault != "")
	count(&t.Aborted, e.Outcome == Aborted)
	count(&t.Early, e.Early)
	t.Billed.Add(e.Tokens, sign)
	if e.Answered {
		t.CacheReadable += sign * e.CacheReadable
	}
	if e.Delivered {
		t.DeliveredTokens.Add(e.Tokens, sign)
	}
}

// A Ledger is what a server did so far. Requests in flight are not in it,
// but for the two counts that say so.
type Ledger struct {
	Totals
	InFlight    int64              `json:"in_flight"`
	MaxInFlight int64              `json:"max_in_flight"`
	Models      map[string]Totals  `json:"models,omitempty"`
	Faults      map[string]int64   `json:"faults,omitempty"`   // by kind
	Statuses    map[int]int64      `json:"statuses,omitempty"` // HTTP status sent; 0 when none was
	First       time.Time          `json:"first,omitzero"`     // first and last request received
	Last        time.Time          `json:"last,omitzero"`
	Prompts     map[string]counter `json:"prompts,omitempty"` // by Key; only where asked for
	// Calls to batch APIs, by operation: upload, files, file, content, remove,
	// create, list, get, cancel, delete.
	Calls map[string]int64 `json:"calls,omitempty"`
	// Rows of batches by custom_id, and the batches; only where asked for.
	Rows map[string]Row `json:"rows,omitempty"`
	Made []Batch        `json:"made,omitempty"`
	// Uncounted is how many requests or rows had no counter left, see Config.MaxLedger.
	Uncounted int64 `json:"uncounted,omitempty"`
}

// Invoice prices all billed tokens, in nano-dollars, those of batches at half; unpriced names the
// models without a price, which are not in the sum.
func (l Ledger) Invoice(prices map[string]Price) (total int64, unpriced []string) {
	for _, model := range slices.Sorted(maps.Keys(l.Models)) {
		price, ok := prices[model]
		if !ok {
			unpriced = append(unpriced, model)
			continue
		}
		m := l.Models[model]
		total += price.Cost(m.Billed) + price.Cost(m.BatchBilled)/2
	}
	return total, unpriced
}

// A counter follows one conversation with one model.
type counter struct {
	Model     string `json:"model"`
	Prompt    string `json:"prompt"` // beginning of the last user message
	Received  int64  `json:"received"`
	Answered  int64  `json:"answered"`
	Delivered int64  `json:"delivered"`
}

// An Outcome says in one word what became of a request.
type Outcome string

const (
	Delivered Outcome = "delivered" // answer written whole
	Refused   Outcome = "refused"   // 429 by the limits
	Rejected  Outcome = "rejected"  // refused for what it is
	Faulted   Outcome = "faulted"   // ended by a fault
	Aborted   Outcome = "aborted"   // the client went away
)

// An Entry is one exchange, a line of the log.
type Entry struct {
	Time      time.Time `json:"time"` // of arrival
	Millis    float64   `json:"ms"`
	Model     string    `json:"model"`
	Protocol  string    `json:"protocol"`
	Key       string    `json:"key"`    // of the conversation, see Key
	Prompt    string    `json:"prompt"` // beginning of the last user message
	RequestID string    `json:"request_id,omitempty"`
	Status    int       `json:"status"`
	Outcome   Outcome   `json:"outcome"`
	Fault     string    `json:"fault,omitempty"`
	Answered  bool      `json:"answered"`
	Delivered bool      `json:"delivered"`
	Early     bool      `json:"early,omitempty"`
	Stream    bool      `json:"stream,omitempty"`
	Stop      string    `json:"stop,omitempty"`
	Tokens    Tokens    `json:"tokens"`
	// CacheReadable is how many of the tokens an earlier request shares.
	CacheReadable int64 `json:"cache_readable,omitempty"`
}

// A Book is the ledger while it is written.
type Book struct {
	mu     sync.Mutex
	Ledger Ledger
	counts map[random.Seed]*counter
	rows   map[string]*Row // by custom_id
	max    int
}

// New makes an empty book with counters for so many conversations; 0 means
// 200,000.
func New(max int) *Book {
	if max == 0 {
		max = 200_000
	}
	return &Book{max: max, counts: map[random.Seed]*counter{}, rows: map[string]*Row{}, Ledger: Ledger{
		Models: map[string]Totals{}, Faults: map[string]int64{}, Statuses: map[int]int64{},
	}}
}

// Arrive notes the start of a request.
func (b *Book) Arrive(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.Ledger
	if l.First.IsZero() {
		l.First = now
	}
	l.Last = now
	l.InFlight++
	l.MaxInFlight = max(l.MaxInFlight, l.InFlight)
}

// Poll notes a question after an answer that is made in the background, or its
// cancellation.
func (b *Book) Poll(cancelled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cancelled {
		b.Ledger.Cancelled++
	} else {
		b.Ledger.Polls++
	}
}

// Settle adds an exchange (sign 1) or takes it out again (-1).
func (b *Book) Settle(e *Entry, k random.Seed, sign int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.Ledger
	l.InFlight -= sign
	l.add(e, sign)
	l.Statuses[e.Status] += sign
	if e.Fault != "" {
		l.Faults[e.Fault] += sign
	}
	if e.Model == "" {
		return
	}
	m := l.Models[e.Model]
	m.add(e, sign)
	l.Models[e.Model] = m
	if c := b.counter(k, e); c != nil {
		c.Received += sign
		if e.Answered {
			c.Answered += sign
		}
		if e.Delivered {
			c.Delivered += sign
		}
	}
}

func (b *Book) counter(k random.Seed, e *Entry) *counter {
	c := b.counts[k]
	if c == nil {
		if len(b.counts) >= b.max {
			b.Ledger.Uncounted++
			return nil
		}
		c = &counter{Model: e.Model, Prompt: e.Prompt}
		b.counts[k] = c
	}
	return c
}

// Copy returns the ledger as it stands.
func (b *Book) Copy(prompts bool) Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.Ledger
	l.Models, l.Faults, l.Statuses = maps.Clone(l.Models), maps.Clone(l.Faults), maps.Clone(l.Statuses)
	l.Calls = maps.Clone(l.Calls)
	maps.DeleteFunc(l.Statuses, func(_ int, n int64) bool { return n == 0 })
	if prompts {
		l.Prompts = make(map[string]counter, len(b.counts))
		for k, c := range b.counts {
			l.Prompts[k.Text()] = *c
		}
	}
	return l
}

// AnsweredBefore is how often a conversation was answered, for Config.Vary.
func (b *Book) AnsweredBefore(k random.Seed) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.counts[k]; c != nil {
		return c.Answered
	}
	return 0
}

// Line renders an entry for the log.
func (e *Entry) Line() []byte {
	b, _ := json.Marshal(e) // an Entry always marshals: no floats but Millis, which is finite
	return append(b, '\n')
}
