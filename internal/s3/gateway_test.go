package s3_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
)

// Of 32 that create one object at once one does, on a store that others wrote. Of
// those that replace it by its ETag some do and others are refused: this store
// compares first and replaces then. One writer needs no more.
func TestRacers(t *testing.T) {
	g := s3test.NewGateway(t)
	b, err := s3.Open("s3://runs/race", s3.FromEnv(g.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	race := func(key string, most int64, when s3.Condition) {
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for {
					_, err := b.Put(t.Context(), key, fmt.Appendf(nil, "%s by %d", key, i), when)
					if err == nil {
						won.Add(1)
					} else if s3.Passing(err) {
						continue
					} else if !errors.Is(err, s3.ErrCondition) {
						t.Error(err)
					}
					return
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n < 1 || n > most {
			t.Errorf("%s, %+v: %d of 32 won", key, when, won.Load())
		}
	}
	for i := range 20 {
		key := fmt.Sprintf("log/%012d", i)
		race(key, 1, s3.Condition{Absent: true})
		info, err := b.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		race(key, 31, s3.Condition{ETag: info.ETag})
	}
	list, _, err := b.List(t.Context(), "log/", "log/000000000004", 0)
	if err != nil || len(list) != 15 {
		t.Errorf("%d are listed: %v", len(list), err)
	}
	if err := b.Delete(t.Context(), "log/000000000003"); err != nil {
		t.Error(err)
	}
	if _, _, err := b.Get(t.Context(), "log/000000000003", 100); !errors.Is(err, s3.ErrNotFound) {
		t.Error(err)
	}
}
