package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
	"nightshift/runner/store/bucket"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bucket-test-*")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} { // where copies are kept
		os.Setenv(name, dir)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func at(t testing.TB, s *s3test.Server, run string) *s3.Bucket {
	t.Helper()
	b, err := s3.Open("s3://runs/"+run, s3.FromEnv(s.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b *s3.Bucket, dir string) *bucket.Writer {
	t.Helper()
	w, err := bucket.Open(t.Context(), b, dir, bucket.Options{Quiet: 300 * time.Millisecond,
		Patience: 300 * time.Millisecond, Pace: -1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// write puts a file into a run; add adds to one.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// files are the shipped files of a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		name = filepath.ToSlash(name)
		if err != nil || d.IsDir() || strings.HasPrefix(name, "bucket.") || strings.HasPrefix(name, "set-aside") ||
			name == "lock" || strings.HasPrefix(name, "join/") || strings.HasPrefix(name, "tmp/") {
			return err
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(text))
		}
	}
	for name := range got {
		if _, wanted := want[name]; !wanted {
			t.Errorf("%s is too many", name)
		}
	}
}

func ship(t testing.TB, w *bucket.Writer, dir string) {
	t.Helper()
	if err := w.Ship(dir); err != nil {
		t.Fatal(err)
	}
}

// aRun writes what a run writes, in its order, and ships it now and then.
func aRun(t testing.TB, w *bucket.Writer, dir string, shards int) {
	t.Helper()
	write(t, dir, "run.json", `{"state":"running"}`)
	write(t, dir, "dataset.idx", strings.Repeat("index", 100_000)) // an object of its own
	write(t, dir, "join/hub.key", "secret")
	write(t, dir, "tmp/half", "half")
	if err := w.ShipAll(); err != nil {
		t.Fatal(err)
	}
	for n := range shards {
		journal := fmt.Sprintf("journal/m-%06d.g1.e0001.jsonl", n)
		for i := range 5 {
			add(t, dir, journal, fmt.Sprintf("line %d of %d\n", i, n))
			ship(t, w, dir)
		}
		if n == shards-1 {
			return // stays open
		}
		part := fmt.Sprintf("results/m-%06d.parquet", n)
		write(t, dir, part, "PAR1 "+part)
		add(t, dir, "manifest.jsonl", part+"\n")
		if err := os.Remove(filepath.Join(dir, journal)); err != nil {
			t.Fatal(err)
		}
		ship(t, w, dir)
	}
}

func TestTakeOverElsewhere(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 3)
	want := files(t, here)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, at(t, s, "a"), there)
	same(t, files(t, there), want)
	add(t, there, "journal/m-000002.g1.e0002.jsonl", "more\n")
	ship(t, next, there)
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	// The first machine comes back: what it had is not what the run has come to.
	again := open(t, at(t, s, "a"), here)
	same(t, files(t, here), files(t, there))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err := filepath.Glob(filepath.Join(here, "set-aside", "*", "run.json")); err != nil || len(kept) != 1 {
		t.Errorf("set aside: %v %v", kept, err)
	}
	for _, key := range s.Keys("") {
		if strings.Contains(key, "join") || bytes.Contains(s.Object(key), []byte("secret")) {
			t.Errorf("%s holds a key of the hub", key)
		}
	}
	if got := s.Keys("a/results/"); len(got) != 2 || got[0] != "a/results/m-000000.parquet" {
		t.Errorf("results: %v", got)
	}
}

