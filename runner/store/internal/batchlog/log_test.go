package batchlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/testdata/storetest"
)

const name = "/batches.jsonl"

// holding is a file system whose log has this content.
func holding(t testing.TB, b []byte) *storetest.MemFS {
	t.Helper()
	mem := storetest.NewFS()
	storetest.Must(t, disk.WriteSynced(mem, name, b))
	return mem
}

// write appends to a log what steps do, and returns what its file then holds.
func write(t testing.TB, mem *storetest.MemFS, steps func(*Log)) []byte {
	t.Helper()
	g, err := Open(mem, name, "run", "host", read(t, mem))
	storetest.Must(t, err)
	steps(g)
	storetest.Must(t, g.Sync())
	g.Close()
	b, err := disk.ReadAll(mem, name)
	if !errors.Is(err, fs.ErrNotExist) {
		storetest.Must(t, err)
	}
	return b
}

func read(t testing.TB, mem *storetest.MemFS) *Content {
	t.Helper()
	c, err := Read(mem, name)
	storetest.Must(t, err)
	return c
}

func newBatch(n int) *Batch {
	return &Batch{N: n, Model: "m", Shard: 1, Gen: 1, Round: 1, Items: Items{{0, 3}}, Rows: 3, WorstCost: 5}
}

// way writes a batch up to and with a stage.
func way(t testing.TB, g *Log, b *Batch, to Stage) {
	t.Helper()
	remote := nightshift.Batch{ID: fmt.Sprint("id", b.N), Phase: nightshift.BatchRunning}
	for _, s := range []struct {
		stage Stage
		write func() error
	}{
		{Planned, func() error { return g.Planned(b) }},
		{Uploaded, func() error { return g.Uploaded(b, nightshift.BatchFile{ID: "f"}) }},
		{Creating, func() error { return g.Creating(b, time.Unix(1e9, 0)) }},
		{Created, func() error { return g.Created(b, remote, false) }},
		{Ended, func() error { return g.Ended(b, remote) }},
		{Fetched, func() error { return g.Fetched(b, []LocalFile{{Name: "000001.out1.jsonl"}}) }},
		{Collected, func() error { return g.Collected(b, Sums{Answers: 3}) }},
		{Closed, func() error { return g.Closed(b, "kept") }},
	} {
		storetest.Must(t, s.write())
		if b.Stage != s.stage {
			t.Fatalf("after %s the stage is %s", s.stage, b.Stage)
		}
		if s.stage == to {
			return
		}
	}
}

// Without a batch there is no file.
func TestNoBatchesNoFile(t *testing.T) {
	mem := storetest.NewFS()
	if b := write(t, mem, func(*Log) {}); b != nil || mem.Node(name) != nil {
		t.Fatalf("a file was made: %q", b)
	}
}

// The log cut at every byte: what ends before the cut is there, no more; a
// process that goes on appends to it, and nothing counts as damage then.
func TestLogCutAtEveryByte(t *testing.T) {
	mem := storetest.NewFS()
	whole := write(t, mem, func(g *Log) { way(t, g, newBatch(1), Closed) })
	lines := bytes.Count(whole, []byte{'\n'})
	for cut := range len(whole) + 1 {
		mem = holding(t, whole[:cut])
		ended := bytes.Count(whole[:cut], []byte{'\n'})
		if cut < len(whole) && whole[cut] == '\n' {
			ended++ // a line is whole without its newline
		}
		c := read(t, mem)
		for _, d := range c.Damage {
			if !d.AtTail {
				t.Fatalf("cut at %d: damage within: %+v", cut, d)
			}
		}
		if b := c.Batches[1]; ended >= 2 && b.Stage != []Stage{Planned, Uploaded, Creating, Created, Ended, Fetched,
			Collected, Closed}[min(ended, lines)-2] {
			t.Fatalf("cut at %d: %d lines, the stage is %s", cut, ended, b.Stage)
		}
		before := c.Batches[1]
		write(t, mem, func(g *Log) { way(t, g, newBatch(2), Planned) })
		c = read(t, mem)
		if len(c.Damage) > 0 || c.RunID != "run" && ended > 0 {
			t.Fatalf("cut at %d: after the next process: run %q, damage %+v", cut, c.RunID, c.Damage)
		}
		if before != nil && c.Batches[1].Stage != before.Stage || c.Batches[2] == nil || c.Last != 2 {
			t.Fatalf("cut at %d: after the next process: %+v", cut, c.Batches)
		}
	}
}

