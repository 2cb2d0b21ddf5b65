package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"nightshift"
)

// A fakeAPI is a batch API in memory. Its faults are funcs: before an operation
// is carried out, after it, and for what a row comes to.
type fakeAPI struct {
	mu      sync.Mutex
	limits  nightshift.BatchLimits
	account nightshift.BatchAccount
	takes   time.Duration // from creation to the end of a batch
	cancels time.Duration // from cancelling to the end
	expires time.Duration

	// before and after are told of the n-th call of an operation; an error is
	// what the caller gets.
	before, after func(op string, n int) error
	// result are the lines for a row of a batch; nil is one that answers.
	result func(b *fakeBatch, row fakeRow) []fakeResult
	// fails says why a batch fails when it is checked; nil is that it does not.
	fails func(b *fakeBatch) *nightshift.BatchError
	late  time.Duration // after which a create call that failed is carried out after all
	deaf  bool          // cancelling is answered, and nothing else
	// state changes how a batch looks from outside.
	state func(b *fakeBatch, seen *nightshift.Batch)

	calls   map[string]int
	files   map[string][]byte
	batches []*fakeBatch
	billed  map[string]int // answers by prompt
	nextID  int
}

// A fakeBatch is a batch at the fake's server.
type fakeBatch struct {
	n         int
	id, file  string
	order     nightshift.BatchOrder
	created   time.Time
	cancelled time.Time
	rows      []fakeRow
	deleted   bool
	ran       bool
	output    []fakeResult
	phase     nightshift.BatchPhase // what it ends as
	failure   *nightshift.BatchError
}

type fakeRow struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

type fakeResult struct {
	ID    string                `json:"id"`
	Text  string                `json:"text,omitempty"`
	Class nightshift.ErrorClass `json:"class,omitempty"`
	Next  nightshift.BatchNext  `json:"next,omitempty"`

	inErrors bool   // stands in the error file
	raw      string // in place of the JSON
	charged  bool   // was billed
}

func newFake() *fakeAPI {
	return &fakeAPI{
		limits:  nightshift.BatchLimits{Rows: 1000, Window: "24h", Cancel: true, Retention: 30 * 24 * time.Hour},
		account: nightshift.BatchAccount{BaseURL: "http://fake", Key: "key-1"},
		takes:   20 * time.Minute, cancels: time.Minute, expires: 24 * time.Hour,
		calls: map[string]int{}, files: map[string][]byte{}, billed: map[string]int{},
	}
}

// op counts a call and says what goes wrong before it does anything.
func (f *fakeAPI) op(op string) (after func() error, err error) {
	f.calls[op]++
	n := f.calls[op]
	if f.before != nil {
		if err := f.before(op, n); err != nil {
			return nil, err
		}
	}
	return func() error {
		if f.after == nil {
			return nil
		}
		return f.after(op, n)
	}, nil
}

func (f *fakeAPI) Limits() nightshift.BatchLimits   { return f.limits }
func (f *fakeAPI) Account() nightshift.BatchAccount { return f.account }
func (f *fakeAPI) ServerTime() time.Time            { return time.Now() }

const fakeWorst, fakePrice = 20, 5 // tokens and cost of a row: at most, and when it answers

func (f *fakeAPI) Encode(dst []byte, id string, req nightshift.Request) ([]byte, nightshift.BatchCost, error) {
	prompt := ""
	for _, m := range req.Messages {
		prompt += "|" + m.Text
	}
	if prompt == "|bad" {
		return nil, nightshift.BatchCost{},
			&nightshift.Error{Class: nightshift.ClassUntranslatable, Message: "cannot be said"}
	}
	line, err := json.Marshal(fakeRow{id, prompt[1:]})
	cost := nightshift.BatchCost{Input: 10, Output: 10, Cost: fakeWorst, Queued: 4, Hash: "hash-" + prompt[1:]}
	return append(append(dst, line...), '\n'), cost, err
}