// A process that ends without a word is taken over after a while, and what it had
// shipped is there. On its own machine nobody waits, and nothing is lost.
func TestKilled(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 2)
	w.Kill()
	add(t, here, "journal/m-000001.g1.e0001.jsonl", "not shipped\n")
	began := time.Now()
	w = open(t, at(t, s, "a"), here)
	if took := time.Since(began); took > 250*time.Millisecond {
		t.Logf("the own machine took %s", took)
	}
	ship(t, w, here)
	w.Kill()
	next := open(t, at(t, s, "a"), there)
	same(t, files(t, there), files(t, here))
	if !strings.Contains(files(t, there)["journal/m-000001.g1.e0001.jsonl"], "not shipped") {
		t.Error("what was not shipped when the process was killed is not there")
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// While one works on the run, another is told who does.
func TestInUse(t *testing.T) {
	t.Parallel()
	s, here := s3test.New(t), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 1)
	soon, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := bucket.Open(soon, at(t, s, "a"), t.TempDir(), bucket.Options{Quiet: time.Minute}); err == nil {
		t.Error("one that is silent for a moment was taken over")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				add(t, here, "late.jsonl", fmt.Sprintln(i))
				ship(t, w, here)
			}
		}
	})
	_, err := bucket.Open(t.Context(), at(t, s, "a"), t.TempDir(), bucket.Options{Quiet: time.Minute})
	close(stop)
	wg.Wait()
	var used *bucket.InUseError
	if !errors.As(err, &used) || used.PID != os.Getpid() {
		t.Errorf("another machine: %v", err)
	}
	if _, err = bucket.Open(t.Context(), at(t, s, "a"), here, bucket.Options{}); !errors.As(err, &used) {
		t.Errorf("the same machine: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Of many that take over at once one gets the run. The one before can write
// nothing more, however late it is.
func TestOneWriter(t *testing.T) {
	t.Parallel()
	s, here := s3test.New(t), t.TempDir()
	var gate sync.RWMutex
	delayed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gate.RLock()
		defer gate.RUnlock()
		s.ServeHTTP(w, r)
	}))
	defer delayed.Close()
	config := s3.FromEnv(s.Getenv)
	config.Endpoint = delayed.URL
	late, err := s3.Open("s3://runs/a", config)
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, late, here)
	aRun(t, first, here, 2)
	gate.Lock() // its requests do not arrive
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w, err := bucket.Open(t.Context(), at(t, s, "a"), t.TempDir(), bucket.Options{Quiet: 200 * time.Millisecond})
			var used *bucket.InUseError
			switch {
			case err == nil:
				won.Add(1)
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			case !errors.As(err, &used):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() == 0 {
		t.Error("nobody got the run")
	}
	before := s.Keys("a/")
	gate.Unlock()
	add(t, here, "journal/m-000001.g1.e0001.jsonl", "too late\n")
	write(t, here, "results/m-000001.parquet", "PAR1 too late")
	err = first.Ship(here)
	var taken *bucket.TakenOverError
	if !errors.As(err, &taken) || taken.PID != os.Getpid() {
		t.Fatalf("the one before: %v", err)
	}
	select {
	case <-first.Failed():
	case <-t.Context().Done():
		t.Error("the one before does not know that it is no longer the writer")
	}
	if after := s.Keys("a/"); len(after) != len(before) {
		t.Errorf("the one before wrote: %v, before %v", after, before)
	}
}

