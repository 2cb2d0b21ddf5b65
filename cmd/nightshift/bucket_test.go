//go:build !windows

package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nightshift/internal/attemptlog"
	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
	"nightshift/providers/simulator"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

// A store is an object store with the bucket "runs".
type objectStore interface{ Env() map[string]string }

// A bucketSite is a run in a bucket, on machines that come and go.
type bucketSite struct {
	t       *testing.T
	env     []string
	getenv  func(string) string
	s       *server
	d       *table
	machine string // its directory
}

func newBucketSite(t *testing.T, store objectStore, serving ...string) *bucketSite {
	t.Helper()
	s := serve(t, append(serving, "--latency", "base=15ms,token=1ms,jitter=0.5")...)
	b := &bucketSite{t: t, s: s, d: newTable(t, rowsToKill, s.url, "")}
	vars := store.Env()
	vars["HOME"], vars["XDG_CACHE_HOME"] = t.TempDir(), t.TempDir()
	b.getenv = func(name string) string { return vars[name] }
	b.env = os.Environ()
	for name, value := range vars {
		b.env = append(b.env, name+"="+value)
	}
	b.otherMachine()
	return b
}

// otherMachine is one that knows nothing of the run.
func (b *bucketSite) otherMachine() { b.machine = filepath.Join(b.t.TempDir(), "work") }

func (b *bucketSite) start(more ...string) *client {
	b.t.Helper()
	c := &client{cmd: exec.Command(mustBinary(b.t), append([]string{"run", b.d.plan, "--progress", "none",
		"--out", "s3://runs/tonight", "--work-dir", b.machine, "--take-over-after", "300ms"}, more...)...)}
	c.cmd.Env, c.cmd.Stderr, c.cmd.Stdout = b.env, &c.errs, &c.out
	if err := c.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// inBucket makes the table's directory a copy of what the bucket has; false when
// that is nothing.
func (b *bucketSite) inBucket() (done func(), ok bool) {
	b.t.Helper()
	at, err := s3.Open("s3://runs/tonight", s3.FromEnv(b.getenv))
	if err != nil {
		b.t.Fatal(err)
	}
	copied, err := bucket.Read(b.t.Context(), at, bucket.ReadOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.d.out = copied.Dir
	return func() {
		if err := copied.Close(); err != nil {
			b.t.Error(err)
		}
	}, true
}

// check looks at what a killed process left in the bucket: what is on record there
// is not sent again, and every request that the server has received is on record
// or listed as unknown.
func (b *bucketSite) check(known map[string]int) {
	t := b.t
	t.Helper()
	received := b.s.received(t)
	checkResent(t, b.s, known)
	done, ok := b.inBucket()
	if !ok {
		return
	}
	defer done()
	if _, err := os.Stat(b.d.out + "/run.json"); err != nil {
		return
	}
	for _, r := range b.d.records(t) {
		known[b.d.key(r.Model, r.Row)] = received[b.d.key(r.Model, r.Row)]
	}
	if err := os.Remove(b.d.out + "/lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err) // it says that the process lives, for its last sign is not long ago
	}
	status, err := view.Status(b.d.out)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, u := range status.Unknown {
		listed[b.d.key(u.Model, u.Row)] = true
	}
	for key, n := range received {
		if _, onRecord := known[key]; n > 0 && key != "" && !onRecord && !listed[key] {
			t.Errorf("a request reached the server, and in the bucket it is neither on record nor unknown: %s", key)
		}
	}
}

// checkBill compares the bill with what the server charged.
func (b *bucketSite) checkBill() {
	t := b.t
	t.Helper()
	var known, most int64
	for _, r := range b.d.records(t) {
		log, err := attemptlog.Parse(deref(r.AttemptLog))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range log {
			known += int64(deref(a.Cost))
			most += int64(max(deref(a.Cost), a.WorstCost))
		}
	}
	l := b.s.totals(t)
	bill, unpriced := l.Invoice(
		map[string]simulator.Price{"sim-large": {Input: 3000, Output: 15000}, "sim-small": {Input: 1000, Output: 2000}})
	if len(unpriced) > 0 || bill < known || bill > most {
		t.Errorf("the server charged %d, the records say %d to %d; not priced: %v", bill, known, most, unpriced)
	}
}

// TestBucketKill kills the program at random moments and goes on, on the same
// machine or on one that knows nothing of the run.
func TestBucketKill(t *testing.T) {
	t.Parallel()
	left := kills(t)
	t.Run("imitation", func(t *testing.T) {
		t.Parallel()
		s := s3test.New(t)
		killInBucket(t, newBucketSite(t, s), left)
		if n := s.Requests(http.MethodPost); n > 0 { // as multipart uploads are
			t.Errorf("%d POST requests", n)
		}
	})
	t.Run("versitygw", func(t *testing.T) {
		t.Parallel()
		killInBucket(t, newBucketSite(t, s3test.NewGateway(t)), left)
	})
}

func killInBucket(t *testing.T, b *bucketSite, left int) {
	random := seeded(t)
	known := map[string]int{}
	for range left {
		c := b.start("-q")
		asleep(time.Duration(50+random.IntN(900)) * time.Millisecond)
		c.cmd.Process.Kill()
		if c.wait(t) != -1 {
			break // it was done before
		}
		b.check(known)
		if random.IntN(2) == 0 {
			b.otherMachine()
		}
	}
	c := b.start()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("the last start: exit code %d\n%s", code, &c.errs)
	}
	checkResent(t, b.s, known)
	done, ok := b.inBucket()
	if !ok {
		t.Fatal("there is no run in the bucket")
	}
	defer done()
	b.checkBill()
	compareRuns(t, b.d, b.s)
}

// TestBucketTwice starts two machines at once: one goes on, the other says who
// has the run.
func TestBucketTwice(t *testing.T) {
	t.Parallel()
	b := newBucketSite(t, s3test.New(t))
	one := b.start("--take-over-after", "1m")
	b.otherMachine()
	two := b.start("--take-over-after", "1m")
	codes := map[int]*client{one.wait(t): one, two.wait(t): two}
	loser := codes[exitRunning]
	if codes[exitOK] == nil || loser == nil {
		t.Fatalf("%v\n%s\n%s", codes, &one.errs, &two.errs)
	}
	host, _ := os.Hostname()
	if said := loser.errs.String(); !strings.Contains(said, "is in use by process") || !strings.Contains(said, host) {
		t.Errorf("%s", said)
	}
}

// TestBucketTakenOver freezes a machine until another has taken its run over. When
// it wakes it sends nothing and names the other.
func TestBucketTakenOver(t *testing.T) {
	t.Parallel()
	b := newBucketSite(t, s3test.New(t))
	known := map[string]int{}
	first := b.start("-q")
	b.s.awaits(t, 5)
	first.cmd.Process.Signal(syscall.SIGSTOP)
	b.check(known)
	b.otherMachine()
	second := b.start("-q")
	if code := second.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &second.errs)
	}
	before := b.s.totals(t).Received
	first.cmd.Process.Signal(syscall.SIGCONT)
	if code := first.wait(t); code != exitRunning || !strings.Contains(first.errs.String(), "was taken over by process") {
		t.Errorf("exit code %d\n%s", code, &first.errs)
	}
	if after := b.s.totals(t).Received; after != before {
		t.Errorf("%d requests were sent by the one that was taken over", after-before)
	}
	checkResent(t, b.s, known)
}

