package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
	"nightshift/providers"
	"nightshift/providers/batch"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
	"nightshift/runner"
	"nightshift/runner/store"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

// crashPoints are the places where the process is killed, in the order in which
// a batch passes them.
var crashPoints = []string{
	"batch.planned", "batch.uploaded", "batch.creating", "batch.create-sent", "batch.create-answered", "batch.created",
	"batch.listed", "batch.fenced", "batch.polled", "batch.cancel-noted", "batch.ended", "batch.downloaded",
	"batch.fetched", "batch.row", "batch.recorded", "batch.collected", "batch.remote-deleted",
}

const (
	crashRows  = 60
	crashHaste = 2000 // how many times faster than at a vendor time passes
	// mostExpired is after how many batches that ended too early a row is given up.
	// On a busy machine the hastened deadline, 600 ms, passes so often now and then.
	mostExpired = 3
)

// The test binary is the program that is killed, when the environment says so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NIGHTSHIFT_TEST_BATCHES"); dir != "" {
		os.Exit(batchChild(dir, os.Getenv("NIGHTSHIFT_TEST_URL"), os.Getenv("NIGHTSHIFT_TEST_BUCKET"),
			os.Getenv("NIGHTSHIFT_TEST_CRASH")))
	}
	if dir := os.Getenv("NIGHTSHIFT_TEST_TAKEOVER"); dir != "" {
		os.Exit(reuseChild(dir, os.Getenv("NIGHTSHIFT_TEST_FROM"), os.Getenv("NIGHTSHIFT_TEST_CRASH")))
	}
	os.Exit(m.Run())
}

// What a batchChild ends with besides 0.
const (
	childStopped = 3 // a pool stopped; another start goes on
	childFailed  = 4
)

// batchChild runs what is left of a run in batches, and is killed when it passes
// a point for the n-th time. store is the address of a bucket's store; "" is none.
func batchChild(dir, url, store, crash string) int {
	killAt(crash)
	runner.Hasten(crashHaste)
	stops, err := runBatches(dir, url, store)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return childFailed
	case len(stops) > 0:
		fmt.Fprintln(os.Stderr, stops[0].Err)
		return childStopped
	}
	return 0
}

// killAt ends the process at "name:n": when it passes name for the n-th time.
func killAt(crash string) {
	at, times, _ := strings.Cut(crash, ":")
	left, _ := strconv.Atoi(times)
	var mu sync.Mutex
	runner.CrashAt(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if name == at {
			if left--; left == 0 {
				if p, err := os.FindProcess(os.Getpid()); err == nil {
					p.Kill()
				}
				select {} // the signal is on its way
			}
		}
	})
}

// impatient is a batch API that may be asked as often as wanted.
type impatient struct{ *batch.Batcher }

func (i impatient) Limits() nightshift.BatchLimits {
	l := i.Batcher.Limits()
	l.Poll = 0
	return l
}

func runBatches(dir, url, keep string) (stops []runner.Stop, err error) {
	data, err := datasets.Open(context.Background(), datasets.Spec{Paths: []string{"rows.jsonl"}, Dir: dir, ShardRows: 20})
	if err != nil {
		return nil, err
	}
	id := store.Identity{Name: "trial", PlanHash: "h", Plan: json.RawMessage(`{}`), DatasetHash: data.Info().Hash,
		DatasetRows: data.Info().Rows, Epochs: 1, Models: []string{"m"}}
	for _, s := range data.Chunks() {
		id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Hash: s.Hash})
	}
	o := store.Options{ReserveFile: -1}
	if keep != "" {
		w, err := bucket.Open(context.Background(), inBucket(keep), filepath.Join(dir, "run"),
			bucket.Options{Quiet: 20 * time.Millisecond, Pace: -1})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		o.Remote = w
	}
	st, err := store.Open(filepath.Join(dir, "run"), id, o)
	if err != nil {
		return nil, err
	}
	e, _ := providers.Lookup("openai", nightshift.Chat, nil)
	e.BaseURL, e.AllowHTTP = url+"/v1", true
	e.Timeouts.Connect, e.Timeouts.FirstByte = 500*time.Millisecond, 500*time.Millisecond
	e.Timeouts.Idle, e.Timeouts.Total = 500*time.Millisecond, 500*time.Millisecond
	key := secrets.New("sk-test-0123456789abcdef")
	api, err := batch.New(batch.Config{Endpoint: e, Key: key, Model: "m-1", MaxOutput: 50})
	if err != nil {
		return nil, err
	}
	p := runner.Pool{Model: "m", ModelID: "m-1", Endpoint: "openai", Protocol: nightshift.Chat, Concurrency: 4,
		Batch: &runner.Batching{API: impatient{api}, Submit: true, MaxRows: 8, MinRows: 1, Delete: true,
			PollFirst: 2 * time.Millisecond, PollMost: 20 * time.Millisecond, Attempts: 20,
			Deadline: 20 * time.Minute / crashHaste}}
	r := &runner.Run{Name: "trial", Store: st, Dataset: data, Pools: []runner.Pool{p}, Epochs: 1,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	stops, err = r.Do(context.Background(), context.Background())
	return stops, errors.Join(err, st.Close("tested"))
}

