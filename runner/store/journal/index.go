package journal

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// A place is where a line lies: file number, offset, length without the
// newline. Length 0 is nowhere.
type place struct {
	Off  int64
	Len  int32
	File int32
	CRC  uint32
}

// Compare orders places as they lie.
func (l place) Compare(m place) int {
	return cmp.Or(cmp.Compare(l.File, m.File), cmp.Compare(l.Off, m.Off))
}

// An Index is what the journal files of one shard hold. It keeps places, not
// records, so its size depends on the number of items alone. It is not safe
// for concurrent use.
type Index struct {
	first, rows, epochs int64

	files      []disk.File // by Place.File
	names      []string
	at         []place                 // of the record of each item
	open       map[int64]*History      // items that were sent and have no final record
	redo       map[int64]records.Tally // items whose record says failed or unknown
	totals     records.Tally           // of all records
	duplicates int                     // answers beyond the first of an item
	damage     []Damage
	last       time.Time // when the latest line was written
}

// A History is what earlier attempts left of an item that has no record yet.
type History struct {
	Failed   []nightshift.Attempt // failed ones
	Intents  []intent             // without an outcome
	turns    []place              // answers of earlier turns
	Answered []nightshift.Attempt // the attempts in those answers
	seen     []uint32             // checksums, because lines may be there twice
}

// An intent is an attempt that was about to be sent.
type intent struct {
	nightshift.Intent
	At time.Time
}

// Damage is a range of bytes of a journal file that is not a record.
type Damage struct {
	Path   string // of the file
	Off    int64
	Bytes  []byte
	Why    string
	AtTail bool // nothing but damage follows in the file
	file   int
}

// NewIndex returns the index of a shard without journal files: so many rows
// from the first, each with so many epochs.
func NewIndex(first, rows int64, epochs int) *Index {
	return &Index{
		first: first, rows: rows, epochs: int64(epochs),
		at:   make([]place, rows*int64(epochs)),
		open: map[int64]*History{},
		redo: map[int64]records.Tally{},
	}
}

// Items is the number of items of the shard.
func (j *Index) Items() int64 { return int64(len(j.at)) }

// Item returns the number of a (row, epoch) in the shard; false when it is not
// in it.
func (j *Index) Item(row int64, epoch int) (int64, bool) {
	if row < j.first || row >= j.first+j.rows || epoch < 0 || int64(epoch) >= j.epochs {
		return 0, false
	}
	return (row-j.first)*j.epochs + int64(epoch), true
}

// RowOf is the inverse of [Index.Item].
func (j *Index) RowOf(item int64) (row int64, epoch int) {
	return j.first + item/j.epochs, int(item % j.epochs)
}

// Has reports whether an item has a record.
func (j *Index) Has(item int64) bool { return j.at[item].Len > 0 }

// PathOf is the file that holds the record of an item.
func (j *Index) PathOf(item int64) string { return j.names[j.at[item].File] }

// Failed reports whether the record of an item says that it failed or that its
// outcome is unknown, and what that record adds to the totals.
func (j *Index) Failed(item int64) (records.Tally, bool) {
	t, failed := j.redo[item]
	return t, failed
}

// History returns what is known of an item that was sent and has no final
// record; nil when nothing is.
func (j *Index) History(item int64) *History { return j.open[item] }

// Unfinished returns the items that have a history, or a record that says that
// they failed, in order.
func (j *Index) Unfinished() []int64 {
	items := slices.Collect(maps.Keys(j.open))
	for item := range j.redo {
		if j.open[item] == nil {
			items = append(items, item)
		}
	}
	slices.Sort(items)
	return items
}

// Finish notes that an item gets a final record: its history is dropped. failed
// is what the record adds to the totals where it says that the item failed.
func (j *Index) Finish(item int64, failed *records.Tally) {
	delete(j.open, item)
	delete(j.redo, item)
	if failed != nil {
		j.redo[item] = *failed
	}
}

// DropHistory forgets the history of an item that is not sent again.
func (j *Index) DropHistory(item int64) { delete(j.open, item) }

// Totals are the sums over all records that were scanned.
func (j *Index) Totals() records.Tally { return j.totals }

// Duplicates is how many answers there are beyond the first of an item.
func (j *Index) Duplicates() int { return j.duplicates }

// Damage lists what was scanned and is no record.
func (j *Index) Damage() []Damage { return j.damage }