// TestBucketAway lets the store fail for a while, and then for too long.
func TestBucketAway(t *testing.T) {
	t.Parallel()
	store := s3test.New(t)
	var away atomic.Bool
	store.Fault = func(*http.Request) (int, bool) {
		if away.Load() {
			return http.StatusServiceUnavailable, false
		}
		return 0, false
	}
	b := newBucketSite(t, store)
	c := b.start()
	b.s.awaits(t, 5)
	away.Store(true)
	asleep(500 * time.Millisecond)
	away.Store(false)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &c.errs)
	}
	done, ok := b.inBucket()
	if !ok {
		t.Fatal("there is no run in the bucket")
	}
	b.checkBill()
	done()
}

// TestBucketAwayTooLong ends the run, and the same command goes on when the store
// is back. Nothing that was on record is sent again.
func TestBucketAwayTooLong(t *testing.T) {
	t.Parallel()
	g := s3test.NewGateway(t)
	b := newBucketSite(t, g)
	c := b.start("--bucket-patience", "300ms")
	b.s.awaits(t, 5)
	g.Kill()
	if code := c.wait(t); code != exitStorage || !strings.Contains(c.errs.String(), "the same command on this machine") {
		t.Fatalf("exit code %d\n%s", code, &c.errs)
	}
	known := map[string]int{}
	b.d.out = b.machine
	received := b.s.received(t)
	for _, r := range b.d.records(t) {
		known[b.d.key(r.Model, r.Row)] = received[b.d.key(r.Model, r.Row)]
	}
	g.Start()
	if c = b.start(); c.wait(t) != exitOK {
		t.Fatalf("%s", &c.errs)
	}
	checkResent(t, b.s, known)
	b.checkBill()
	compareRuns(t, b.d, b.s)
}

