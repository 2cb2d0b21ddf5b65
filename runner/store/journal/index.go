package journal

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// A Place is where a line lies: file number, offset, length without the
// newline. Length 0 is nowhere.
type Place struct {
	Off  int64
	Len  int32
	File int32
	CRC  uint32
}

// Compare orders places as they lie.
func (l Place) Compare(m Place) int {
	return cmp.Or(cmp.Compare(l.File, m.File), cmp.Compare(l.Off, m.Off))
}

// An Index is what the journal files of one shard hold. It keeps places, not
// records, so its size depends on the number of items alone.
type Index struct {
	first, rows, epochs int64

	Files  []disk.File // by Place.File
	Names  []string
	At     []Place                 // of the record of each item
	Open   map[int64]*History      // items that were sent and have no final record
	Redo   map[int64]records.Tally // items whose record says failed or unknown
	Tally  records.Tally           // of all records
	Extras int                     // answers beyond the first of an item
	Damage []Damage
	sealed bool
	Last   time.Time // when the latest line was written
}

// A History is what earlier attempts left of an item that has no record yet.
type History struct {
	Failed   []nightshift.Attempt // failed ones
	Intents  []Intent             // without an outcome
	Turns    []Place              // answers of earlier turns
	Answered []nightshift.Attempt // the attempts in those answers
	seen     []uint32             // checksums, because lines may be there twice
}

type Intent struct {
	nightshift.Intent
	At time.Time
}

// Damage is a range of bytes of a journal file that is not a record.
type Damage struct {
	File   int
	Off    int64
	Bytes  []byte
	Why    string
	AtTail bool // nothing but damage follows in the file
}

func NewIndex(first, rows int64, epochs int) *Index {
	return &Index{
		first: first, rows: rows, epochs: int64(epochs),
		At:   make([]Place, rows*int64(epochs)),
		Open: map[int64]*History{},
		Redo: map[int64]records.Tally{},
	}
}

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

// Scan reads one journal file to its end. An error means that the file cannot
// be read at all; damage is noted and skipped.
func (j *Index) Scan(f disk.File, name string) error {
	j.Files = append(j.Files, f)
	j.Names = append(j.Names, name)
	return j.ScanFrom(f, len(j.Files)-1, 0)
}

