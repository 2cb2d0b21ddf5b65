package batches

import (
	"time"

	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
)

// A phase is how a batch stands.
type phase int

const (
	validating phase = iota
	running
	completed
	failed
	expired
	cancelled
)

func (p phase) over() bool { return p >= completed }

// A batch is work that was taken.
type batch struct {
	id       string
	number   int // of the call that made it; 0 for other people's
	style    style
	shape    string
	project  string
	apiKey   string
	foreign  bool // other people's
	endpoint string
	model    string
	name     string            // display name, where the API has one
	metadata map[string]string // nil for none
	window   string
	input    *file
	faults   map[string]*Fault

	created, validated, ends, expires time.Time
	cancelAsked                       time.Time // zero for never
	over                              time.Time // when it ended
	phase                             phase
	failure                           *failure // why it failed

	rows    []row
	done    int // rows that have run, in the order of running
	good    int
	bad     int
	used    ledger.Tokens
	queued  int64 // tokens of its prompts
	success *file // results; nil until there are any
	errors  *file // of rows without an answer, where they have a file of their own
	gets    int   // questions after it
	shows   int   // descriptions of it
	deleted bool
}

// A row is one request of a batch.
type row struct {
	at     int64 // in the input file
	size   int32
	id     string // custom_id
	prompt random.Seed
	tokens ledger.Tokens // billed
	given  bool          // delivered
}

// A failure is why a batch failed.
type failure struct {
	code, message, param string
	line                 int // from 1; 0 for none
}

// advanceAll brings all batches to a moment; mu is held.
func (s *Service) advanceAll(now time.Time) {
	for _, b := range s.batches { // what has ended frees its place in the queue first
		if b.phase != validating {
			s.advance(b, now)
		}
	}
	for _, b := range s.batches {
		if b.phase == validating {
			s.advance(b, now)
		}
	}
	s.forget(now)
}

// advance brings a batch to a moment; mu is held.
func (s *Service) advance(b *batch, now time.Time) {
	if b.phase == validating {
		s.leaveValidation(b, now)
	}
	if b.phase == running {
		s.run(b, now)
	}
}

func (s *Service) leaveValidation(b *batch, now time.Time) {
	stuck := b.is(stuckValidating)
	if asked := b.cancelAsked; !asked.IsZero() && (stuck || asked.Before(b.validated)) && !b.is(cancelIgnored) {
		if end := asked.Add(s.cfg.scaled(s.cfg.Cancel)); !now.Before(end) {
			s.end(b, cancelled, end)
		}
		return
	}
	if stuck || now.Before(b.validated) {
		return
	}
	if b.rows == nil { // vendors that do not check at once
		b.failure = s.check(b)
	}
	if b.failure != nil {
		s.end(b, failed, b.validated)
		return
	}
	b.phase = running
	s.received(b)
	if b.is(cancelledByOthers) && b.cancelAsked.IsZero() {
		b.cancelAsked = b.validated.Add(b.ends.Sub(b.validated) / 2)
	}
}

// run answers the rows that are due and ends the batch when its time comes.
func (s *Service) run(b *batch, now time.Time) {
	end, how, until := s.ending(b)
	if until.After(now) {
		until = now
	}
	due := b.due(until)
	if how == expired && b.is(expiredHalf) {
		due = min(due, len(b.rows)/2)
	}
	s.answer(b, due)
	if !end.IsZero() && !now.Before(end) {
		s.end(b, how, end)
	}
}

// ending is when a batch ends as things stand, how, and until when its rows
// run. A batch without an end has the zero time.
func (s *Service) ending(b *batch) (end time.Time, how phase, until time.Time) {
	const ever = 1000 * 24 * time.Hour
	end, how = b.ends, completed
	switch {
	case b.is(stuckRunning):
		end, until = time.Time{}, b.created.Add(ever)
	case b.is(expiredHalf), b.expires.Before(end):
		end, how = b.expires, expired
	}
	if until.IsZero() {
		until = end
	}
	asked := b.cancelAsked
	stops := asked.Add(s.cfg.scaled(s.cfg.Cancel))
	if !asked.IsZero() && !b.is(cancelIgnored) && (end.IsZero() || stops.Before(end) || b.is(cancelledByOthers)) {
		return stops, cancelled, asked
	}
	return end, how, until
}

// due is how many rows have run by a moment.
func (b *batch) due(t time.Time) int {
	n := len(b.rows)
	share := 1.0
	if length := b.ends.Sub(b.validated); t.Before(b.ends) && length > 0 {
		share = max(0, float64(t.Sub(b.validated))/float64(length))
	}
	if b.is(stuckRunning) || b.is(cancelledByOthers) {
		share = min(share, 0.5)
	}
	return int(share * float64(n))
}