// A line within the log is damaged: the batch never looks as if it could be
// created, or its rows sent, while it may be away.
func TestLogDamage(t *testing.T) {
	for _, c := range []struct {
		name    string
		to      Stage
		damaged []int // lines of the batch, from 0
		want    Stage
	}{
		{"the plan", Created, []int{0}, Created},
		{"the upload", Created, []int{1}, Created},
		{"the intent", Creating, []int{2}, Creating},
		{"the id", Created, []int{3}, Creating},
		{"intent and id", Created, []int{2, 3}, Creating},
		{"the end", Ended, []int{4}, Created},
		{"that it was collected", Collected, []int{6}, Fetched},
		{"that it is closed", Closed, []int{7}, Collected},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := storetest.NewFS()
			whole := write(t, mem, func(g *Log) {
				way(t, g, newBatch(1), c.to)
				way(t, g, newBatch(2), Planned)
			})
			at := bytes.SplitAfter(whole, []byte{'\n'})[1:] // without the head
			for _, n := range c.damaged {
				at[n][20] ^= 4
			}
			mem = holding(t, whole)
			got := read(t, mem)
			if len(got.Damage) != len(c.damaged) || len(got.Lost) != 0 || got.Batches[1].Stage != c.want {
				t.Fatalf("stage %s, want %s; lost %v, damage %v", got.Batches[1].Stage, c.want, got.Lost, got.Damage)
			}
			if got.Batches[2].Stage != Planned {
				t.Fatalf("a batch that was planned later is %s", got.Batches[2].Stage)
			}
			if got.Batches[1].Creating.IsZero() && c.want == Creating {
				t.Fatal("nothing says from when on it is to be looked for")
			}
		})
	}
}

// When both lines that name the rows are damaged nobody knows them.
func TestLogLosesRows(t *testing.T) {
	mem := storetest.NewFS()
	whole := write(t, mem, func(g *Log) { way(t, g, newBatch(1), Created) })
	lines := bytes.SplitAfter(whole, []byte{'\n'})
	lines[1][20] ^= 4
	lines[3][20] ^= 4
	mem = holding(t, whole)
	if got := read(t, mem); len(got.Lost) != 1 || got.Lost[0] != 1 || !got.Paid() {
		t.Fatalf("lost %v, batches %v", got.Lost, got.Batches)
	}
}

// A create call that was repeated leaves two batches at the provider: both have
// to end.
func TestTwoRemotes(t *testing.T) {
	mem := storetest.NewFS()
	one := nightshift.Batch{ID: "one", Phase: nightshift.BatchRunning, ExpiresAt: time.Unix(2e9, 0).UTC()}
	two := nightshift.Batch{ID: "two", Phase: nightshift.BatchRunning, ExpiresAt: time.Unix(1e9, 0).UTC()}
	b := newBatch(1)
	write(t, mem, func(g *Log) {
		way(t, g, b, Creating)
		storetest.Must(t, g.Created(b, one, true))
		storetest.Must(t, g.Created(b, two, true))
		storetest.Must(t, g.Cancel(b, "two", "double"))
		storetest.Must(t, g.Ended(b, one))
	})
	got := read(t, mem).Batches[1]
	if got.Stage != Created || len(got.Remotes) != 2 || got.Remotes[1].CancelledBy != "double" ||
		!got.ExpiresAt().Equal(two.ExpiresAt) {
		t.Fatalf("%+v", got)
	}
	write(t, mem, func(g *Log) { storetest.Must(t, g.Ended(got, two)) })
	if got = read(t, mem).Batches[1]; got.Stage != Ended || got.Lead().ID != "one" {
		t.Fatalf("%+v", got)
	}
	// Uploading anew gives both up.
	write(t, mem, func(g *Log) { storetest.Must(t, g.Uploaded(got, nightshift.BatchFile{ID: "g"})) })
	if got = read(t, mem).Batches[1]; got.Stage != Uploaded || len(got.Remotes) != 0 || got.File.ID != "g" {
		t.Fatalf("%+v", got)
	}
}

