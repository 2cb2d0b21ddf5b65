package batchlog

import (
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/records"
)

// A Stage says how far a batch has come.
type Stage string

const (
	Planned   Stage = "planned"   // its input file is written
	Uploaded  Stage = "uploaded"  // the provider has the file
	Creating  Stage = "creating"  // it may have been created: whether, has to be found out
	Created   Stage = "created"   // it is at the provider
	Ended     Stage = "ended"     // and has ended there
	Fetched   Stage = "fetched"   // its results are on the disk
	Collected Stage = "collected" // the journal has them
	Closed    Stage = "closed"    // nothing is left to do
)

// A Batch is what the log says of one: its lines, put together. Its slices are
// not changed.
type Batch struct {
	N     int // number in the run, from 1
	Stage Stage

	Model   string
	Shard   int
	Gen     int // generation of the shard
	Round   int // 1 on the first trip of its rows, and one more each time some go again
	Name    string
	Account nightshift.BatchAccount

	Items  Items // nil once it is collected
	Rows   int64 // as many items
	Bytes  int64 // of the input file
	SHA256 string

	// What all rows can take at most, at the price of batches, and how many
	// tokens go in.
	WorstTokens int64
	WorstCost   nightshift.NanoUSD
	InputTokens int64
	// Retention is how long after its end the provider keeps the results; 0 when
	// that is not known.
	Retention time.Duration

	PlannedAt time.Time
	File      nightshift.BatchFile
	// Creating is the time, by the server's clock, from which the batch may have
	// been created, and Creates how often that was begun.
	Creating time.Time
	Creates  int
	Host     string // a hash of where the run directory lay then

	// Remotes are the batches at the provider. There is more than one where a
	// create call was answered late and had been repeated; the first leads.
	Remotes  []Remote
	Suspects []string // ids that may be of this batch
	Results  []LocalFile
	Sums     Sums      // once it is collected
	Left     string    // once it is closed: what became of it
	LastAt   time.Time // of its latest line
}

// A Remote is a batch at the provider, as it was described last.
type Remote struct {
	nightshift.Batch
	Adopted     bool // found by looking for it, not told by the create call
	Over        bool // it has ended, or was given up, and is not asked about any more
	CancelledBy string
	CancelledAt time.Time
}

// Away reports whether rows of it may be paid for and are not collected yet.
func (b *Batch) Away() bool {
	switch b.Stage {
	case Creating, Created, Ended, Fetched:
		return true
	}
	return false
}

// Holds reports whether its rows belong to it: nobody else may send them.
func (b *Batch) Holds() bool { return b.Away() || b.Stage == Planned || b.Stage == Uploaded }

// Lead is the batch at the provider that leads; its ID is empty when none is
// known.
func (b *Batch) Lead() Remote {
	if len(b.Remotes) == 0 {
		return Remote{}
	}
	return b.Remotes[0]
}

// ExpiresAt is when the provider ends the first of its batches at the latest;
// zero when that is not known, or all have ended.
func (b *Batch) ExpiresAt() time.Time {
	return b.first(func(r *Remote) time.Time {
		if r.Over {
			return time.Time{}
		}
		return r.ExpiresAt
	})
}

// ResultsVanish is when the provider deletes the first of the results; zero when
// that is not known, or they are on the disk.
func (b *Batch) ResultsVanish() time.Time {
	if b.Stage != Created && b.Stage != Ended || b.Retention == 0 {
		return time.Time{}
	}
	return b.first(func(r *Remote) time.Time {
		if r.EndedAt.IsZero() {
			return time.Time{}
		}
		return r.EndedAt.Add(b.Retention)
	})
}

