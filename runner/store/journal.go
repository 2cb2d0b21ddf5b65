package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// Kinds of journal lines.
const (
	kindJournal = "journal" // first line: whose journal this is
	kindIntent  = "intent"  // an attempt is about to be sent
	kindFailed  = "failed"  // an attempt ended without a final answer
	kindTurn    = "turn"    // an answer of a row that has more turns
	kindResult  = "result"  // the record of an item
	kindSeal    = "seal"    // all items have one
)

// journalHead is the first line of a journal file.
type journalHead struct {
	K         string    `json:"k"`
	RunID     string    `json:"run_id"`
	Model     string    `json:"model"`
	Shard     int       `json:"unit"`
	Gen       int       `json:"generation"`
	Epoch     int       `json:"journal"` // number of the file among those of the unit
	First     int64     `json:"first_row"`
	Rows      int64     `json:"rows"`
	ChunkHash string    `json:"slice_sha256"`
	PID       int       `json:"pid"`
	At        time.Time `json:"at"`
}

// journalLine is what the other lines are written from, except for results and
// intents.
type journalLine struct {
	K       string              `json:"k"`
	Row     int64               `json:"row"`
	Epoch   int32               `json:"epoch"`
	At      time.Time           `json:"at"`
	Attempt *nightshift.Attempt `json:"attempt,omitempty"`
	Turn    *turnResponse       `json:"response,omitempty"`
}

// turnResponse is a Response as JSON. The server's usage object goes in as
// text, because json.RawMessage must be valid JSON to be written.
type turnResponse struct {
	nightshift.Response
	UsageRaw []byte
}

// scannedLine is what a line is read into when stock is taken: everything but
// the texts.
type scannedLine struct {
	K       string              `json:"k"`
	Row     int64               `json:"row"`
	Epoch   int32               `json:"epoch"`
	At      time.Time           `json:"at"`
	Intent  *nightshift.Intent  `json:"intent"`
	Attempt *nightshift.Attempt `json:"attempt"`
	Record  *records.Columns    `json:"record"`
	Turn    *struct {
		Attempts []nightshift.Attempt
	} `json:"response"`
}

// A loc is where a line lies: file number, offset, length without the newline.
// Length 0 is nowhere.
type loc struct {
	off  int64
	n    int32
	file int32
	crc  uint32
}

// compare orders places as they lie.
func (l loc) compare(m loc) int {
	return cmp.Or(cmp.Compare(l.file, m.file), cmp.Compare(l.off, m.off))
}

// journal is what the journal files of one unit hold. It keeps places, not
// records, so its size depends on the number of items alone.
type journal struct {
	chunk  Chunk
	epochs int64

	files  []disk.File // as loc.file counts them
	names  []string
	at     []loc                     // of the record of each item
	open   map[int64]*attemptHistory // items that were sent and have no final record
	redo   map[int64]records.Tally   // items whose record says failed or unknown
	tally  records.Tally             // of all records
	extras int                       // answers beyond the first of an item
	damage []damage
	sealed bool
	last   time.Time // when the latest line was written
}

// A trail is what attempts left of an item that has no record yet.
type attemptHistory struct {
	attempts []nightshift.Attempt // failed ones
	intents  []pendingIntent      // without an outcome
	turns    []loc                // answers of earlier turns
	answered []nightshift.Attempt // the attempts in those answers
	seen     []uint32             // checksums, because lines may be there twice
}

type pendingIntent struct {
	nightshift.Intent
	at time.Time
}

// damage is a stretch of a journal file that is no record.
type damage struct {
	file   int
	off    int64
	bytes  []byte
	why    string
	atTail bool // nothing but damage follows in the file
}

func newJournal(s Chunk, epochs int) *journal {
	return &journal{
		chunk: s, epochs: int64(epochs),
		at:   make([]loc, s.Rows*int64(epochs)),
		open: map[int64]*attemptHistory{},
		redo: map[int64]records.Tally{},
	}
}

