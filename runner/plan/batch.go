package plan

import (
	"cmp"
	"slices"
	"time"
)

// Modes of a model: one request for each row, or rows in the provider's batches.
const (
	ModeLive  = "live"
	ModeBatch = "batch"
)

// What becomes of rows that a batch has ended without: the next batch, a live
// request, or a failed row.
const (
	ThenNext = "next"
	ThenLive = "live"
	ThenFail = "fail"
)

// BatchSettings say how a model's rows travel in batches. 0 and "" are the
// provider's own.
type BatchSettings struct {
	MaxRequests       int   // rows in a batch
	MaxBytes          int64 // bytes of a batch
	MaxEnqueuedTokens int64 // tokens of all batches that are away at once
	Window            string
	// The first look at a batch comes after PollFirst; the time between two looks
	// then grows to PollMost. Both 0: by the age of the batch.
	PollFirst, PollMost time.Duration
	Deadline            time.Duration // from the creation of a batch; then it is cancelled
	Then                string        // ThenNext, ThenLive or ThenFail
	MinRequests         int           // fewer rows than that may go live where Then is ThenLive
	DeleteRemote        bool          // files at the provider, once their rows are committed
}

// defaultMinRequests is the rest that is not worth a batch of its own.
const defaultMinRequests = 50

// over lays the keys of b that are there over those of base.
func (b Batch) over(base Batch) Batch {
	set(&base.MaxRequests, b.MaxRequests)
	set(&base.MaxBytes, b.MaxBytes)
	set(&base.MaxEnqueuedTokens, b.MaxEnqueuedTokens)
	set(&base.Window, b.Window)
	set(&base.Poll, b.Poll)
	set(&base.Deadline, b.Deadline)
	set(&base.Then, b.Then)
	set(&base.Remote, b.Remote)
	if b.MinRequests != nil {
		base.MinRequests = b.MinRequests
	}
	return base
}

// settings fills in the defaults.
func (b Batch) settings() BatchSettings {
	s := BatchSettings{
		MaxRequests: int(b.MaxRequests), MaxBytes: int64(b.MaxBytes), MaxEnqueuedTokens: b.MaxEnqueuedTokens,
		Window: string(b.Window), PollFirst: b.Poll.First, PollMost: b.Poll.Most, Deadline: time.Duration(b.Deadline),
		Then: cmp.Or(b.Then, ThenNext), MinRequests: defaultMinRequests, DeleteRemote: b.Remote == "delete",
	}
	if b.MinRequests != nil {
		s.MinRequests = int(*b.MinRequests)
	}
	return s
}

// batch checks a batch block.
func (c *checker) batch(path string, b Batch) {
	c.atLeast(path+".max_requests", b.MaxRequests, 0)
	c.atLeast(path+".max_enqueued_tokens", b.MaxEnqueuedTokens, 0)
	if b.MinRequests != nil && *b.MinRequests < 0 {
		c.at(path+".min_requests", "", "%s.min_requests is below zero", path)
	}
	c.oneOf(path+".then", b.Then, ThenNext, ThenLive, ThenFail)
	c.oneOf(path+".remote", b.Remote, "keep", "delete")
}

// mode checks a word of mode:.
func (c *checker) mode(path, mode string) { c.oneOf(path, mode, ModeLive, ModeBatch) }

// batched sees that the endpoint of a model in batches has a batch API, and
// notes what the model does not do there.
func (r *resolver) batched(path string, m *ResolvedModel) {
	if m.Mode != ModeBatch {
		return
	}
	path = r.modePath(path)
	if m.Endpoint.Batch.Dialect == "" {
		r.at(path, "leave it live, or say where its batch API is: endpoints."+m.Endpoint.Name+
			".batch_api: {dialect: openai}", "%s is in mode batch, and no batch API of %s is known for the format %s",
			m.Name, m.Endpoint.Name, m.Endpoint.Protocol)
	}
	if m.RowsPerRequest > 1 {
		r.note("%s goes in batches, where each row is a request of its own: rows_per_request is not used", m.Name)
	}
	if tier := m.asked(); tier != "" {
		r.note("%s goes in batches and its params ask for the tier %q: providers refuse that, or ignore it", m.Name, tier)
	}
}

// modePath is where the mode of the model at path was written.
func (r *resolver) modePath(path string) string {
	if r.plan.allModes != "" {
		return "mode"
	}
	return path + ".mode"
}

// HasBatches reports whether a model or a judge goes in batches.
func (r *Resolved) HasBatches() bool {
	judged := func(s ResolvedScorer) bool { return s.Judge != nil && s.Judge.Mode == ModeBatch }
	return slices.ContainsFunc(r.Models, func(m ResolvedModel) bool { return m.Mode == ModeBatch }) ||
		slices.ContainsFunc(r.Scorers, judged)
}
