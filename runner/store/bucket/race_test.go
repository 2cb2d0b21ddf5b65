package bucket_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
	"nightshift/runner/store/bucket"
)

// through is a way to a store on which before is told of each request ahead of it.
func through(t *testing.T, s *s3test.Server, before func(*http.Request)) *s3.Bucket {
	t.Helper()
	way := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before(r)
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(way.Close)
	config := s3.FromEnv(s.Getenv)
	config.Endpoint = way.URL
	b, err := s3.Open("s3://runs/a", config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Of many that claim a run in the same moment one has it, and the others are told.
func TestOneOfManyClaims(t *testing.T) {
	t.Parallel()
	const many = 8
	s := s3test.New(t)
	first := open(t, at(t, s, "a"), t.TempDir())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	last := s.Keys("a/log/")
	claim := nextPiece(t, last[len(last)-1])
	var ready sync.WaitGroup
	ready.Add(many)
	var won sync.Map
	var wg sync.WaitGroup
	for range many {
		var once sync.Once
		b := through(t, s, func(r *http.Request) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, claim) {
				once.Do(func() { ready.Done(); ready.Wait() })
			}
		})
		wg.Go(func() {
			w, err := bucket.Open(t.Context(), b, t.TempDir(), bucket.Options{Quiet: time.Minute})
			var used *bucket.InUseError
			switch {
			case err == nil:
				won.Store(w, true)
			case !errors.As(err, &used):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	for w := range won.Range {
		n++
		if err := w.(*bucket.Writer).Close(); err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d of %d have the run", n, many)
	}
}

// nextPiece is the name of the piece after one.
func nextPiece(t *testing.T, key string) string {
	t.Helper()
	var n int64
	if _, err := fmt.Sscanf(key[strings.LastIndex(key, "/")+1:], "%d", &n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/log/%012d", n+1)
}

// A claim in the place of a piece that the writer has deleted since came too late,
// and does not count.
func TestClaimTooLate(t *testing.T) {
	t.Parallel()
	s, here := s3test.New(t), t.TempDir()
	first := open(t, at(t, s, "a"), here)
	aRun(t, first, here, 1)
	last := s.Keys("a/log/")
	claim := nextPiece(t, last[len(last)-1])
	var once sync.Once
	b := through(t, s, func(r *http.Request) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/log/") {
			return
		}
		once.Do(func() { // the writer goes on, and replaces what it wrote there
			for n := 0; n < 50 && (n < 2 || s.Object("a"+claim) != nil); n++ {
				write(t, here, "run.json", fmt.Sprintf(`{"n":%d}`, n))
				if err := first.ShipAll(); err != nil {
					t.Error(err)
				}
			}
			if s.Object("a"+claim) != nil {
				t.Error("the piece was not deleted")
			}
		})
	})
	_, err := bucket.Open(t.Context(), b, t.TempDir(), bucket.Options{Quiet: 50 * time.Millisecond})
	var used *bucket.InUseError
	if !errors.As(err, &used) {
		t.Errorf("the late claim: %v", err)
	}
	add(t, here, "journal/m-000000.g1.e0001.jsonl", "more\n")
	ship(t, first, here)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// A Parquet file that a former writer stores late does not take the place of the
// present writer's.
func TestLateParquetFile(t *testing.T) {
	t.Parallel()
	const name = "results/m-000001.parquet"
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	arrives, late := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := through(t, s, func(r *http.Request) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, name) {
			once.Do(func() { close(arrives); <-late })
		}
	})
	first := open(t, b, here)
	aRun(t, first, here, 2)
	write(t, here, name, "PAR1 of the former")
	add(t, here, "manifest.jsonl", name+"\n")
	done := make(chan error, 1)
	go func() { done <- first.Ship(here) }()
	<-arrives
	second, err := bucket.Open(t.Context(), at(t, s, "a"), there, bucket.Options{Quiet: 100 * time.Millisecond, Pace: -1})
	if err != nil {
		t.Fatal(err)
	}
	write(t, there, name, "PAR1 of the present")
	add(t, there, "manifest.jsonl", name+"\n")
	ship(t, second, there)
	close(late)
	var taken *bucket.TakenOverError
	if err := <-done; !errors.As(err, &taken) {
		t.Errorf("the former writer: %v", err)
	}
	if got := string(s.Object("a/" + name)); got != "PAR1 of the present" {
		t.Errorf("%q", got)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
