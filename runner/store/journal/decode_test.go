package journal

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/testdata/storetest"
)

// What EncodeRecord writes is read into the Record that it was.
func TestDecodeWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	for i := range int64(2000) {
		want := records.Repaired(storetest.HostileRecord(rng, "m", i, 0))
		line, _ := EncodeRecord(&want, time.Now().UTC())
		object := line[prefixLen : len(line)-1]
		got, err := decodeRecord(object)
		storetest.Must(t, err)
		if !reflect.DeepEqual(*got, want) {
			t.Fatal(storetest.FirstDifference(*got, want))
		}
	}
}

var rawMark = []byte(rawMember)

// A long raw body comes back from the journal as it was, packed or not, and
// lines from before bodies were packed are read.
func TestDecodeRawBodies(t *testing.T) {
	noise := make([]byte, 5000)
	rng := rand.New(rand.NewPCG(14, 14))
	for i := range noise {
		noise[i] = ' ' + byte(rng.IntN(95))
	}
	event := `data: {"choices":[{"delta":{"content":"wörd\n"}}]}` + "\n\n"
	for name, c := range map[string]struct {
		raw    string
		packed bool
	}{
		"empty":          {"", false},
		"short":          {event, false},
		"stream":         {strings.Repeat(event, 300), true},
		"large":          {strings.Repeat(event, 60_000), true},
		"incompressible": {string(noise), false},
	} {
		rec := nightshift.Record{Row: 1, Model: "m", RawResponse: &c.raw}
		line, _ := EncodeRecord(&rec, time.Now().UTC())
		object := line[prefixLen : len(line)-1]
		if got := bytes.Contains(object, rawMark); got != c.packed {
			t.Errorf("%s: packed is %v", name, got)
		}
		if c.packed && len(line) > len(c.raw)/2 {
			t.Errorf("%s: a line of %d bytes for a body of %d", name, len(line), len(c.raw))
		}
		old := append(appendRecord([]byte(`{"k":"result","row":1,"epoch":0,"at":"2026-11-21T22:00:00Z","record":`),
			&rec), '}')
		for _, object := range [][]byte{object, old} {
			got, err := decodeRecord(object)
			storetest.Must(t, err)
			if !reflect.DeepEqual(*got, rec) {
				t.Errorf("%s: %s", name, storetest.FirstDifference(*got, rec))
			}
		}
		if c.packed {
			broken := bytes.Replace(object, rawMark, append(bytes.Clone(rawMark), "AAAA"...), 1)
			if _, err := decodeRecord(broken); err == nil {
				t.Errorf("%s: a broken block is read", name)
			}
		}
	}
}

// Lines in another form are read as encoding/json reads them.
func TestDecodeOtherForms(t *testing.T) {
	for _, object := range []string{
		`{"k":"result","row":1,"epoch":0,"at":"2026-11-21T22:00:00Z","record":{"row":1}}`,
		`{"k":"result","row":1,"epoch":0,"at":"2026-11-21T22:00:00Z","record":{}}`,
		`{"k":"result","row":1,"epoch":0,"at":"2026-11-21T22:00:00Z"}`,
		`{"k":"result", "record": {"id": "\u00e9\ud83d\ude00\/", "row": 7, "flags": null, "new_column": [1, {"a": "}"}]}}`,
		`{"k":"seal","row":1}`,
		`{"k":"result","row":`,
	} {
		var l struct{ Record *nightshift.Record }
		wantErr := json.Unmarshal([]byte(object), &l)
		got, err := decodeRecord([]byte(object))
		if (err != nil) != (wantErr != nil) || !reflect.DeepEqual(got, l.Record) {
			t.Errorf("%s\nread as %+v, %v\nwant %+v, %v", object, got, err, l.Record, wantErr)
		}
	}
}

// Any line is read or refused, and what was read is written and read alike.
func FuzzDecodeRecord(f *testing.F) {
	rng := rand.New(rand.NewPCG(13, 13))
	for i := range int64(20) {
		rec := records.Repaired(storetest.HostileRecord(rng, "m", i, 0))
		if i%4 == 0 {
			rec.RawResponse = storetest.Ptr(strings.Repeat(`data: {"delta":"`+rec.ID+`"}`+"\n\n", 100))
		}
		line, _ := EncodeRecord(&rec, time.Unix(1, 0).UTC())
		f.Add(string(line[prefixLen+len(`{"k":"result","row":`) : len(line)-1]))
	}
	f.Fuzz(func(t *testing.T, rest string) {
		rec, err := decodeRecord([]byte(`{"k":"result","row":` + rest))
		if err != nil || rec == nil {
			return
		}
		want := records.Repaired(rec)
		line, _ := EncodeRecord(&want, time.Unix(1, 0).UTC())
		again, err := decodeRecord(line[prefixLen : len(line)-1])
		storetest.Must(t, err)
		if !reflect.DeepEqual(*again, want) {
			t.Fatal(storetest.FirstDifference(*again, want))
		}
	})
}

// BenchmarkDecode is what a record costs to read at a commit.
func BenchmarkDecode(b *testing.B) {
	kept := records.Repaired(storetest.LargeRecord(rand.New(rand.NewPCG(1, 1)), "m0", 0))
	line, _ := EncodeRecord(&kept, time.Now())
	object := line[prefixLen : len(line)-1]
	b.SetBytes(int64(len(object)))
	b.ReportAllocs()
	storetest.ReportCPU(b)
	for b.Loop() {
		_, err := decodeRecord(object)
		storetest.Must(b, err)
	}
}
