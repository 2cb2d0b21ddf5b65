package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/providers/simulator/testdata/simtest"
	"nightshift/runner/store/view"
)

// program is the real program, for tests that kill it: the binary of the tests,
// which is the program when it is called so. Where the race detector makes that
// slow, the program is built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nightshift-binary-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nightshift")
	if self, err := os.Executable(); err == nil && !withRaceDetector() && os.Symlink(self, path) == nil {
		return path, nil
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func withRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func mustBinary(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A server is `nightshift simulate` in a process of its own, so that killing
// the client leaves it alone.
type server struct {
	url    string
	ledger string // its ledger file
}

// serve starts the simulator on a free loopback port; the test's end stops it.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{ledger: filepath.Join(t.TempDir(), "ledger.jsonl")}
	cmd := exec.Command(mustBinary(t), append([]string{"simulate", "--addr", "127.0.0.1:0", "--ledger", s.ledger},
		args...)...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(errs).ReadString('\n')
	if err != nil {
		t.Fatalf("simulator: %v %s", err, line)
	}
	go io.Copy(io.Discard, errs)
	for _, word := range strings.Fields(line) {
		if strings.HasPrefix(word, "http://") {
			s.url = word
			return s
		}
	}
	t.Fatalf("simulator says %q", line)
	return nil
}

// totals asks the server what it did.
func (s *server) totals(t testing.TB) simulator.Ledger {
	t.Helper()
	resp, err := http.Get(s.url + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var l simulator.Ledger
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	return l
}

// awaits returns when the server has so many requests in flight.
func (s *server) awaits(t testing.TB, inFlight int64) {
	t.Helper()
	for range 600 {
		if s.totals(t).InFlight >= inFlight {
			return
		}
		asleep(50 * time.Millisecond)
	}
	t.Fatalf("the server never had %d requests in flight", inFlight)
}

// entries are the requests in the ledger file, once all that were answered are in it:
// that is a moment after the answer.
func (s *server) entries(t testing.TB) (list []simulator.Entry) {
	t.Helper()
	var b []byte
	for range 1200 { // a minute: else they never will be
		l := s.totals(t)
		var err error
		if b, err = os.ReadFile(s.ledger); err != nil {
			t.Fatal(err)
		}
		if l.InFlight == 0 && int64(bytes.Count(b, []byte("\n"))) >= l.Received {
			break
		}
		asleep(50 * time.Millisecond)
	}
	for _, line := range bytes.Split(b, []byte("\n")) {
		var e simulator.Entry
		if len(line) > 0 && json.Unmarshal(line, &e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// received counts the requests in the ledger file by conversation.
func (s *server) received(t testing.TB) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, e := range s.entries(t) {
		counts[e.Key]++
	}
	return counts
}

// A client is one `nightshift run` in a process of its own.
type client struct {
	cmd  *exec.Cmd
	errs bytes.Buffer
	out  bytes.Buffer
}

func start(t testing.TB, args ...string) *client {
	t.Helper()
	c := &client{cmd: exec.Command(mustBinary(t), args...)}
	c.cmd.Stderr, c.cmd.Stdout = &c.errs, &c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wait returns the exit code, -1 when a signal ended the process.
func (c *client) wait(t testing.TB) int {
	t.Helper()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// A table is a dataset of prompts that are all different, and a plan that asks
// a server for both wire formats, one streamed.
type table struct {
	dir, plan, out string
	prompts        []string
	variants       map[string]string // what follows the prompt, by variant
}

func newTable(t testing.TB, rows int, url string, more string) *table {
	t.Helper()
	d := &table{dir: t.TempDir()}
	d.plan, d.out = filepath.Join(d.dir, "plan.yaml"), filepath.Join(d.dir, "out")
	var data bytes.Buffer
	for i := range rows {
		prompt := fmt.Sprintf("Question %d: what is %d + %d? Reply in one sentence.", i, i*7, i*3)
		d.prompts = append(d.prompts, prompt)
		fmt.Fprintf(&data, "{\"id\": \"q-%d\", \"prompt\": %q, \"target\": \"%d\"}\n", i, prompt, i*10)
	}
	text := fmt.Sprintf(`version: 1
name: table
dataset: {path: data.jsonl}
models:
  - {name: m, endpoint: one, model: sim-large, params: {max_tokens: 200}, price: {input: 3, output: 15}}
  - {name: c, endpoint: two, model: sim-small, params: {max_tokens: 200}, stream: true, price: {input: 1, output: 2}}
endpoints:
  one: {protocol: messages, base_url: "%[1]s", auth: none, limits: {concurrency: 16}}
  two: {protocol: chat, base_url: "%[1]s/v1", auth: none, limits: {concurrency: 16}}
out: out
%[2]s`, url, more)
	for name, b := range map[string][]byte{"data.jsonl": data.Bytes(), "plan.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// divide makes two datasets of the rows, a third of them in the second.
func (d *table) divide(t testing.TB) {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lines := strings.SplitAfter(read("data.jsonl"), "\n")
	at := 2 * len(d.prompts) / 3
	for name, text := range map[string]string{
		"first.jsonl": strings.Join(lines[:at], ""), "second.jsonl": strings.Join(lines[at:], ""),
		"plan.yaml": strings.Replace(read("plan.yaml"), "dataset: {path: data.jsonl}",
			"datasets: [{name: first, path: first.jsonl}, {name: second, path: second.jsonl}]", 1),
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// modelIDs are the ids that the plan's models have at the server.
var modelIDs = map[string]string{"m": "sim-large", "c": "sim-small"}

// key names a row's conversation in the ledger.
func (d *table) key(model string, row int64) string {
	name, variant, _ := strings.Cut(model, "/")
	return simtest.Key(modelIDs[name], "", d.prompts[row]+d.variants[variant])
}

// lanes is how many answers a row has.
func (d *table) lanes() int { return len(modelIDs) * max(len(d.variants), 1) }

// records are all rows on record by model and row; a row that is there twice
// fails the test.
func (d *table) records(t testing.TB) map[string]nightshift.Record {
	t.Helper()
	all := map[string]nightshift.Record{}
	for r, err := range view.Rows[nightshift.Record](d.out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s/%d", r.Model, r.Row)
		if _, twice := all[name]; twice {
			t.Errorf("%s is on record twice", name)
		}
		all[name] = r
	}
	return all
}

// asleep is how long a client is left alone before something happens to it.
func asleep(d time.Duration) { time.Sleep(d) }
