package ledger

import (
	"slices"
	"time"

	"nightshift/providers/simulator/internal/random"
)

// A Row follows one custom_id through all batches that held it.
type Row struct {
	Model     string   `json:"model"`
	Prompt    string   `json:"prompt,omitempty"` // the key of its conversation
	Received  int64    `json:"received"`
	Answered  int64    `json:"answered"` // and billed
	Delivered int64    `json:"delivered"`
	Batches   []string `json:"batches"` // those that held it
}

// A Batch is one that a client made.
type Batch struct {
	ID        string            `json:"id"`
	Number    int               `json:"number"` // of the call that made it
	Model     string            `json:"model"`
	InputFile string            `json:"input_file_id,omitempty"`
	Deleted   bool              `json:"input_deleted,omitempty"` // the input file is
	Name      string            `json:"name,omitempty"`          // its own, or its input file's
	Metadata  map[string]string `json:"metadata,omitempty"`
	State     string            `json:"state"`
	Created   time.Time         `json:"created"`
	Rows      int               `json:"rows"`
	Answered  int               `json:"answered"` // and billed
	Delivered int               `json:"delivered"`
}

// A RowEvent is one run of a row.
type RowEvent struct {
	ID, Batch, Model  string
	Prompt, RequestID string
	Key               random.Seed
	Status            int
	Answered          bool
	Tokens            Tokens
	Time              time.Time
}

// Call counts a call to a batch API.
func (b *Book) Call(operation string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Ledger.Calls == nil {
		b.Ledger.Calls = map[string]int64{}
	}
	b.Ledger.Calls[operation]++
}

// Fault counts a fault of batches.
func (b *Book) Fault(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Ledger.Faults[kind]++
}

// BatchRow notes that a batch holds a row.
func (b *Book) BatchRow(id, model, batch string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Ledger.BatchRows++
	b.update(model, func(t *Totals) { t.BatchRows++ })
	if r := b.row(id, model); r != nil {
		r.Received++
		r.Batches = append(r.Batches, batch)
	}
}

func (b *Book) row(id, model string) *Row {
	r := b.rows[id]
	if r == nil {
		if len(b.rows) >= b.max {
			b.Ledger.Uncounted++
			return nil
		}
		r = &Row{Model: model}
		b.rows[id] = r
	}
	return r
}

func (b *Book) update(model string, change func(*Totals)) {
	t := b.Ledger.Models[model]
	change(&t)
	b.Ledger.Models[model] = t
}

// SettleRow enters what a row's run cost.
func (b *Book) SettleRow(e RowEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[e.ID]
	if r != nil && e.Key != 0 {
		r.Prompt = e.Key.Text()
	}
	c := b.counter(e.Key, &Entry{Model: e.Model, Prompt: e.Prompt})
	if c != nil {
		c.Received++
	}
	if !e.Answered {
		return
	}
	add := func(t *Totals) {
		t.BatchAnswered++
		t.BatchBilled.Add(e.Tokens, 1)
	}
	add(&b.Ledger.Totals)
	b.update(e.Model, add)
	if r != nil {
		r.Answered++
	}
	if c != nil {
		c.Answered++
	}
}

// DeliverRow notes that a row's answer was sent to a client.
func (b *Book) DeliverRow(id string, key random.Seed, model string, t Tokens) {
	b.mu.Lock()
	defer b.mu.Unlock()
	add := func(to *Totals) {
		to.BatchDelivered++
		to.BatchDeliveredTokens.Add(t, 1)
	}
	add(&b.Ledger.Totals)
	b.update(model, add)
	if r := b.rows[id]; r != nil {
		r.Delivered++
	}
	if c := b.counts[key]; c != nil {
		c.Delivered++
	}
}

// Rows returns the rows of batches by their custom_id.
func (b *Book) Rows() map[string]Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := make(map[string]Row, len(b.rows))
	for id, r := range b.rows {
		one := *r
		one.Batches = slices.Clone(one.Batches)
		rows[id] = one
	}
	return rows
}
