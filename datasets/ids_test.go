package datasets

import (
	"math/rand/v2"
	"os"
	"testing"

	"nightshift/datasets/internal/rowjson"
)

// Twins are found alike in memory and on disk, and no file is left behind.
func TestTwinFinder(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000, 50_000} {
		ids := make([]uint64, 0, n+n/10)
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		for range n {
			ids = append(ids, rng.Uint64())
		}
		twice := map[uint64]bool{}
		for i := 0; i < n; i += 10 {
			ids = append(ids, ids[i])
			twice[ids[i]] = true
		}
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for _, limit := range []int{1 << 30, 100, 20_000} {
			dir := t.TempDir()
			f := &duplicateFinder{dir: dir, limit: limit}
			for i := 0; i < len(ids); i += 700 {
				if err := f.add(ids[i:min(len(ids), i+700)]); err != nil {
					t.Fatal(err)
				}
			}
			repeats, suspects, err := f.find()
			if err != nil || repeats != int64(len(twice)) || len(suspects) != len(twice) {
				t.Errorf("%d ids, limit %d: %d repeats, %d suspects, %v; want %d", n, limit, repeats, len(suspects),
					err, len(twice))
			}
			for _, s := range suspects {
				if !twice[s] {
					t.Fatalf("%x is no twin", s)
				}
			}
			f.close()
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		}
	}
}

// Ids that are written out as the same text are the same.
func TestHashID(t *testing.T) {
	hash := func(raw string) uint64 { return hashID(rowjson.NewValue([]byte(raw))) }
	if hash(`1`) != hash(`"1"`) || hash(`"a"`) != hash(`"\u0061"`) || hash(`"a"`) == hash(`"b"`) {
		t.Error("ids are told apart wrongly")
	}
}
