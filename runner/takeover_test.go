package runner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner"
	"nightshift/runner/reuse"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// hashOf stands for the hash of a request's body.
func hashOf(req nightshift.Request) (string, bool) {
	var b strings.Builder
	fmt.Fprint(&b, req.Model, req.Stream)
	for _, m := range req.Messages {
		fmt.Fprintf(&b, "%q%q%q", m.Role, m.Text, m.Raw)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:]), true
}

// A ledger is a provider that notes what it was asked.
type ledger struct {
	mu    sync.Mutex
	asked []string
	fails func(text string) bool
}

func (l *ledger) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	last := req.Messages[len(req.Messages)-1].Text
	l.mu.Lock()
	l.asked = append(l.asked, last)
	l.mu.Unlock()
	if l.fails != nil && l.fails(last) {
		cost := nightshift.NanoUSD(0)
		return nightshift.Response{Attempts: []nightshift.Attempt{{N: 1, Class: nightshift.ClassServer, Cost: &cost}},
			Cost: &cost}, &nightshift.Error{Class: nightshift.ClassServer, Message: "no"}
	}
	r, err := echo(ctx, req)
	r.RequestHash, _ = hashOf(req)
	return r, err
}

func (l *ledger) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	slices.Sort(asked)
	return asked
}

func reuseOf(t testing.TB, dirs ...string) *runner.Reuse {
	t.Helper()
	var runs []reuse.Run
	for _, dir := range dirs {
		info, err := view.ReadInfo(dir)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, reuse.Run{Dir: dir, RunID: info.RunID, Name: info.Name,
			Place: func(_, endpoint string) string { return endpoint }})
	}
	answers, err := reuse.Open(runs, func(text string) { t.Error(text) })
	if err != nil {
		t.Fatal(err)
	}
	return &runner.Reuse{Answers: answers, Place: "test", Hash: hashOf}
}

func of(name, id string, l *ledger, r *runner.Reuse) runner.Pool {
	return runner.Pool{Model: name, ModelID: id, Endpoint: "test", Protocol: nightshift.Chat, Provider: l, Concurrency: 4,
		Reuse: r}
}

// What an earlier run has answered is not sent again: by another name of the
// model, at other places of the dataset, in the same epochs. Failed rows, changed
// rows, other models and further epochs are sent.
func TestTakeOver(t *testing.T) {
	l := &ledger{fails: func(text string) bool { return text == "p3" }}
	first := newTrial(t, prompts(25), of("a", "m-1", l, nil))
	first.finish()
	l.take()
	l.fails = nil
	rows := strings.Replace(prompts(25), `"p7"`, `"changed"`, 1)
	second := newTrial(t, `{"prompt": "new"}`+"\n"+rows, of("again", "m-1", l, reuseOf(t, first.dir)),
		of("other", "m-2", l, reuseOf(t, first.dir)))
	second.epochs = 2
	records := second.finish()
	sent := map[string]int{}
	for _, text := range l.take() {
		sent[text]++
	}
	// p0: the second epoch, and both of the other model.
	if sent["new"] != 4 || sent["changed"] != 4 || sent["p3"] != 4 || sent["p0"] != 3 || len(sent) != 26 {
		t.Errorf("sent: %v", sent)
	}
	if len(records) != 26*4 {
		t.Errorf("%d records, want %d", len(records), 26*4)
	}
	info, _ := view.ReadInfo(first.dir)
	for _, r := range records {
		text := *r.Text
		taken := r.Model == "again" && r.Epoch == 0 && text != "echo: new" && text != "echo: changed" && text != "echo: p3"
		switch {
		case taken != (r.ReusedFrom != nil):
			t.Errorf("row %d epoch %d of %s: taken over is %v", r.Row, r.Epoch, r.Model, !taken)
		case !taken && (*r.CostNanoUSD != 5 || r.Attempts != 1 || r.ReusedCostNanoUSD != nil):
			t.Errorf("row %d was sent, and cost %d in %d attempts", r.Row, *r.CostNanoUSD, r.Attempts)
		case taken && (*r.CostNanoUSD != 0 || *r.ReusedCostNanoUSD != 5 || r.Attempts != 0 || r.BilledInputTokens != nil ||
			r.AttemptLog != nil || r.StartedAt != nil || *r.ReusedFrom != "trial@"+info.RunID || *r.InputTokens != 3):
			t.Errorf("row %d taken over: %+v", r.Row, r)
		}
		if text != "echo: new" && !strings.Contains(*r.Metadata, fmt.Sprint(r.Row-1)) {
			t.Errorf("row %d has the metadata of another: %s", r.Row, *r.Metadata)
		}
	}
	if st, err := view.Status(second.dir); err != nil || st.All.Sum().Cost != (26*4-23)*5 {
		t.Errorf("status %v, %v: what was taken over is paid for again", st.All.Sum().Cost, err)
	}
	// The third run names the run that paid.
	third := newTrial(t, prompts(25), of("a", "m-1", l, reuseOf(t, second.dir)))
	for _, r := range third.finish() {
		if r.Row == 0 && (*r.ReusedFrom != "trial@"+info.RunID || *r.ReusedCostNanoUSD != 5) {
			t.Errorf("taken over twice: from %s, cost %d", *r.ReusedFrom, *r.ReusedCostNanoUSD)
		}
	}
	if asked := l.take(); !slices.Equal(asked, []string{"p7"}) { // it had been changed there
		t.Errorf("the third run asked %v", asked)
	}
}