// Answers that say "failed" of what was done, and failures that pass, change
// nothing.
func TestUncertainAnswers(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	var asked sync.Map
	var n atomic.Int64
	s.Fault = func(r *http.Request) (int, bool) { // each request fails once, every second one after it was done
		if _, again := asked.LoadOrStore(r.Method+r.URL.String(), true); again {
			return 0, false
		}
		return http.StatusInternalServerError, n.Add(1)%2 == 0
	}
	w, err := bucket.Open(t.Context(), at(t, s, "a"), here, bucket.Options{Quiet: time.Second, Pace: -1})
	if err != nil {
		t.Fatal(err)
	}
	aRun(t, w, here, 3)
	want := files(t, here)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := bucket.Open(t.Context(), at(t, s, "a"), there, bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, files(t, there), want)
	s.Fault = nil
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// A store that is away for too long ends the run, which goes on when it is back.
func TestAway(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	var away atomic.Bool
	s.Fault = func(*http.Request) (int, bool) {
		if away.Load() {
			return http.StatusServiceUnavailable, false
		}
		return 0, false
	}
	var log bytes.Buffer
	w, err := bucket.Open(t.Context(), at(t, s, "a"), here, bucket.Options{Patience: 300 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Pace: -1})
	if err != nil {
		t.Fatal(err)
	}
	aRun(t, w, here, 2)
	away.Store(true)
	add(t, here, "journal/m-000001.g1.e0001.jsonl", "while it was away\n")
	err = w.Ship(here)
	var gone *bucket.AwayError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "everything is in "+here) {
		t.Errorf("%v", err)
	}
	if err := w.Close(); !errors.As(err, &gone) {
		t.Errorf("closing: %v", err)
	}
	if !strings.Contains(log.String(), "nothing more is sent until it is back") {
		t.Errorf("%s", &log)
	}
	away.Store(false)
	w = open(t, at(t, s, "a"), here)
	want := files(t, here)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, at(t, s, "a"), there)
	same(t, files(t, there), want)
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// Small pieces are joined and deleted, so that a take-over reads few.
func TestPiecesAreJoined(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	w.JoinAt(20)
	aRun(t, w, here, 2)
	for i := range 200 {
		add(t, here, "journal/m-000001.g1.e0001.jsonl", fmt.Sprintf("more %d\n", i))
		add(t, here, "late.jsonl", fmt.Sprintf("late %d\n", i))
		ship(t, w, here)
	}
	if err := w.ShipAll(); err != nil {
		t.Fatal(err)
	}
	want := files(t, here)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// 20 small ones, as many again that wait to be deleted at most, and few others.
	if n := len(s.Keys("a/log/")); n > 50 {
		t.Errorf("%d pieces are left", n)
	}
	next := open(t, at(t, s, "a"), there)
	same(t, files(t, there), want)
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

// A Parquet file that a former writer stored without living to name it in the log
// is fetched; one that differs from ours gives way.
func TestUnnamedParquetFile(t *testing.T) {
	t.Parallel()
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 2)
	s.Set("a/results/m-000001.parquet", []byte("PAR1 of another"))
	write(t, here, "results/m-000001.parquet", "PAR1 ours")
	add(t, here, "manifest.jsonl", "results/m-000001.parquet\n")
	ship(t, w, here)
	if got := string(s.Object("a/results/m-000001.parquet")); got != "PAR1 ours" {
		t.Errorf("%q", got)
	}
	b := at(t, s, "a")
	if _, err := b.Put(t.Context(), "results/m-000007.parquet", []byte("PAR1 7"), s3.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, b, there)
	if got := files(t, there)["results/m-000007.parquet"]; got != "PAR1 7" {
		t.Errorf("%q", got)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestProbe(t *testing.T) {
	for _, header := range []string{"If-None-Match", "If-Match"} {
		s := s3test.New(t)
		s.Ignores = header
		_, err := bucket.Open(t.Context(), at(t, s, "a"), t.TempDir(), bucket.Options{})
		var unfit *bucket.UnfitError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), "ignores "+header) {
			t.Errorf("%s: %v", header, err)
		}
		if keys := s.Keys(""); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
	}
}

// A directory with another run in it is not touched.
func TestForeignDirectory(t *testing.T) {
	s, here, there := s3test.New(t), t.TempDir(), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 1)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, there, "run.json", "{}")
	if _, err := bucket.Open(t.Context(), at(t, s, "a"), there, bucket.Options{}); err == nil ||
		!strings.Contains(err.Error(), "holds run.json") {
		t.Errorf("%v", err)
	}
	if _, err := bucket.Open(t.Context(), at(t, s, "b"), here, bucket.Options{}); err == nil ||
		!strings.Contains(err.Error(), "is of the run s3://runs/a") {
		t.Errorf("%v", err)
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s, here := s3test.New(t), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 3)
	before := s.Requests(http.MethodPut)
	full, err := bucket.Read(t.Context(), at(t, s, "a"), bucket.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, files(t, full.Dir), files(t, here))
	if _, err := os.Stat(filepath.Join(full.Dir, "lock")); err != nil {
		t.Errorf("the run is live, its copy is not: %v", err)
	}
	gets := s.Requests(http.MethodGet)
	short, err := bucket.Read(t.Context(), at(t, s, "a"), bucket.ReadOptions{StatusOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(short.Dir, "results/m-000000.parquet")); err != nil || info.Size() != 29 {
		t.Errorf("the placeholder: %v %v", info, err)
	}
	if n := s.Requests(http.MethodGet) - gets; n > 40 {
		t.Errorf("%d requests for a status", n)
	}
	if n := s.Requests(http.MethodPut) - before; n > 3 { // those of the writer
		t.Errorf("%d objects were written by reading", n)
	}
	if err := errors.Join(full.Close(), short.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(full.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the copy is still there")
	}
	if _, err := bucket.Read(t.Context(), at(t, s, "none"), bucket.ReadOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no run: %v", err)
	}
}