// item returns the number of a (row, epoch) in the unit; false when it is not
// in it.
func (j *journal) item(row int64, epoch int) (int64, bool) {
	if row < j.chunk.First || row >= j.chunk.First+j.chunk.Rows || epoch < 0 || int64(epoch) >= j.epochs {
		return 0, false
	}
	return (row-j.chunk.First)*j.epochs + int64(epoch), true
}

// rowOf is the inverse of item.
func (j *journal) rowOf(item int64) (row int64, epoch int) {
	return j.chunk.First + item/j.epochs, int(item % j.epochs)
}

// scan reads one journal file to its end. An error means that the file cannot
// be read at all; damage is noted and passed over.
func (j *journal) scan(f disk.File, name string) error {
	j.files = append(j.files, f)
	j.names = append(j.names, name)
	return j.scanFrom(f, len(j.files)-1, 0)
}

// scanFrom reads what r holds of the n-th file, which begins at base in it.
func (j *journal) scanFrom(r io.Reader, n int, base int64) error {
	tail := func(d damage) bool { return d.file == n && d.atTail }
	damaged := slices.ContainsFunc(j.damage, tail)
	return scanLines(r, func(s span) error {
		s.off += base
		why := "checksum"
		if s.object != nil {
			why = j.line(s, int32(n))
		}
		if why != "" {
			j.damage = append(j.damage, damage{file: n, off: s.off, bytes: slices.Clone(s.raw), why: why, atTail: true})
			damaged = true
			return nil
		}
		for i := range j.damage {
			if damaged && j.damage[i].file == n {
				j.damage[i].atTail = false
			}
		}
		damaged = false
		return nil
	})
}

// line takes one record in; it returns what is wrong with it, or nothing.
func (j *journal) line(s span, file int32) string {
	var l scannedLine
	if err := json.Unmarshal(s.object, &l); err != nil {
		return err.Error()
	}
	if l.At.After(j.last) {
		j.last = l.At
	}
	switch l.K {
	case kindJournal:
		return ""
	case kindSeal:
		j.sealed = true
		return ""
	}
	item, ok := j.item(l.Row, int(l.Epoch))
	if !ok {
		return fmt.Sprintf("row %d epoch %d is not in this unit", l.Row, l.Epoch)
	}
	at := loc{off: s.off, n: int32(len(s.raw)), file: file, crc: s.crc}
	switch {
	case l.K == kindIntent && l.Intent != nil:
		if t := j.attemptHistory(item, s.crc); t != nil {
			t.intents = append(t.intents, pendingIntent{*l.Intent, l.At})
		}
	case l.K == kindFailed && l.Attempt != nil:
		if t := j.attemptHistory(item, s.crc); t != nil {
			t.fail(*l.Attempt)
		}
	case l.K == kindTurn && l.Turn != nil:
		if t := j.attemptHistory(item, s.crc); t != nil {
			t.turns = append(t.turns, at)
			t.answered = append(t.answered, l.Turn.Attempts...)
			t.intents, t.attempts = nil, nil
		}
	case l.K == kindResult && l.Record != nil && l.Record.Row == l.Row && l.Record.Epoch == l.Epoch:
		j.result(item, at, l.Record)
	default:
		return "unknown kind " + l.K
	}
	return ""
}

// trail returns the trail of an item for a line with this checksum; nil when
// the line was there before.
func (j *journal) attemptHistory(item int64, crc uint32) *attemptHistory {
	t := j.open[item]
	if t == nil {
		t = &attemptHistory{}
		j.open[item] = t
	}
	if slices.Contains(t.seen, crc) {
		return nil
	}
	t.seen = append(t.seen, crc)
	return t
}

// fail notes a failed attempt; it is the outcome of its intent.
func (t *attemptHistory) fail(a nightshift.Attempt) {
	t.attempts = append(t.attempts, a)
	for i := len(t.intents) - 1; i >= 0; i-- {
		if t.intents[i].Attempt == a.N {
			t.intents = slices.Delete(t.intents, i, i+1)
			return
		}
	}
}