// LastWrite is when the latest line that was scanned was written.
func (j *Index) LastWrite() time.Time { return j.last }

// Scan reads one journal file to its end, and returns the damage in it. An error
// means that the file cannot be read at all; damage is skipped. The index
// closes the file.
func (j *Index) Scan(f disk.File, name string) ([]Damage, error) {
	j.files = append(j.files, f)
	j.names = append(j.names, name)
	before := len(j.damage)
	err := j.scanFrom(f, len(j.files)-1, 0)
	return j.damage[before:], err
}

// scanFrom reads what r holds of the n-th file, which begins at base in it.
func (j *Index) scanFrom(r io.Reader, n int, base int64) error {
	tail := func(d Damage) bool { return d.file == n && d.AtTail }
	damaged := slices.ContainsFunc(j.damage, tail)
	return ScanLines(r, func(s Span) error {
		s.Off += base
		why := "checksum"
		if s.Object != nil {
			why = j.line(s, int32(n))
		}
		if why != "" {
			j.damage = append(j.damage, Damage{
				Path: j.names[n], Off: s.Off, Bytes: slices.Clone(s.Raw), Why: why, AtTail: true, file: n,
			})
			damaged = true
			return nil
		}
		for i := range j.damage {
			if damaged && j.damage[i].file == n {
				j.damage[i].AtTail = false
			}
		}
		damaged = false
		return nil
	})
}

// line adds one record; it returns what is wrong with it, or "".
func (j *Index) line(s Span, file int32) string {
	var l ScannedLine
	if err := rawjson.Unmarshal(s.Object, &l); err != nil {
		return err.Error()
	}
	if l.At.After(j.last) {
		j.last = l.At
	}
	if l.K == kindHead || l.K == KindSeal {
		return ""
	}
	item, ok := j.Item(l.Row, int(l.Epoch))
	if !ok {
		return fmt.Sprintf("row %d epoch %d is not in this shard", l.Row, l.Epoch)
	}
	at := place{Off: s.Off, Len: int32(len(s.Raw)), File: file, CRC: s.CRC}
	switch {
	case l.K == KindIntent && l.Intent != nil:
		if t := j.historyOf(item, s.CRC); t != nil {
			t.intend(intent{*l.Intent, l.At})
		}
	case l.K == KindFailed && l.Attempt != nil:
		if t := j.historyOf(item, s.CRC); t != nil {
			t.fail(*l.Attempt)
		}
	case l.K == KindTurn && l.Turn != nil:
		if t := j.historyOf(item, s.CRC); t != nil {
			t.turns = append(t.turns, at)
			t.Answered = append(t.Answered, l.Turn.Attempts...)
			t.Intents, t.Failed = nil, nil
		}
	case l.K == KindResult && l.Record != nil && l.Record.Row == l.Row && l.Record.Epoch == l.Epoch:
		j.result(item, at, l.Record)
	default:
		return "unknown kind " + l.K
	}
	return ""
}

// historyOf returns the history of an item for a line with this checksum; nil
// when the line was there before.
func (j *Index) historyOf(item int64, crc uint32) *History {
	t := j.open[item]
	if t == nil {
		t = &History{}
		j.open[item] = t
	}
	if slices.Contains(t.seen, crc) {
		return nil
	}
	t.seen = append(t.seen, crc)
	return t
}

// Failure adds a failed attempt, whose line has this checksum, to the history of
// an item.
func (j *Index) Failure(item int64, crc uint32, a nightshift.Attempt) {
	if t := j.historyOf(item, crc); t != nil {
		t.fail(a)
	}
}

// intend notes an intent. One that names a job says more of the attempt that it
// is of.
func (t *History) intend(in intent) {
	n := len(t.Intents) - 1
	if in.Job != "" && n >= 0 && t.Intents[n].Attempt == in.Attempt {
		in.At = t.Intents[n].At
		t.Intents[n] = in
		return
	}
	t.Intents = append(t.Intents, in)
}

// fail notes a failed attempt; it is the outcome of its intent. What is said once
// more of an attempt with a job takes the place of what was said before: a later
// process has asked after it again, in vain, and it is paid for once.
func (t *History) fail(a nightshift.Attempt) {
	again := func(o nightshift.Attempt) bool { return a.Job != "" && o.Job == a.Job && o.N == a.N }
	t.Failed = append(slices.DeleteFunc(t.Failed, again), a)
	for i := len(t.Intents) - 1; i >= 0; i-- {
		if t.Intents[i].Attempt == a.N {
			t.Intents = slices.Delete(t.Intents, i, i+1)
			return
		}
	}
}

