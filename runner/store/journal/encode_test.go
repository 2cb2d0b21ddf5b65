package journal

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/testdata/storetest"
)

// What is written by hand is what encoding/json would have written, in
// meaning: it reads back equal, and has the same members.
func TestAppendRecord(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for i := range int64(2000) {
		want := records.Repaired(storetest.HostileRecord(rng, "m", i, 0))
		b := appendRecord(nil, &want)
		var got nightshift.Record
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatal(storetest.FirstDifference(got, want))
		}
		std, err := json.Marshal(want)
		storetest.Must(t, err)
		var members, stdMembers map[string]any
		storetest.Must(t, json.Unmarshal(b, &members))
		storetest.Must(t, json.Unmarshal(std, &stdMembers))
		if !reflect.DeepEqual(members, stdMembers) {
			t.Fatalf("%s\nencoding/json writes\n%s", b, std)
		}
	}
}

func FuzzAppendText(f *testing.F) {
	for _, s := range storetest.HostileTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rec := nightshift.Record{Text: &s}
		kept := records.Repaired(&rec)
		line, crc := EncodeRecord(&kept, time.Unix(1, 0).UTC())
		object, got, ok := CheckLine(line[:len(line)-1])
		if !ok || got != crc {
			t.Fatalf("line %q does not check", line)
		}
		var l struct{ Record nightshift.Record }
		if err := json.Unmarshal(object, &l); err != nil || *l.Record.Text != *kept.Text {
			t.Fatalf("%q reads back as %q, %v", *kept.Text, *l.Record.Text, err)
		}
	})
}