// says runs commands, each with a text that it has to print.
func (b *bucketSite) says(lines [][2]string) {
	b.t.Helper()
	for _, line := range lines {
		cmd := exec.Command(mustBinary(b.t), strings.Fields(line[0])...)
		cmd.Env, cmd.Dir = b.env, b.d.dir
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), line[1]) {
			b.t.Errorf("%s: want %q, got\n%s", line[0], line[1], out)
		}
		if strings.Contains(string(out), "test-secret") || strings.Contains(string(out), "buckets/run-") {
			b.t.Errorf("%s: says what it must not:\n%s", line[0], out)
		}
	}
}

// The commands that read runs read them in a bucket, and write nothing there; those
// that change a run change it there.
func TestBucketCommands(t *testing.T) {
	t.Parallel()
	store := s3test.New(t)
	b := newBucketSite(t, store)
	if c := b.start("-q"); c.wait(t) != exitOK {
		t.Fatalf("%s", &c.errs)
	}
	puts := store.Requests(http.MethodPut)
	b.says([][2]string{
		{"status s3://runs/tonight", "on record  300 of 300, 0 failed"},
		{"report s3://runs/tonight", "150 rows × 2 models, finished"},
		{"verify s3://runs/tonight --deep", "s3://runs/tonight: 300 of 300 rows on record"},
		{"cost s3://runs/tonight --by model", "300 requests"},
		{"export s3://runs/tonight --format csv", "q-149"},
		{"compare s3://runs/tonight", "nothing has been scored"},
		{"compare s3://runs", "add the name of the run"},
		{"history s3://runs", "s3://runs/tonight: it has no scores"},
		{"history s3://runs/none", "there is no run at s3://runs/none, and none below it"},
		{"view s3://runs/none", "there is no run at s3://runs/none, and none below it"},
		{"sql s3://runs/tonight", "name it with --output"},
		{"sql s3://runs/tonight --output views.sql", "views.sql has the views"},
		{"status s3://runs/none", "there is no run at s3://runs/none"},
		{"status s3://other/none", "NoSuchBucket"},
		{"run " + b.d.plan + " --work-dir x --out y", "--work-dir goes with --out s3://"},
		{"score y --work-dir x", "--work-dir goes with s3://"},
		{"score s3://runs/none --scorer number", "there is no run at s3://runs/none"},
		{"check " + b.d.plan + " --out s3://runs/tonight", "150 rows"},
		{"check " + b.d.plan + " --reuse s3://runs/none", "there is no run at s3://runs/none"},
		{"check " + b.d.plan + " --reuse s3://runs/tonight/", "m: 150 answers taken over"},
		{"check " + b.d.plan + " --rows-from s3://runs/tonight", "s3://runs/tonight has no rows that are failed"},
		{"check " + b.d.plan + " --rows-from s3://runs/none", "there is no run at s3://runs/none"},
	})
	if text, err := os.ReadFile(filepath.Join(b.d.dir, "views.sql")); err != nil ||
		!strings.Contains(string(text), "'s3://runs/tonight/results/*.parquet'") {
		t.Errorf("%v:\n%s", err, text)
	}
	if n := store.Requests(http.MethodPut); n != puts {
		t.Errorf("%d objects were written by reading", n-puts)
	}
	if pages := b.view("s3://runs/tonight"); !strings.Contains(pages, "<code>s3://runs/tonight</code>") ||
		strings.Contains(pages, "buckets/run-") {
		t.Errorf("the page of view:\n%s", pages)
	}
	b.says([][2]string{
		{"score s3://runs/tonight --scorer number --work-dir scoring", "number  m"},
		{"compare s3://runs/tonight", "150/150"},
		{"history s3://runs/tonight", "Leaderboard"},
		{"check " + b.d.plan + " --scorer number --pilot s3://runs/tonight", "differ in s3://runs/tonight"},
		{"run " + b.d.plan + " --rows-from s3://runs/tonight --rows different --out runs/few", "has no rows that are"},
		{"extend s3://runs/tonight --work-dir extending", "no rows were added"},
		{"cancel s3://runs/tonight --work-dir extending", "no batches are at a provider"},
		{"run " + b.d.plan + " --reuse s3://runs/tonight --out s3://runs/again", "300 answers of earlier runs can be taken"},
		{"run " + b.d.plan + " --out s3://runs/again --work-dir elsewhere", "resuming s3://runs/again, 300 of 300"},
	})
	b.folders()
	if keys := store.Keys("tonight/scores/"); len(keys) != 1 {
		t.Errorf("scores for other programs: %v", keys)
	}
	for _, key := range store.Keys("") {
		if strings.Contains(string(store.Object(key)), "test-secret") {
			t.Errorf("%s holds a key", key)
		}
	}
}