// result notes the record of an item. The first answer stays; a record of
// failure is replaced by any later one.
func (j *Index) result(item int64, at place, c *records.Columns) {
	delete(j.open, item)
	old := j.at[item]
	if old.Len == at.Len && old.CRC == at.CRC {
		return // the same line again, rewritten after a failed sync
	}
	if old.Len > 0 {
		before, failed := j.redo[item]
		if !failed {
			j.duplicates++
			return
		}
		j.totals.Accumulate(&before, -1)
		delete(j.redo, item)
	}
	j.at[item] = at
	j.totals.Count(c)
	if records.Retried(c.Outcome) {
		j.redo[item] = c.Tally()
	}
}

// Reopened reports whether an item has a record of failure and was sent again
// after it: that record is not the last word.
func (j *Index) Reopened(item int64) bool {
	_, failed := j.redo[item]
	return failed && j.open[item] != nil
}

// Attempts returns the attempts of an item that are in no record: failed ones,
// and unknown ones at their worst.
func (t *History) Attempts() []nightshift.Attempt {
	log := slices.Clone(t.Failed)
	for _, in := range t.Intents {
		log = append(log, nightshift.Attempt{
			N: in.Attempt, StartedAt: in.At, Class: nightshift.ClassUnknownOutcome,
			Message:     "the process ended before an answer was read",
			MaybeBilled: true, WorstTokens: in.WorstTokens, WorstCost: in.WorstCost, Job: in.Job, Route: in.Route,
		})
	}
	slices.SortStableFunc(log, func(a, b nightshift.Attempt) int { return a.N - b.N })
	return log
}

// read returns the object of the line at a place, checked again.
func (j *Index) read(at place) ([]byte, error) {
	lines, err := j.fetch([]place{at})
	if err != nil {
		return nil, err
	}
	return j.check(at, lines[0])
}

func (j *Index) check(at place, line []byte) ([]byte, error) {
	object, crc, ok := CheckLine(line)
	if !ok || crc != at.CRC {
		return nil, fmt.Errorf("%s: the record at byte %d has changed since it was written", j.names[at.File], at.Off)
	}
	return object, nil
}

// Record returns the record of an item that has one.
func (j *Index) Record(item int64) (*nightshift.Record, error) {
	at := j.at[item]
	lines, err := j.fetch([]place{at})
	if err != nil {
		return nil, err
	}
	return j.decode(at, lines[0])
}

// decode returns the record of the line that was read at a place.
func (j *Index) decode(at place, line []byte) (*nightshift.Record, error) {
	object, err := j.check(at, line)
	if err != nil {
		return nil, err
	}
	rec, err := decodeRecord(object)
	if err != nil {
		return nil, fmt.Errorf("%s: byte %d: %w", j.names[at.File], at.Off, err)
	}
	if rec == nil {
		return nil, fmt.Errorf("%s: byte %d: no record", j.names[at.File], at.Off)
	}
	return rec, nil
}

// Turns returns the answers to the earlier turns of an item, in order, up to the
// first that cannot be read; the error then says why.
func (j *Index) Turns(item int64) (answers []nightshift.Response, err error) {
	t := j.open[item]
	if t == nil {
		return nil, nil
	}
	for _, at := range t.turns {
		resp, err := j.turn(at)
		if err != nil {
			return answers, err
		}
		answers = append(answers, resp)
	}
	return answers, nil
}

// turn returns the answer at a place.
func (j *Index) turn(at place) (nightshift.Response, error) {
	b, err := j.read(at)
	if err != nil {
		return nightshift.Response{}, err
	}
	var l struct {
		Turn TurnResponse `json:"response"`
	}
	if err := rawjson.Unmarshal(b, &l); err != nil {
		return nightshift.Response{}, fmt.Errorf("%s: byte %d: %w", j.names[at.File], at.Off, err)
	}
	resp := l.Turn.Response
	resp.UsageRaw = l.Turn.UsageRaw
	return resp, nil
}

// Close closes the files. What is in memory stays.
func (j *Index) Close() {
	for _, f := range j.files {
		f.Close()
	}
	j.files = nil
}