func (f *fakeAPI) Upload(_ context.Context, name string, r io.Reader, size int64) (nightshift.BatchFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("upload")
	if err != nil {
		return nightshift.BatchFile{}, err
	}
	body, err := io.ReadAll(r)
	if err != nil || int64(len(body)) != size {
		return nightshift.BatchFile{}, fmt.Errorf("%d bytes of %d: %w", len(body), size, err)
	}
	f.nextID++
	id := fmt.Sprintf("file-%d", f.nextID)
	f.files[id] = body
	return nightshift.BatchFile{ID: id}, after()
}

func (f *fakeAPI) Create(_ context.Context, o nightshift.BatchOrder) (nightshift.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("create")
	if err != nil {
		if f.late > 0 {
			f.createLate(o, f.late)
		}
		return nightshift.Batch{}, err
	}
	b, err := f.create(o)
	if err != nil {
		return nightshift.Batch{}, err
	}
	seen := f.seen(b)
	return seen, after()
}

// createLate carries out a create call whose client has given it up.
func (f *fakeAPI) createLate(o nightshift.BatchOrder, after time.Duration) {
	time.AfterFunc(after, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, _ = f.create(o) // nobody hears of an error
	})
}

func (f *fakeAPI) create(o nightshift.BatchOrder) (*fakeBatch, error) {
	body, there := f.files[o.File.ID]
	if f.limits.Inline {
		body, _ = os.ReadFile(o.Path)
	} else if !there {
		return nil, &nightshift.BatchError{Cause: nightshift.BatchFileMissing, Next: nightshift.BatchAgain,
			Err: &nightshift.Error{Class: nightshift.ClassNotFound, Status: 404, Message: "no such file"}}
	}
	f.nextID++
	b := &fakeBatch{n: len(f.batches) + 1, id: fmt.Sprintf("batch-%d", f.nextID), file: o.File.ID, order: o,
		created: time.Now(), phase: nightshift.BatchCompleted}
	for line := range bytes.Lines(body) {
		var row fakeRow
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, err
		}
		b.rows = append(b.rows, row)
	}
	f.batches = append(f.batches, b)
	return b, nil
}

// addForeign is a batch of somebody else.
func (f *fakeAPI) addForeign(rows int) *fakeBatch {
	b := &fakeBatch{id: "foreign", created: time.Now(), phase: nightshift.BatchCompleted}
	for i := range rows {
		b.rows = append(b.rows, fakeRow{ID: fmt.Sprint("row-", i), Prompt: fmt.Sprint("foreign ", i)})
	}
	f.batches = append(f.batches, b)
	return b
}

// away is how many batches have not ended.
func (f *fakeAPI) away() (n int) {
	for _, b := range f.batches {
		if s := f.seen(b); !s.Phase.Ended() {
			n++
		}
	}
	return n
}

// endAll makes the results of what has ended, also where nobody has asked.
func (f *fakeAPI) endAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away()
}

// seen is how a batch looks now.
func (f *fakeAPI) seen(b *fakeBatch) nightshift.Batch {
	if b.deleted {
		return nightshift.Batch{ID: b.id, Phase: nightshift.BatchGone}
	}
	s := nightshift.Batch{ID: b.id, Phase: nightshift.BatchRunning, State: "in_progress", CreatedAt: b.created,
		ExpiresAt: b.created.Add(f.expires), FileID: b.file, Name: b.order.Name}
	end := b.created.Add(f.takes)
	if f.fails != nil {
		if b.failure = f.fails(b); b.failure != nil {
			end, b.phase = b.created.Add(30*time.Second), nightshift.BatchFailed
		}
	}
	if !f.deaf && !b.cancelled.IsZero() && b.cancelled.Before(end) {
		end, b.phase = b.cancelled.Add(f.cancels), nightshift.BatchCancelled
		s.Phase = nightshift.BatchCancelling
	}
	if !time.Now().Before(end) {
		f.run(b)
		s.Phase, s.EndedAt, s.Failure = b.phase, end, b.failure
		if b.failure == nil {
			s.Results = []string{b.id + "-output", b.id + "-errors"}
		}
	}
	if f.state != nil {
		f.state(b, &s)
	}
	return s
}

