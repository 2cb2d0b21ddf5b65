package store

import (
	"bytes"
	"encoding/json"
	"path"
	"reflect"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/journal"
)

// journalFixture is a run with one open shard, the bytes of its journal, and
// what is in it.
type journalFixture struct {
	mem  *storetest.MemFS
	id   Identity
	name string
	raw  []byte
	recs map[int64]*nightshift.Record // by item
	ends map[int64]int                // where the line of the record ends, without the newline
}

func newJournalFixture(t testing.TB, rows int64) *journalFixture {
	t.Helper()
	fx := &journalFixture{mem: storetest.NewFS(), id: identity(1, 1, rows, 1), recs: map[int64]*nightshift.Record{},
		ends: map[int64]int{}}
	r := mustOpen(t, crashDir, fx.id, Options{fs: fx.mem})
	u, err := r.OpenShard("m0", 0)
	if err != nil {
		t.Fatal(err)
	}
	for row := range rows - 1 { // the last has not answered
		w := u.AttemptLog(row, 0)
		storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 1, WorstTokens: 7, WorstCost: 70}))
		storetest.Must(t,
			w.Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassOverloaded,
				Message: "a \"quoted\" {\"k\":\"result\"} message"}))
		storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 2, WorstTokens: 7, WorstCost: 70}))
		rec := storetest.Record("m0", row, 0)
		rec.RawResponse = storetest.Ptr("{\"k\":\"result\",\n\"nested\": 1}\x00\u2028 é")
		storetest.Must(t, u.Put(rec))
		kept := records.Repaired(rec)
		fx.recs[row] = &kept
	}
	storetest.Must(t, u.AttemptLog(rows-1, 0).Sending(nightshift.Intent{Attempt: 1, WorstTokens: 7, WorstCost: 70}))
	storetest.Must(t, r.Close("stopped"))
	names, err := fx.mem.List(path.Join(crashDir, rundir.JournalDir))
	if err != nil || len(names) != 1 {
		t.Fatalf("journal files %q, %v", names, err)
	}
	fx.name = path.Join(crashDir, rundir.JournalDir, names[0])
	fx.raw, err = disk.ReadAll(fx.mem, fx.name)
	storetest.Must(t, err)
	storetest.Must(t, journal.ScanLines(bytes.NewReader(fx.raw), func(s journal.Span) error {
		var l journal.ScannedLine
		if err := rawjson.Unmarshal(s.Object, &l); err != nil {
			return err
		}
		if l.K == journal.KindResult {
			fx.ends[l.Row] = int(s.Off) + len(s.Raw)
		}
		return nil
	}))
	return fx
}

// open opens the run with these bytes in the journal, and returns the records
// that it has.
func (fx *journalFixture) open(t *testing.T, raw []byte) (got map[int64]*nightshift.Record, r *Run, notices []string) {
	t.Helper()
	mem := fx.mem.Clone()
	n := mem.Node(fx.name)
	n.Data, n.Durable = raw, raw
	r = mustOpen(t, crashDir, fx.id, Options{fs: mem, Notice: func(s string) { notices = append(notices, s) }})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	got = map[int64]*nightshift.Record{}
	for item := range u.j.Items() {
		if done := u.Done(item, 0); done != u.j.Has(item) {
			t.Fatalf("item %d: done %v, record %v", item, done, u.j.Has(item))
		}
		if u.j.Has(item) {
			rec, err := u.j.Record(item)
			storetest.Must(t, err)
			got[item] = rec
		}
	}
	return got, r, notices
}