// first is the earliest of the times that are known.
func (b *Batch) first(of func(*Remote) time.Time) time.Time {
	var first time.Time
	for i := range b.Remotes {
		if t := of(&b.Remotes[i]); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// apply adds a line, and says what is wrong with it. Lines may come in any order
// that a log with damage can have.
func (b *Batch) apply(l *line) string {
	if l.Plan != nil && b.Model == "" {
		if why := b.plan(l.Plan, l.At); why != "" {
			return why
		}
	}
	switch {
	case l.K == kindPlanned && l.Plan != nil:
		b.Stage = Planned
	case l.K == kindUploaded && l.File != nil:
		b.Stage = Uploaded
		b.File = nightshift.BatchFile{ID: l.File.ID, ExpiresAt: l.File.ExpiresAt}
		b.Remotes, b.Suspects = nil, nil
	case l.K == kindCreating && l.Create != nil:
		b.Stage = Creating
		b.Creating, b.Host = l.Create.Server, l.Create.Host
		b.Creates++
		b.Remotes, b.Suspects = nil, nil
	case l.K == kindCreated && l.Remote != nil:
		r := b.remote(l.Remote)
		r.Adopted = l.Adopted
		b.Suspects = nil
		b.follow()
	case l.K == kindSuspect:
		b.Suspects = l.Suspects
	case l.K == kindState && l.Remote != nil:
		b.remote(l.Remote)
		b.follow()
	case l.K == kindEnded && l.Remote != nil:
		b.remote(l.Remote).Over = true
		b.follow()
	case l.K == kindCancel:
		if i := b.find(l.ID); i >= 0 {
			b.Remotes = slices.Clone(b.Remotes)
			b.Remotes[i].CancelledBy, b.Remotes[i].CancelledAt = l.By, l.At
		}
	case l.K == kindFetched:
		b.Stage, b.Results = Fetched, l.Results
	case l.K == kindCollected && l.Sums != nil:
		b.Stage, b.Sums = Collected, *l.Sums
		b.Items = nil
	case l.K == kindClosed:
		b.Stage, b.Left = Closed, l.Left
		b.Items, b.Results, b.Suspects = nil, nil, nil
	default:
		return "unknown kind " + l.K
	}
	b.LastAt = l.At
	return ""
}

// plan takes over what was planned.
func (b *Batch) plan(p *plan, at time.Time) string {
	if p.Model == "" || p.Shard < 0 || p.Gen < 1 || p.Items.Count() != p.Rows {
		return "a batch of no shard, or of other rows than it counts"
	}
	if err := p.Items.check(); err != nil {
		return err.Error()
	}
	b.Model, b.Shard, b.Gen, b.Round, b.Name = p.Model, p.Shard, p.Gen, p.Round, p.Name
	b.Account = nightshift.BatchAccount{BaseURL: p.Account.BaseURL, Key: p.Account.Key, Route: p.Account.Route}
	b.Items, b.Rows, b.Bytes, b.SHA256 = p.Items, p.Rows, p.Bytes, p.SHA256
	b.WorstTokens, b.WorstCost, b.InputTokens = p.WorstTokens, p.WorstCost, p.InputTokens
	b.Retention, b.PlannedAt = time.Duration(max(0, min(p.Retention, 1e9)))*time.Second, at
	return ""
}

// planned is the other way.
func (b *Batch) planned() *plan {
	return &plan{
		Model: b.Model, Shard: b.Shard, Gen: b.Gen, Round: b.Round, Name: b.Name,
		Account: account{BaseURL: b.Account.BaseURL, Key: b.Account.Key, Route: b.Account.Route},
		Items:   b.Items, Rows: b.Rows, Bytes: b.Bytes, SHA256: b.SHA256,
		WorstTokens: b.WorstTokens, WorstCost: b.WorstCost, InputTokens: b.InputTokens,
		Retention: int64(b.Retention / time.Second),
	}
}

// remote takes over what the provider says of one of its batches.
func (b *Batch) remote(m *remote) *Remote {
	b.Remotes = slices.Clone(b.Remotes) // copies of the batch share them
	i := b.find(m.ID)
	if i < 0 {
		i = len(b.Remotes)
		b.Remotes = append(b.Remotes, Remote{})
	}
	b.Remotes[i].Batch = m.batch()
	return &b.Remotes[i]
}

// RemoteOf is the batch at the provider with that id.
func (b *Batch) RemoteOf(id string) (r Remote, known bool) {
	i := b.find(id)
	if known = i >= 0; known {
		r = b.Remotes[i]
	}
	return r, known
}

func (b *Batch) find(id string) int {
	return slices.IndexFunc(b.Remotes, func(r Remote) bool { return r.ID == id })
}

// follow sets the stage by the batches at the provider: it has ended when all
// of them have. What came later stays.
func (b *Batch) follow() {
	going := slices.ContainsFunc(b.Remotes, func(r Remote) bool { return !r.Over })
	switch {
	case b.Stage == Collected || b.Stage == Closed || b.Stage == Fetched && !going:
	case going:
		b.Stage = Created
	default:
		b.Stage = Ended
	}
}

// logged is a batch of the provider as the log has it.
func logged(b nightshift.Batch) *remote {
	m := &remote{
		ID: b.ID, Phase: b.Phase, State: b.State, CreatedAt: fit(b.CreatedAt), ExpiresAt: fit(b.ExpiresAt),
		EndedAt: fit(b.EndedAt), Counts: b.Counts, Usage: b.Usage, FileID: b.FileID, Results: b.Results,
	}
	if f := b.Failure; f != nil {
		m.Failure = &failure{Next: f.Next, Cause: f.Cause, Line: f.Line, Limit: f.Limit}
		if e := f.Err; e != nil {
			m.Failure.Class, m.Failure.Status, m.Failure.Code, m.Failure.Message = e.Class, e.Status, e.Code, e.Message
		}
	}
	return m
}

// batch is the other way.
func (m *remote) batch() nightshift.Batch {
	b := nightshift.Batch{
		ID: m.ID, Phase: m.Phase, State: m.State, CreatedAt: m.CreatedAt, ExpiresAt: m.ExpiresAt, EndedAt: m.EndedAt,
		Counts: m.Counts, Usage: m.Usage, FileID: m.FileID, Results: m.Results,
	}
	if f := m.Failure; f != nil {
		b.Failure = &nightshift.BatchError{
			Err:  &nightshift.Error{Class: f.Class, Status: f.Status, Code: f.Code, Message: f.Message},
			Next: f.Next, Cause: f.Cause, Line: f.Line, Limit: f.Limit,
		}
	}
	return b
}

// fit is a time as JSON takes it: a server's nonsense becomes no time.
func fit(t time.Time) time.Time {
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// Extras is what collecting found paid for and in no record.
func Extras(s Sums) records.Tally {
	t := records.Tally{Cost: s.ExtraCost}
	if s.Extras > 0 {
		t.BilledInputTokens, t.BilledOutputTokens = nightshift.Tokens(s.ExtraInput), nightshift.Tokens(s.ExtraOutput)
	}
	return t
}