// run makes the results of a batch that has ended, once.
func (f *fakeAPI) run(b *fakeBatch) {
	if b.ran {
		return
	}
	b.ran = true
	for _, row := range b.rows {
		if b.failure != nil {
			return
		}
		lines := []fakeResult{{ID: row.ID, Text: "answer to " + row.Prompt}}
		if b.phase == nightshift.BatchCancelled {
			lines = []fakeResult{{ID: row.ID, Class: nightshift.ClassCancelled, inErrors: true}}
		}
		if f.result != nil {
			lines = f.result(b, row)
		}
		for _, l := range lines {
			if l.Text != "" || l.charged {
				f.billed[row.Prompt]++
			}
		}
		b.output = append(b.output, lines...)
	}
}

func (f *fakeAPI) Find(_ context.Context, o nightshift.BatchOrder, since time.Time) ([]nightshift.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("find")
	if err != nil {
		return nil, err
	}
	var list []nightshift.Batch
	for _, b := range f.batches {
		if b.created.Before(since) {
			continue
		}
		if s := f.seen(b); f.limits.Inline && len(b.rows) == o.Rows {
			s.Suspect = true
			list = append(list, s)
		} else if !f.limits.Inline && b.file == o.File.ID {
			list = append(list, s)
		}
	}
	if err := after(); err != nil {
		return nil, nil // the list lags
	}
	return list, nil
}

func (f *fakeAPI) Get(_ context.Context, ids []string) (list []nightshift.Batch, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("get")
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if b := f.batch(id); b != nil {
			list = append(list, f.seen(b))
		} else {
			list = append(list, nightshift.Batch{ID: id, Phase: nightshift.BatchGone})
		}
	}
	return list, after()
}

func (f *fakeAPI) batch(id string) *fakeBatch {
	for _, b := range f.batches {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (f *fakeAPI) Fetch(_ context.Context, b nightshift.Batch, handle string, w io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("fetch")
	if err != nil {
		return err
	}
	for _, r := range f.batch(b.ID).output {
		if r.inErrors != (handle == b.ID+"-errors") {
			continue
		}
		line := []byte(r.raw)
		if r.raw == "" {
			line, _ = json.Marshal(r)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return after()
}

func (f *fakeAPI) ResultID(line []byte) string {
	var r fakeResult
	if json.Unmarshal(line, &r) != nil {
		return ""
	}
	return r.ID
}

func (f *fakeAPI) Read(line []byte) (nightshift.BatchResult, error) {
	var r fakeResult
	if err := json.Unmarshal(line, &r); err != nil {
		return nightshift.BatchResult{}, err
	}
	got := nightshift.BatchResult{ID: r.ID, Next: r.Next}
	if r.Class != "" {
		got.Err = &nightshift.Error{Class: r.Class, Message: "says " + string(r.Class)}
		free := nightshift.NanoUSD(0)
		got.Response.Attempts = []nightshift.Attempt{{Cost: &free}}
		return got, nil
	}
	cost := nightshift.NanoUSD(fakePrice)
	u := nightshift.Usage{Input: nightshift.Tokens(3), Output: nightshift.Tokens(2), ServiceTier: "batch"}
	got.Response = nightshift.Response{Text: &r.Text, StopReason: nightshift.StopEnd, Usage: u, Status: 200,
		Attempts: []nightshift.Attempt{{Status: 200, Usage: u, Cost: &cost}}, Raw: line}
	return got, nil
}

func (f *fakeAPI) Cancel(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("cancel")
	if err != nil {
		return err
	}
	if b := f.batch(id); b.cancelled.IsZero() {
		b.cancelled = time.Now()
	}
	return after()
}

func (f *fakeAPI) Delete(_ context.Context, b nightshift.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.op("delete")
	if err != nil {
		return err
	}
	delete(f.files, b.FileID)
	if known := f.batch(b.ID); known != nil {
		known.deleted = true
	}
	return after()
}

// sent is how often a prompt was put into batches.
func (f *fakeAPI) sent() map[string]int {
	n := map[string]int{}
	for _, b := range f.batches {
		for _, row := range b.rows {
			n[row.Prompt]++
		}
	}
	return n
}

func (f *fakeAPI) sizes() (rows []int) {
	for _, b := range f.batches {
		rows = append(rows, len(b.rows))
	}
	return slices.Clip(rows)
}