// A journal that ends anywhere holds every record that ends before.
func TestJournalCutAtEveryByte(t *testing.T) {
	fx := newJournalFixture(t, 3)
	for cut := range fx.raw {
		got, r, notices := fx.open(t, fx.raw[:cut])
		for item, want := range fx.recs {
			switch rec, there := got[item]; {
			case there != (fx.ends[item] <= cut):
				t.Fatalf("cut at %d: item %d is there: %v, its line ends at %d", cut, item, there, fx.ends[item])
			case there && !reflect.DeepEqual(rec, want):
				t.Fatalf("cut at %d: item %d = %+v, want %+v", cut, item, rec, want)
			}
		}
		inLine := cut > 0 && fx.raw[cut-1] != '\n' && fx.raw[cut] != '\n'
		if inLine != (len(notices) == 1) {
			t.Fatalf("cut at %d, within a line: %v; notices %q", cut, inLine, notices)
		}
		storetest.Must(t, r.Close(""))
	}
}

// A flipped bit costs at most the record it is in, and is always noticed. No
// record ever reads as something else.
func TestJournalBitFlips(t *testing.T) {
	fx := newJournalFixture(t, 6)
	bits, step := len(fx.raw)*8, 1
	if !long() {
		step = bits/3000 | 1 // odd: each of the eight bits of a byte has its turn
	}
	flips, harmless := 0, 0
	for bit := 0; bit < bits; bit += step {
		flips++
		raw := bytes.Clone(fx.raw)
		raw[bit/8] ^= 1 << (bit % 8)
		got, r, notices := fx.open(t, raw)
		lost := 0
		for item, want := range fx.recs {
			rec, there := got[item]
			if !there {
				lost++
				continue
			}
			if !reflect.DeepEqual(rec, want) {
				t.Fatalf("bit %d: item %d = %+v, want %+v", bit, item, rec, want)
			}
		}
		if len(got) > len(fx.recs) {
			t.Fatalf("bit %d: %d records of %d", bit, len(got), len(fx.recs))
		}
		if lost > 1 {
			t.Fatalf("bit %d: %d records are lost", bit, lost)
		}
		if len(notices) == 0 {
			// A newline that was hit: the records around it are told apart
			// without it, so there is nothing to notice.
			if lost > 0 || fx.raw[bit/8] != '\n' {
				t.Fatalf("bit %d: nobody noticed; lost %d", bit, lost)
			}
			harmless++
		}
		// A lost record was sent, so it is among what may have been billed.
		if unknown := len(r.Unknown()); lost > 0 && unknown < 2 {
			t.Fatalf("bit %d: a record is lost and %d attempts are unknown, want 2", bit, unknown)
		}
		storetest.Must(t, r.Close(""))
	}
	t.Logf("%d flips of %d bits, %d of them harmless, all others noticed", flips, bits, harmless)
}

// FuzzJournal: a journal of any bytes opens, and holds nothing that was not
// put there with a checksum.
func FuzzJournal(f *testing.F) {
	fx := newJournalFixture(f, 6)
	f.Add(fx.raw)
	f.Add(fx.raw[:len(fx.raw)/2])
	seal := func(s string) []byte {
		b, _, err := journal.EncodeLine(json.RawMessage(s))
		storetest.Must(f, err)
		return b
	}
	f.Add(seal(`{"k":"result","row":1,"epoch":0,"record":{"row":2,"epoch":0}}`))
	f.Add(seal(`{"k":"result","row":99,"epoch":0,"record":null}`))
	f.Add(seal(`{"k":"intent","row":1,"epoch":0,"intent":null}`))
	f.Add(seal(`{"k":"turn","row":1,"epoch":0}`))
	f.Add(seal(`{"k":"what","row":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j := journal.NewIndex(0, fx.id.Chunks[0].Rows, 1)
		_, err := j.Scan(&storetest.MemFile{Fs: storetest.NewFS(), N: &storetest.MemNode{Data: b}}, "x")
		storetest.Must(t, err)
		for item := range j.Items() {
			if !j.Has(item) {
				continue
			}
			// A record that only reads in its short form is an error, no panic.
			if rec, err := j.Record(item); err == nil && rec == nil {
				t.Fatal("neither a record nor an error")
			}
		}
	})
}