// end closes a batch: rows that have not run are written as such.
func (s *Service) end(b *batch, how phase, at time.Time) {
	b.phase, b.over = how, at
	b.input.release()
	if how != failed {
		s.leftovers(b, how)
	}
	if b.is(badLine) {
		for _, f := range []*file{b.success, b.errors} {
			f.dropLastNewline()
		}
	}
	s.publish(b)
	if b.is(batchDeleted) {
		b.deleted = true
		s.drop(b.success)
		s.drop(b.errors)
	}
}

// publish makes the result files visible.
func (s *Service) publish(b *batch) {
	for _, f := range []*file{b.success, b.errors} {
		if f == nil {
			continue
		}
		f.created = b.over
		f.expires = b.over.Add(s.retention())
		if b.is(resultsExpired) {
			f.expires = b.over
		}
		if b.is(wrongBytes) {
			f.told = f.data.size + 1000
		}
		if b.style != anthropic { // whose results are no files
			s.files = append(s.files, f)
		}
	}
}

// handles reports whether result files are named by now.
func (s *Service) handles(b *batch, now time.Time) bool {
	if !b.phase.over() {
		return false
	}
	if f := b.faults[lateHandle]; f != nil {
		return !now.Before(b.over.Add(s.held(f, 15*time.Minute)))
	}
	return true
}

// cancelling reports whether a batch has been asked to end and has not yet.
func (b *batch) cancelling(now time.Time) bool {
	return !b.phase.over() && !b.cancelAsked.IsZero() && !now.Before(b.cancelAsked) && !b.is(cancelIgnored)
}

// visible reports whether a project sees a batch.
func (b *batch) visible(project string) bool {
	return b.project == project && !b.deleted && !b.is(otherProject)
}

// counted are the counts that are told: done and failed rows. The third is
// false where there are none to tell.
func (b *batch) counted() (total, good, bad int, told bool) {
	total, good, bad = len(b.rows), b.good, b.bad
	if b.phase == validating || b.phase == failed {
		total = 0
	}
	b.shows++
	if b.is(countersBack) && b.shows%2 == 0 {
		good /= 2
	}
	if b.is(wrongCounts) {
		switch b.number % 3 {
		case 0:
			return 0, 0, 0, false
		case 1:
			return 0, 0, 0, true
		}
		return total, total, 0, true // the error file is not in them
	}
	return total, good, bad, true
}

// summary is a batch as the ledger lists it.
func (b *batch) summary(now time.Time) ledger.Batch {
	l := ledger.Batch{
		ID: b.id, Number: b.number, Model: b.model, Name: b.name, Metadata: b.metadata, State: b.word(now),
		Created: b.created,
		Rows:    len(b.rows),
	}
	if b.input != nil {
		l.InputFile, l.Deleted = b.input.id, b.input.deleted
		if l.Name == "" {
			l.Name = b.input.name
		}
	}
	for i := range b.rows {
		if r := &b.rows[i]; r.tokens.Total() > 0 {
			l.Answered++
			if r.given {
				l.Delivered++
			}
		}
	}
	return l
}

func (b *batch) close() {
	for _, f := range []*file{b.input, b.success, b.errors} {
		if f != nil {
			f.data.close()
		}
	}
	b.rows = nil
}

// words are how states are called, by style.
var words = map[style][6]string{
	openai:    {"validating", "in_progress", "completed", "failed", "expired", "cancelled"},
	anthropic: {"in_progress", "in_progress", "ended", "ended", "ended", "ended"},
	gemini: {"BATCH_STATE_PENDING", "BATCH_STATE_RUNNING", "BATCH_STATE_SUCCEEDED", "BATCH_STATE_FAILED",
		"BATCH_STATE_EXPIRED", "BATCH_STATE_CANCELLED"},
	mistral: {"QUEUED", "RUNNING", "SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"},
}

// cancelWords say that a batch has been asked to end.
var cancelWords = map[style]string{
	openai: "cancelling", anthropic: "canceling", gemini: "BATCH_STATE_RUNNING", mistral: "CANCELLATION_REQUESTED",
}

// word is the state of a batch in the vendor's words.
func (b *batch) word(now time.Time) string {
	switch {
	case b.phase == running && b.is(unknownState):
		return "paused"
	case b.cancelling(now):
		return cancelWords[b.style]
	}
	return words[b.style][b.phase]
}
