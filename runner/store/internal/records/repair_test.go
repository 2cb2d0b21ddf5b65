package records

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
)

// What is sound is kept as it is, everything else as its repaired copy, and a
// repaired record is sound.
func TestSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	ptr := func(change func(*nightshift.Record)) *nightshift.Record {
		rec := Repaired(storetest.LargeRecord(rng, "m", 1))
		rec.Embedding = nil
		change(&rec)
		return &rec
	}
	list := []*nightshift.Record{
		ptr(func(*nightshift.Record) {}),
		ptr(func(r *nightshift.Record) { r.ID = "\xff" }),
		ptr(func(r *nightshift.Record) { r.Text = storetest.Ptr("a\xffb") }),
		ptr(func(r *nightshift.Record) { r.CostUSD = storetest.Ptr(math.Inf(1)) }),
		ptr(func(r *nightshift.Record) { r.StartedAt = storetest.Ptr(time.Now()) }),
		ptr(func(r *nightshift.Record) { r.StartedAt = storetest.Ptr(time.Unix(1, 1).UTC()) }),
		ptr(func(r *nightshift.Record) { r.StartedAt = &time.Time{} }),
		ptr(func(r *nightshift.Record) { r.RawBytes = []byte{} }),
		ptr(func(r *nightshift.Record) { r.Embedding = nightshift.Vector{float32(math.NaN())} }),
	}
	for i := range int64(50) {
		list = append(list, storetest.HostileRecord(rng, "m", i, 0))
	}
	for i, rec := range list {
		got, want := Sound(rec), Repaired(rec)
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("record %d: kept as\n%+v\nwant\n%+v", i, *got, want)
		}
		if want.Embedding == nil && Sound(&want) != &want {
			t.Errorf("record %d: its repaired copy is not sound", i)
		}
	}
	if rec := ptr(func(*nightshift.Record) {}); Sound(rec) != rec {
		t.Error("a record that is sound is copied")
	}
}