// folders puts a run beside those that are there, and sees that a bucket and a part of
// it are shown as folders are: runs of one name by their addresses.
func (b *bucketSite) folders() {
	b.t.Helper()
	b.says([][2]string{
		{"run " + b.d.plan + " --reuse s3://runs/tonight --out s3://runs/deep/er --work-dir deeper", "150 rows × 2 models"},
		{"score s3://runs/deep/er --scorer number --work-dir deeper", "number  m"},
		{"history s3://runs --output all.html --output all.json", "s3://runs/again: it has no scores"},
		{"history s3://runs/", "2 runs by number"},
		{"history s3://runs/tonight s3://runs/deep/", "s3://runs/deep/er  "},
		{"compare s3://runs/tonight --baseline-run s3://runs/deep/er", "\ns3://runs/deep/er/m    "},
	})
	for _, name := range []string{"all.html", "all.json"} {
		text, err := os.ReadFile(filepath.Join(b.d.dir, name))
		if said := string(text); err != nil || !strings.Contains(said, "s3://runs/deep/er") ||
			strings.Contains(said, "buckets/run-") {
			b.t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
	for folder, runs := range map[string]string{"s3://runs/": "again deep/er tonight", "s3://runs/deep": "er"} {
		page := b.view(folder)
		for _, run := range strings.Fields(runs) {
			if !strings.Contains(page, "/run/"+run+`"`) {
				b.t.Errorf("%s: the list of view lacks %s:\n%s", folder, run, page)
			}
		}
		if strings.Contains(page, "buckets/run-") {
			b.t.Errorf("%s: the list of view names a copy:\n%s", folder, page)
		}
	}
	if page := b.view("s3://runs", "run/deep/er"); !strings.Contains(page, "<code>s3://runs/deep/er</code>") ||
		!strings.Contains(page, ">q-49<") || strings.Contains(page, "buckets/run-") {
		b.t.Errorf("a run of the list:\n%.4000s", page)
	}
}

// view is the page that the command of that name shows first, or the one with this
// path.
func (b *bucketSite) view(run string, path ...string) string {
	b.t.Helper()
	cmd := exec.Command(mustBinary(b.t), "view", run)
	cmd.Env = b.env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.Get(strings.TrimSpace(address) + strings.Join(path, ""))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(page)
}

// TestBucketWorkers keeps a run in a bucket whose requests workers send, and whose
// store is slow. The hub's machine is lost, and another takes over: what workers
// hold is not sent again, for an answer stays with them until the bucket has it.
func TestBucketWorkers(t *testing.T) {
	store := s3test.New(t)
	store.Fault = func(*http.Request) (int, bool) {
		asleep(30 * time.Millisecond)
		return 0, false
	}
	b := newBucketSite(t, store)
	c := newSite(t, b.s, b.d, time.Second, 0)
	hub := func() *client {
		return b.start("--listen", c.address, "--join", filepath.Join(b.d.dir, "join"), "--no-local", "--beat", "1s",
			"--worker-silence", "15s")
	}
	c.hub.cmd.Process.Kill() // it is to be in the bucket
	c.hub.wait(t)
	c.hub = hub()
	for i := range 2 {
		c.workers = append(c.workers, nil)
		c.startWorker(i)
	}
	b.s.awaits(t, 5)
	asleep(time.Second)
	c.hub.cmd.Process.Kill()
	c.hub.wait(t)
	b.otherMachine()
	c.hub = hub()
	if code := c.hub.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &c.hub.errs)
	}
	for _, w := range c.workers {
		if code := w.wait(t); code != exitOK {
			t.Errorf("a worker ended with %d: %s", code, &w.errs)
		}
	}
	done, ok := b.inBucket()
	if !ok {
		t.Fatal("there is no run in the bucket")
	}
	defer done()
	if l := b.s.totals(t); l.Received != int64(2*len(b.d.prompts)) {
		t.Errorf("%d requests for %d rows", l.Received, 2*len(b.d.prompts))
	}
	b.checkBill()
	compareRuns(t, b.d, b.s)
}