// kills is how often processes are killed: a few in a quick run,
// NIGHTSHIFT_KILLS or 5,000 in the long form.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_KILLS")); err == nil {
		return n
	}
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		return 5000
	}
	if testing.Short() {
		t.Skip("kills real processes")
	}
	return 10
}

// TestBatchKill kills processes at every named point, the first and the third
// time they pass it, while the server does everything wrong that a server can,
// and asks the server in the end what it was paid for.
func TestBatchKill(t *testing.T) {
	killOften(t, nil)
}

// TestBatchKillInBucket does the same to a run in a bucket. Every second time the
// machine is lost too, and another takes over with what is in the bucket.
func TestBatchKillInBucket(t *testing.T) {
	killOften(t, s3test.New(t))
}

func killOften(t *testing.T, keep *s3test.Server) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	passed := map[string]int{}
	left := kills(t)
	if keep != nil {
		left = (left + 1) / 2 // each takes longer
	}
	for left > 0 {
		left -= max(1, killBatches(t, random, min(left, 8), passed, keep))
		if t.Failed() {
			return
		}
	}
	t.Logf("kills by point: %v", passed)
}

// killBatches is one run that is killed up to most times; it returns how often it
// was.
func killBatches(t *testing.T, random *rand.Rand, most int, passed map[string]int, keep *s3test.Server) (killed int) {
	server, url := batchServer(t, random.Uint64())
	dir := t.TempDir()
	address := ""
	if keep != nil {
		address = fmt.Sprintf("%s/runs/%d", keep.URL, random.Uint64())
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(prompts(crashRows)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 * most {
		if killed == most {
			break
		}
		point := crashPoints[random.IntN(len(crashPoints))] + [...]string{":1", ":3"}[random.IntN(2)]
		code := runChild(t, dir, url, address, point)
		if code == 0 {
			break
		}
		if code == -1 {
			killed++
			passed[point]++
		}
		if keep != nil && random.IntN(2) == 0 {
			loseMachine(t, dir, address)
		}
		checkAway(t, server, dir)
	}
	for range 100 {
		if code := runChild(t, dir, url, address, ""); code == 0 {
			checkPaid(t, server, dir)
			return killed
		}
	}
	t.Fatal("the run does not come to its end")
	return killed
}

// inBucket is a run in the bucket of a store, both in one URL.
func inBucket(address string) *s3.Bucket {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	b, err := s3.Open("s3:/"+u.Path, s3.Config{Endpoint: "http://" + u.Host, Region: "us-east-1",
		Keys: func(context.Context) (s3.Keys, error) { return s3.Keys{ID: "test-id", Secret: "test-secret"}, nil }})
	if err != nil {
		panic(err)
	}
	return b
}

// loseMachine leaves of a run what is in its bucket, as a machine that has nothing
// else finds it.
func loseMachine(t *testing.T, dir, address string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	w, err := bucket.Open(t.Context(), inBucket(address), filepath.Join(dir, "run"),
		bucket.Options{Quiet: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// runChild returns the exit code, -1 of one that was killed.
func runChild(t *testing.T, dir, url, address, crash string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "NIGHTSHIFT_TEST_BATCHES="+dir, "NIGHTSHIFT_TEST_URL="+url,
		"NIGHTSHIFT_TEST_BUCKET="+address, "NIGHTSHIFT_TEST_CRASH="+crash)
	out, _ := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if code != 0 && code != -1 && code != childStopped {
		t.Fatalf("the process ended with %d by itself: %s", code, out)
	}
	return code
}

// batchServer is a simulator where everything goes wrong now and then.
func batchServer(t *testing.T, seed uint64) (*simulator.Server, string) {
	t.Helper()
	faults, err := simulator.ParseFaults("batch_mixed=4%,create_timeout_made=3%,row_missing=2%,rows_shuffled=20%," +
		"row_twice=2%,cancelled_by_others=2%")
	if err != nil {
		t.Fatal(err)
	}
	s := simulator.New(simulator.Config{Seed: seed, Faults: faults, Batches: simulator.Batches{
		Scale: crashHaste, Validate: 20 * time.Second, Run: 2 * time.Minute, Cancel: 30 * time.Second,
		Window: 30 * time.Minute,
	}})
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return s, h.URL
}

// checkAway fails for batches that the server has and the run directory does not
// know of.
func checkAway(t *testing.T, s *simulator.Server, dir string) {
	t.Helper()
	known, unsure := map[string]bool{}, map[string]bool{}
	list, err := view.Batches(filepath.Join(dir, "run"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing had come into the bucket
		t.Fatal(err)
	}
	for _, b := range list {
		unsure[b.Name] = b.Stage == store.BatchCreating || b.Creates > 1
		for _, r := range b.Remotes {
			known[r.ID] = true
		}
	}
	for _, made := range s.Rows().Made {
		if strings.HasPrefix(made.Name, "ns1-") && !known[made.ID] && !unsure[made.Name] {
			t.Errorf("batch %s (%s) is at the provider, and the run does not know of it", made.ID, made.Name)
		}
	}
}

// A bill is what a server's ledger and a run say of one row.
type bill struct {
	billed  int64 // answers, by the ledger
	records int
	unknown int64 // attempts that the run lists as possibly paid
	unsure  bool  // it was in a batch that was created more than once
	expired int64 // batches that ended before it had run
}

// checkPaid compares what the run has on record with what the server was paid
// for.
func checkPaid(t *testing.T, s *simulator.Server, dir string) {
	t.Helper()
	bills := make([]bill, crashRows)
	again, extras := countBatches(t, dir)
	for id, row := range s.Rows().Rows {
		part := strings.Split(id, "-") // ns1-RUN-SHARD-bN-ROW-…
		if len(part) < 5 || part[0] != "ns1" {
			continue
		}
		n, err := strconv.Atoi(part[4])
		if err != nil {
			t.Fatalf("id %q: %v", id, err)
		}
		bills[n].billed += row.Answered
		bills[n].unsure = bills[n].unsure || again[strings.Join(part[:4], "-")+".jsonl"]
	}
	records(t, dir, bills)
	var beyond, listed int64
	for n, b := range bills {
		switch more := b.billed - 1; {
		case b.records != 1:
			t.Errorf("row %d has %d records", n, b.records)
		case more < 0 && b.expired >= mostExpired:
			t.Logf("row %d was in %d batches that ended before it had run", n, b.expired)
		case more < 0:
			t.Errorf("row %d was never billed", n)
		case more > b.unknown+extras && !b.unsure:
			t.Errorf("row %d was billed %d times, %d attempts are listed as unknown", n, b.billed, b.unknown)
		default:
			beyond += more
			listed += b.unknown
		}
		if b.unsure {
			listed += b.billed
		}
	}
	if beyond > listed+extras {
		t.Errorf("%d answers were paid for beyond one a row; the run lists %d unknown and %d extra", beyond, listed, extras)
	}
}

// records counts the records of each row.
func records(t *testing.T, dir string, bills []bill) {
	t.Helper()
	for r, err := range view.Rows[nightshift.Record](filepath.Join(dir, "run"), view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		bills[r.Row].records++
		for _, a := range attemptsOf(t, r) {
			switch a.Class {
			case nightshift.ClassUnknownOutcome:
				bills[r.Row].unknown++
			case nightshift.ClassBatchExpired:
				bills[r.Row].expired++
			}
		}
		if r.Outcome != nightshift.OutcomeOK && r.Outcome != nightshift.OutcomeTruncated &&
			bills[r.Row].expired < mostExpired {
			message := ""
			if r.ErrorMessage != nil {
				message = *r.ErrorMessage
			}
			t.Errorf("row %d: %s %s", r.Row, r.Outcome, message)
		}
	}
}

// countBatches are the batches that were created more than once, as far as the
// run can tell, and the answers beyond the first of a row that it has counted.
func countBatches(t *testing.T, dir string) (again map[string]bool, extras int64) {
	t.Helper()
	again = map[string]bool{}
	list, err := view.Batches(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		again[b.Name] = b.Creates > 1 || len(b.Remotes) > 1
		extras += b.Sums.Extras
	}
	return again, extras
}