func TestItems(t *testing.T) {
	var s Items
	for _, item := range []int64{4, 5, 6, 1, 9, 0} {
		s = s.Add(item)
	}
	s, err := s.Sorted()
	storetest.Must(t, err)
	if fmt.Sprint(s) != "[{0 1} {1 1} {4 3} {9 1}]" || s.Count() != 6 {
		t.Fatalf("%v", s)
	}
	for item := range int64(12) {
		want := strings.Contains("0 1 4 5 6 9", fmt.Sprint(item)) && item < 10
		if s.Has(item) != want {
			t.Errorf("Has(%d) = %v", item, !want)
		}
	}
	if _, err := s.Add(5).Sorted(); err == nil {
		t.Error("an item twice is taken")
	}
	var n Items
	for item := range s.All() {
		n = n.Add(item)
	}
	if n.Count() != s.Count() {
		t.Errorf("All yields %v", n)
	}
}

// The reader takes any bytes: it ends, and what it makes of them can be written
// and read again.
func FuzzRead(f *testing.F) {
	mem := storetest.NewFS()
	f.Add(write(f, mem, func(g *Log) {
		way(f, g, newBatch(1), Closed)
		way(f, g, newBatch(2), Creating)
	}))
	f.Add([]byte(`00000000 {"k":"planned","batch":1,"plan":{"model":"m","generation":1,"items":[[0,9]],"rows":9}}` + "\n"))
	f.Add([]byte(`00000000 {"k":"torn","off":0,"bytes":99}` + "\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := holding(t, sealed(b))
		before := read(t, mem)
		write(t, mem, func(*Log) {})
		after := read(t, mem)
		if len(before.Batches) != len(after.Batches) || before.Last != after.Last {
			t.Fatalf("%d batches up to %d, after a start %d up to %d", len(before.Batches), before.Last, len(after.Batches),
				after.Last)
		}
		for n, x := range before.Batches {
			y := after.Batches[n]
			if x.Items.check() != nil || x.Items.Count() > x.Rows && x.Items != nil || y.Stage != x.Stage {
				t.Fatalf("batch %d: %+v, after a start %+v", n, x, y)
			}
		}
	})
}

// sealed gives every line that looks like one the checksum it needs, so that what
// is within is read.
func sealed(b []byte) []byte {
	var out []byte
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if i := bytes.Index(line, []byte(`{"k":`)); i >= 0 {
			line = sealLine(line[i:])
		}
		out = append(append(out, line...), '\n')
	}
	return out
}

func sealLine(object []byte) []byte {
	crc := crc32.Checksum(object, crc32.MakeTable(crc32.Castagnoli))
	return fmt.Appendf(nil, "%08x %s", crc, object)
}

func TestItemRangeJSON(t *testing.T) {
	for text, want := range map[string]ItemRange{
		"[0,1]": {0, 1}, " [7, 20000] ": {7, 20000}, "[0,0]": {}, "[-1,2]": {}, "[1]": {}, "[1,2,3]": {}, "7": {},
		`["1","2"]`: {}, "[1.5,2]": {}, "[9999999999999,1]": {}, "[[1],2]": {}, "null": {}, "[1e3,2]": {},
	} {
		var got ItemRange
		err := json.Unmarshal([]byte(text), &got)
		if got != want || (err == nil) != (want.Count > 0) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