// ScanFrom reads what r holds of the n-th file, which begins at base in it.
func (j *Index) ScanFrom(r io.Reader, n int, base int64) error {
	tail := func(d Damage) bool { return d.File == n && d.AtTail }
	damaged := slices.ContainsFunc(j.Damage, tail)
	return ScanLines(r, func(s Span) error {
		s.Off += base
		why := "checksum"
		if s.Object != nil {
			why = j.line(s, int32(n))
		}
		if why != "" {
			j.Damage = append(j.Damage, Damage{File: n, Off: s.Off, Bytes: slices.Clone(s.Raw), Why: why, AtTail: true})
			damaged = true
			return nil
		}
		for i := range j.Damage {
			if damaged && j.Damage[i].File == n {
				j.Damage[i].AtTail = false
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
	if l.At.After(j.Last) {
		j.Last = l.At
	}
	switch l.K {
	case KindHead:
		return ""
	case KindSeal:
		j.sealed = true
		return ""
	}
	item, ok := j.Item(l.Row, int(l.Epoch))
	if !ok {
		return fmt.Sprintf("row %d epoch %d is not in this unit", l.Row, l.Epoch)
	}
	at := Place{Off: s.Off, Len: int32(len(s.Raw)), File: file, CRC: s.CRC}
	switch {
	case l.K == KindIntent && l.Intent != nil:
		if t := j.HistoryOf(item, s.CRC); t != nil {
			t.Intents = append(t.Intents, Intent{*l.Intent, l.At})
		}
	case l.K == KindFailed && l.Attempt != nil:
		if t := j.HistoryOf(item, s.CRC); t != nil {
			t.fail(*l.Attempt)
		}
	case l.K == KindTurn && l.Turn != nil:
		if t := j.HistoryOf(item, s.CRC); t != nil {
			t.Turns = append(t.Turns, at)
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

// HistoryOf returns the history of an item for a line with this checksum; nil
// when the line was there before.
func (j *Index) HistoryOf(item int64, crc uint32) *History {
	t := j.Open[item]
	if t == nil {
		t = &History{}
		j.Open[item] = t
	}
	if slices.Contains(t.seen, crc) {
		return nil
	}
	t.seen = append(t.seen, crc)
	return t
}

// fail notes a failed attempt; it is the outcome of its intent.
func (t *History) fail(a nightshift.Attempt) {
	t.Failed = append(t.Failed, a)
	for i := len(t.Intents) - 1; i >= 0; i-- {
		if t.Intents[i].Attempt == a.N {
			t.Intents = slices.Delete(t.Intents, i, i+1)
			return
		}
	}
}

// result notes the record of an item. The first answer stays; a record of
// failure is replaced by any later one.
func (j *Index) result(item int64, at Place, c *records.Columns) {
	delete(j.Open, item)
	old := j.At[item]
	if old.Len == at.Len && old.CRC == at.CRC {
		return // the same line again, rewritten after a failed sync
	}
	if old.Len > 0 {
		before, failed := j.Redo[item]
		if !failed {
			j.Extras++
			return
		}
		j.Tally.Accumulate(&before, -1)
		delete(j.Redo, item)
	}
	j.At[item] = at
	j.Tally.Count(c)
	if records.Retried(c.Outcome) {
		j.Redo[item] = c.Tally()
	}
}

// Reopened reports whether an item has a record of failure and was sent again
// after it: that record is not the last word.
func (j *Index) Reopened(item int64) bool {
	_, failed := j.Redo[item]
	return failed && j.Open[item] != nil
}

// Attempts returns the attempts of an item that are in no record: failed ones,
// and unknown ones at their worst.
func (t *History) Attempts() []nightshift.Attempt {
	log := slices.Clone(t.Failed)
	for _, in := range t.Intents {
		log = append(log, nightshift.Attempt{
			N: in.Attempt, StartedAt: in.At, Class: nightshift.ClassUnknownOutcome,
			Message:     "the process ended before an answer was read",
			MaybeBilled: true, WorstTokens: in.WorstTokens, WorstCost: in.WorstCost,
		})
	}
	slices.SortStableFunc(log, func(a, b nightshift.Attempt) int { return a.N - b.N })
	return log
}

// read returns the object of the line at a place, checked again.
func (j *Index) read(at Place) ([]byte, error) {
	lines, err := j.fetch([]Place{at})
	if err != nil {
		return nil, err
	}
	return j.check(at, lines[0])
}

func (j *Index) check(at Place, line []byte) ([]byte, error) {
	object, crc, ok := CheckLine(line)
	if !ok || crc != at.CRC {
		return nil, fmt.Errorf("%s: the record at byte %d has changed since it was written", j.Names[at.File], at.Off)
	}
	return object, nil
}

// Record returns the record at a place.
func (j *Index) Record(at Place) (*nightshift.Record, error) {
	lines, err := j.fetch([]Place{at})
	if err != nil {
		return nil, err
	}
	return j.decode(at, lines[0])
}

// decode returns the record of the line that was read at a place.
func (j *Index) decode(at Place, line []byte) (*nightshift.Record, error) {
	object, err := j.check(at, line)
	if err != nil {
		return nil, err
	}
	rec, err := decodeRecord(object)
	if err != nil {
		return nil, fmt.Errorf("%s: byte %d: %w", j.Names[at.File], at.Off, err)
	}
	if rec == nil {
		return nil, fmt.Errorf("%s: byte %d: no record", j.Names[at.File], at.Off)
	}
	return rec, nil
}

// Turn returns the answer at a place.
func (j *Index) Turn(at Place) (nightshift.Response, error) {
	b, err := j.read(at)
	if err != nil {
		return nightshift.Response{}, err
	}
	var l struct {
		Turn TurnResponse `json:"response"`
	}
	if err := rawjson.Unmarshal(b, &l); err != nil {
		return nightshift.Response{}, fmt.Errorf("%s: byte %d: %w", j.Names[at.File], at.Off, err)
	}
	resp := l.Turn.Response
	resp.UsageRaw = l.Turn.UsageRaw
	return resp, nil
}

func (j *Index) Close() {
	for _, f := range j.Files {
		f.Close()
	}
	j.Files = nil
}