// result notes the record of an item. The first answer stays; a record of
// failure gives way to any later one.
func (j *journal) result(item int64, at loc, c *records.Columns) {
	delete(j.open, item)
	old := j.at[item]
	if old.n == at.n && old.crc == at.crc {
		return // the same line again, rewritten after a failed sync
	}
	if old.n > 0 {
		before, failed := j.redo[item]
		if !failed {
			j.extras++
			return
		}
		j.tally.Accumulate(&before, -1)
		delete(j.redo, item)
	}
	j.at[item] = at
	j.tally.Count(c)
	if records.Retried(c.Outcome) {
		j.redo[item] = c.Tally()
	}
}

// reopened reports whether an item has a record of failure and was sent again
// after it: that record is not the last word.
func (j *journal) reopened(item int64) bool {
	_, failed := j.redo[item]
	return failed && j.open[item] != nil
}

// history returns the attempts of an item that are in no record: failed ones,
// and unknown ones at their worst.
func (t *attemptHistory) history() []nightshift.Attempt {
	log := slices.Clone(t.attempts)
	for _, in := range t.intents {
		log = append(log, nightshift.Attempt{
			N: in.Attempt, StartedAt: in.at, Class: nightshift.ClassUnknownOutcome,
			Message:     "the process ended before an answer was read",
			MaybeBilled: true, WorstTokens: in.WorstTokens, WorstCost: in.WorstCost,
		})
	}
	slices.SortStableFunc(log, func(a, b nightshift.Attempt) int { return a.N - b.N })
	return log
}

// read returns the object of the line at a place, checked again.
func (j *journal) read(at loc) ([]byte, error) {
	lines, err := j.fetch([]loc{at})
	if err != nil {
		return nil, err
	}
	return j.check(at, lines[0])
}

func (j *journal) check(at loc, line []byte) ([]byte, error) {
	object, crc, ok := checkLine(line)
	if !ok || crc != at.crc {
		return nil, fmt.Errorf("%s: the record at byte %d has changed since it was written", j.names[at.file], at.off)
	}
	return object, nil
}

// record returns the record at a place.
func (j *journal) record(at loc) (*nightshift.Record, error) {
	lines, err := j.fetch([]loc{at})
	if err != nil {
		return nil, err
	}
	return j.decode(at, lines[0])
}

// decode returns the record of the line that was read at a place.
func (j *journal) decode(at loc, line []byte) (*nightshift.Record, error) {
	object, err := j.check(at, line)
	if err != nil {
		return nil, err
	}
	rec, err := decodeRecord(object)
	if err != nil {
		return nil, fmt.Errorf("%s: byte %d: %w", j.names[at.file], at.off, err)
	}
	if rec == nil {
		return nil, fmt.Errorf("%s: byte %d: no record", j.names[at.file], at.off)
	}
	return rec, nil
}

// turn returns the answer at a place.
func (j *journal) turn(at loc) (nightshift.Response, error) {
	b, err := j.read(at)
	if err != nil {
		return nightshift.Response{}, err
	}
	var l struct {
		Turn turnResponse `json:"response"`
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return nightshift.Response{}, fmt.Errorf("%s: byte %d: %w", j.names[at.file], at.off, err)
	}
	resp := l.Turn.Response
	resp.UsageRaw = l.Turn.UsageRaw
	return resp, nil
}

func (j *journal) close() {
	for _, f := range j.files {
		f.Close()
	}
	j.files = nil
}

// journalFile is the file that a unit writes to.
type journalFile struct {
	disk.File
	n        int32 // number among the unit's files
	name     string
	dir      string
	size     int64
	reserved int64
	named    bool // its directory has been synced
	fallback bool // it lies outside the run directory
}

// put appends a line.
func (f *journalFile) put(line []byte) (off int64, err error) {
	if err := disk.WriteFull(f, line); err != nil {
		return 0, err
	}
	off = f.size
	f.size += int64(len(line))
	return off, nil
}

var errUnlinked = fmt.Errorf("the file was removed while it was in use: %w", os.ErrNotExist)

// makeDurable syncs the file, and its name the first time.
func (f *journalFile) makeDurable(fsys disk.FS) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if !f.named {
		if err := fsys.SyncDir(f.dir); err != nil {
			return err
		}
		f.named = true
	}
	there, err := f.Linked()
	if err == nil && !there {
		err = errUnlinked
	}
	return err
}