// A row of several turns is taken over whole or not at all.
func TestTakeOverTurns(t *testing.T) {
	l := &ledger{}
	rows := `{"question_id": 1, "turns": ["first", "second"]}` + "\n" +
		`{"question_id": 2, "turns": ["first", "other"]}` + "\n"
	first := newTrial(t, rows, of("a", "m-1", l, nil))
	first.finish()
	l.take()
	rows += `{"question_id": 3, "turns": ["first", "third"]}` + "\n"
	second := newTrial(t, rows, of("a", "m-1", l, reuseOf(t, first.dir)))
	records := second.finish()
	if asked := l.take(); !slices.Equal(asked, []string{"first", "third"}) {
		t.Errorf("asked %v", asked)
	}
	r := records[1]
	if *r.Text != "echo: other" || *r.ReusedCostNanoUSD != 10 || !strings.Contains(*r.Input, "echo: first") {
		t.Errorf("%+v", r)
	}
}

// A failed row that is run again and taken over keeps what its requests cost here.
func TestTakeOverKeepsWhatFailed(t *testing.T) {
	l := &ledger{}
	first := newTrial(t, prompts(2), of("a", "m-1", l, nil))
	first.finish()
	l.fails = func(text string) bool { return text == "p1" }
	second := newTrial(t, prompts(2), of("a", "m-1", l, nil))
	second.finish()
	second.pools[0].Reuse, second.retry = reuseOf(t, first.dir), true
	l.take()
	r := second.finish()[1]
	if r.Outcome != nightshift.OutcomeOK || r.Attempts != 1 || r.ReusedFrom == nil || *r.CostNanoUSD != 0 {
		t.Errorf("%+v", r)
	}
	if asked := l.take(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}

// reuseChild is a run that takes over answers, until it is killed.
func reuseChild(dir, from, crash string) int {
	killAt(crash)
	err := func() error {
		data, err := datasets.Open(context.Background(),
			datasets.Spec{Paths: []string{"rows.jsonl"}, Dir: dir, ShardRows: 20})
		if err != nil {
			return err
		}
		id := store.Identity{Name: "trial", PlanHash: "h", Plan: json.RawMessage(`{}`), DatasetHash: data.Info().Hash,
			DatasetRows: data.Info().Rows, Epochs: 1, Models: []string{"a"}}
		for _, s := range data.Chunks() {
			id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Hash: s.Hash})
		}
		st, err := store.Open(filepath.Join(dir, "run"), id, store.Options{ReserveFile: -1})
		if err != nil {
			return err
		}
		info, err := view.ReadInfo(from)
		if err != nil {
			return err
		}
		answers, err := reuse.Open([]reuse.Run{{Dir: from, RunID: info.RunID, Name: info.Name,
			Place: func(_, endpoint string) string { return endpoint }}}, func(string) {})
		if err != nil {
			return err
		}
		l := &ledger{}
		r := &runner.Run{Name: "trial", Store: st, Dataset: data, Epochs: 1,
			Pools: []runner.Pool{of("a", "m-1", l, &runner.Reuse{Answers: answers, Place: "test", Hash: hashOf})},
			Log:   slog.New(slog.NewTextHandler(io.Discard, nil))}
		_, err = r.Do(context.Background(), context.Background())
		return errors.Join(err, st.Close("tested"))
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return childFailed
	}
	return 0
}

// TestTakeOverKill kills processes while they take over answers: in the end each
// row is there once, taken over or sent, and nothing that was there is sent.
func TestTakeOverKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills real processes")
	}
	l := &ledger{}
	first := newTrial(t, prompts(50), of("a", "m-1", l, nil))
	first.finish()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(prompts(60)), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, crash := range []string{"takeover.put:1", "takeover.put:13", "takeover.put:20", "takeover.put:9", ""} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "NIGHTSHIFT_TEST_TAKEOVER="+dir,
			"NIGHTSHIFT_TEST_FROM="+first.dir, "NIGHTSHIFT_TEST_CRASH="+crash)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 0 && crash == "" || code == 0 && crash != "" || code == childFailed {
			t.Fatalf("start %d ended with %d: %s", i, code, out)
		}
	}
	tr := &trial{t: t, dir: filepath.Join(dir, "run")}
	seen := map[int64]int{}
	for _, r := range tr.records() {
		seen[r.Row]++
		if taken := r.ReusedFrom != nil; taken != (r.Row < 50) || *r.Text != fmt.Sprintf("echo: p%d", r.Row) {
			t.Errorf("row %d: taken over is %v, answer %s", r.Row, taken, *r.Text)
		}
	}
	for row := range int64(60) {
		if seen[row] != 1 {
			t.Errorf("row %d is there %d times", row, seen[row])
		}
	}
	if report, err := view.Verify(tr.dir, true); err != nil || !report.OK() {
		t.Errorf("verify: %v, %+v", err, report)
	}
}
