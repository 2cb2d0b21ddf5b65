package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// A provider is a func that answers.
type provider func(ctx context.Context, req nightshift.Request) (nightshift.Response, error)

func (p provider) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	return p(ctx, req)
}

// echo answers with the last message, as a well-behaved client would: it
// announces its attempt and says what it used.
func echo(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	if err := req.AttemptLog.Sending(
		nightshift.Intent{Attempt: len(req.Attempts) + 1, WorstTokens: 10, WorstCost: 10}); err != nil {
		return nightshift.Response{}, err
	}
	return answer("echo: " + req.Messages[len(req.Messages)-1].Text), nil
}

func answer(text string) nightshift.Response {
	cost := nightshift.NanoUSD(5)
	u := nightshift.Usage{Input: nightshift.Tokens(3), Output: nightshift.Tokens(2)}
	return nightshift.Response{
		Text: &text, StopReason: nightshift.StopEnd, Usage: u, Cost: &cost, Status: 200,
		Attempts: []nightshift.Attempt{{N: 1, Status: 200, Usage: u, Cost: &cost}},
	}
}

// A trial is a run directory, a dataset and pools, opened again for each start.
type trial struct {
	t      *testing.T
	dir    string
	spec   datasets.Spec
	pools  []runner.Pool
	epochs int
	skip   bool
	retry  bool
	tune   func(*runner.Run) // before it starts; may be nil
}

func newTrial(t *testing.T, rows string, pools ...runner.Pool) *trial {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	return &trial{t: t, dir: filepath.Join(dir, "run"), pools: pools, epochs: 1,
		spec: datasets.Spec{Paths: []string{"rows.jsonl"}, Dir: dir, ShardRows: 10}}
}

func pool(name string, p provider) runner.Pool {
	return runner.Pool{Model: name, ModelID: name + "-id", Endpoint: "test", Protocol: nightshift.Chat, Provider: p,
		Concurrency: 4}
}

// prompts is a dataset of n rows.
func prompts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"prompt\": \"p%d\", \"note\": %d}\n", i, i)
	}
	return b.String()
}

// start runs once and closes the directory.
func (tr *trial) start(waiting context.Context) ([]runner.Stop, error) {
	tr.t.Helper()
	data, err := datasets.Open(context.Background(), tr.spec)
	if err != nil {
		tr.t.Fatal(err)
	}
	id := store.Identity{Name: "trial", PlanHash: "h", Plan: json.RawMessage(`{}`), DatasetHash: data.Info().Hash,
		DatasetRows: data.Info().Rows, Epochs: tr.epochs}
	for _, l := range tr.pools {
		id.Models = append(id.Models, l.Model)
	}
	for _, s := range data.Chunks() {
		id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Skipped: s.Rows - s.Selected, Hash: s.Hash})
	}
	st, err := store.Open(tr.dir, id, store.Options{RetryFailed: tr.retry, ReserveFile: -1})
	if err != nil {
		tr.t.Fatal(err)
	}
	r := &runner.Run{Name: "trial", Store: st, Dataset: data, Pools: tr.pools, Epochs: tr.epochs, SkipUnknown: tr.skip,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if tr.tune != nil {
		tr.tune(r)
	}
	stops, err := r.Do(context.Background(), waiting)
	if closeErr := st.Close("tested"); closeErr != nil {
		tr.t.Fatal(closeErr)
	}
	return stops, err
}

func (tr *trial) finish() []nightshift.Record {
	tr.t.Helper()
	stops, err := tr.start(context.Background())
	if err != nil || len(stops) > 0 {
		tr.t.Fatalf("stops %v, error %v", stops, err)
	}
	return tr.records()
}

func (tr *trial) records() []nightshift.Record {
	tr.t.Helper()
	var all []nightshift.Record
	for r, err := range view.Rows[nightshift.Record](tr.dir, view.ReadOptions{}) {
		if err != nil {
			tr.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestEveryRowOfEveryPool(t *testing.T) {
	tr := newTrial(t, prompts(35), pool("a", echo), pool("b", echo))
	records := tr.finish()
	if len(records) != 70 {
		t.Fatalf("%d records, want 70", len(records))
	}
	for i, r := range records {
		row := int64(i % 35)
		if r.Row != row || *r.Text != fmt.Sprintf("echo: p%d", row) || r.RequestedModel != r.Model+"-id" {
			t.Errorf("record %d: %s row %d %q", i, r.Model, r.Row, *r.Text)
		}
		if *r.Metadata != fmt.Sprintf(`{"note": %d}`, row) && *r.Metadata != fmt.Sprintf(`{"note":%d}`, row) {
			t.Errorf("metadata %s", *r.Metadata)
		}
		if *r.InputTokens != 3 || *r.OutputTokens != 2 || *r.CostNanoUSD != 5 || r.Attempts != 1 {
			t.Errorf("row %d: spending is wrong: %+v", row, r)
		}
	}
	parts, err := filepath.Glob(tr.dir + "/results/*.parquet")
	if err != nil || len(parts) != 8 {
		t.Errorf("%d parts, want 4 shards for each pool: %v", len(parts), err)
	}
}

// TestEpochTemplateFailsOnce: where a template fails for one epoch, the answers
// to the others are kept, whether they are in flight or not, with two models at
// different places of the dataset.
func TestEpochTemplateFailsOnce(t *testing.T) {
	ahead := make(chan struct{})
	var answered atomic.Int64
	fast := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		if answered.Add(1) == 80 {
			close(ahead)
		}
		return echo(ctx, req)
	}
	slow := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		<-ahead
		return echo(ctx, req)
	}
	tr := newTrial(t, prompts(40), pool("fast", fast), pool("slow", slow))
	tr.epochs, tr.spec.OnBadRow = 3, "record"
	tr.spec.Prompt = "{{ prompt }} epoch {{ epoch }}{% if epoch == 1 %}{{ absent }}{% endif %}"
	records := tr.finish()
	if len(records) != 2*40*3 {
		t.Fatalf("%d records, want %d", len(records), 2*40*3)
	}
	for _, r := range records {
		switch {
		case r.Epoch == 1 &&
			(r.Outcome != nightshift.OutcomeInputError || r.Attempts != 0 || !strings.Contains(*r.ErrorMessage, "absent")):
			t.Errorf("%s row %d epoch 1: %s, %d attempts", r.Model, r.Row, r.Outcome, r.Attempts)
		case r.Epoch != 1 &&
			(r.Outcome != nightshift.OutcomeOK || *r.Text != fmt.Sprintf("echo: p%d epoch %d", r.Row, r.Epoch) ||
				*r.CostNanoUSD != 5):
			t.Errorf("%s row %d epoch %d: %s", r.Model, r.Row, r.Epoch, r.Outcome)
		}
	}
}

func TestStoppedPoolLeavesOthersAlone(t *testing.T) {
	var asked atomic.Int64
	refuse := func(context.Context, nightshift.Request) (nightshift.Response, error) {
		asked.Add(1)
		return nightshift.Response{},
			&nightshift.StopError{Endpoint: "test", Err: &nightshift.Error{Class: nightshift.ClassAuth}}
	}
	tr := newTrial(t, prompts(30), pool("bad", refuse), pool("good", echo))
	stops, err := tr.start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var stop *nightshift.StopError
	if len(stops) != 1 || stops[0].Model != "bad" || !errors.As(stops[0].Err, &stop) {
		t.Errorf("stops %v", stops)
	}
	if n := asked.Load(); n > 4 {
		t.Errorf("the refusing endpoint was asked %d times", n)
	}
	if records := tr.records(); len(records) != 30 {
		t.Errorf("%d records, want the 30 of the good pool", len(records))
	}
}

func TestBudgetStopsAll(t *testing.T) {
	var left atomic.Int64
	left.Store(7)
	spend := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		if left.Add(-1) < 0 {
			return nightshift.Response{}, nightshift.ErrBudget
		}
		return echo(ctx, req)
	}
	tr := newTrial(t, prompts(30), pool("a", spend), pool("b", spend))
	stops, err := tr.start(context.Background())
	if err != nil || len(stops) != 2 || !errors.Is(stops[0].Err, nightshift.ErrBudget) {
		t.Fatalf("stops %v, error %v", stops, err)
	}
	if n := len(tr.records()); n != 7 {
		t.Errorf("%d records, want 7", n)
	}
	left.Store(1000)
	if n := len(tr.finish()); n != 60 {
		t.Errorf("%d records after a larger budget, want 60", n)
	}
	if spent := 1000 - left.Load(); spent != 53 {
		t.Errorf("%d rows were sent in the second start, want 53", spent)
	}
}

func TestPanicIsAFailedRow(t *testing.T) {
	tr := newTrial(t, prompts(12),
		pool("a", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			if req.Messages[0].Text == "p5" {
				panic("boom")
			}
			return echo(ctx, req)
		}))
	for _, r := range tr.finish() {
		if want := r.Row == 5; (r.Outcome == nightshift.OutcomeFailed) != want {
			t.Errorf("row %d: %s", r.Row, r.Outcome)
		}
	}
}

func TestFailedRowKeepsWhatWasSpent(t *testing.T) {
	fail := func(_ context.Context, req nightshift.Request) (nightshift.Response, error) {
		a := answer("half")
		a.Attempts[0].Class, a.Attempts[0].MaybeBilled = nightshift.ClassCut, true
		return a, &nightshift.Error{Class: nightshift.ClassCut, Status: 200, Message: "cut", MaybeBilled: true}
	}
	tr := newTrial(t, prompts(1), pool("a", fail))
	r := tr.finish()[0]
	if r.Outcome != nightshift.OutcomeFailed || *r.ErrorClass != "cut" || !r.MaybeBilled ||
		*r.BilledOutputTokens != 2 || *r.Text != "half" {
		t.Errorf("%+v", r)
	}
	tr.retry = true
	tr.pools[0].Provider = provider(echo)
	if r := tr.finish()[0]; r.Outcome != nightshift.OutcomeOK {
		t.Errorf("after --retry-failed: %s", r.Outcome)
	}
}

func TestEpochs(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	tr := newTrial(t, prompts(11),
		pool("a", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			mu.Lock()
			seen[req.Key]++
			mu.Unlock()
			return echo(ctx, req)
		}))
	tr.epochs = 3
	records := tr.finish()
	if len(records) != 33 || len(seen) != 33 {
		t.Errorf("%d records and %d different keys, want 33", len(records), len(seen))
	}
	for i, r := range records {
		if r.Row != int64(i/3) || r.Epoch != int32(i%3) {
			t.Errorf("record %d is row %d epoch %d", i, r.Row, r.Epoch)
		}
	}
}

func TestTurnsWaitForAnswers(t *testing.T) {
	rows := `{"question_id": 1, "turns": ["first", "second", "third"]}` + "\n"
	tr := newTrial(t, rows, pool("a", echo))
	r := tr.finish()[0]
	if *r.Text != "echo: third" || *r.InputTokens != 9 || r.Attempts != 3 || *r.CostNanoUSD != 15 {
		t.Errorf("text %q, input %d, attempts %d", *r.Text, *r.InputTokens, r.Attempts)
	}
	for _, part := range []string{"first", "echo: first", "second", "echo: second", "third"} {
		if !strings.Contains(*r.Input, `"`+part+`"`) {
			t.Errorf("the conversation lacks %q: %s", part, *r.Input)
		}
	}
}

// Of a row with several turns the record says how long all of them took, keeps
// the stop reason of the turn that was cut, and whether any was sent twice.
func TestTurnsAreOneRow(t *testing.T) {
	rows := `{"question_id": 1, "turns": ["first", "second"]}` + "\n"
	for _, again := range []bool{false, true} {
		tr := newTrial(t, rows, pool("a", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			r, err := echo(ctx, req)
			r.Latency, r.FirstToken = 3*time.Second, time.Second
			if req.Messages[len(req.Messages)-1].Text == "first" {
				r.StopReason, r.RawStopReason = nightshift.StopMaxTokens, "length"
				r.Latency, r.FirstToken = 5*time.Second, 2*time.Second
				if again {
					failed := nightshift.Attempt{N: 1, Class: nightshift.ClassOverloaded}
					r.Attempts = append([]nightshift.Attempt{failed}, r.Attempts...)
				}
			}
			return r, err
		}))
		r := tr.finish()[0]
		if *r.LatencyMS != 8000 || *r.FirstTokenMS != 2000 {
			t.Errorf("latency %v, first token %v; want 8000 and 2000 ms", *r.LatencyMS, *r.FirstTokenMS)
		}
		if r.Outcome != nightshift.OutcomeTruncated || *r.StopReason != string(nightshift.StopMaxTokens) ||
			*r.RawStopReason != "length" {
			t.Errorf("outcome %s, stop reason %s (%s)", r.Outcome, *r.StopReason, *r.RawStopReason)
		}
		want := "multi_turn"
		if again {
			want = "turn_retried,multi_turn"
		}
		if *r.Flags != want {
			t.Errorf("flags %s, want %s", *r.Flags, want)
		}
	}
}

// A turn that was answered before the process ended is not sent again.
func TestTurnsResume(t *testing.T) {
	rows := `{"question_id": 1, "turns": ["first", "second"]}` + "\n"
	var asked []string
	broken := true
	tr := newTrial(t, rows, pool("a", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		last := req.Messages[len(req.Messages)-1].Text
		asked = append(asked, last)
		if last == "second" && broken {
			return nightshift.Response{}, nightshift.ErrBudget
		}
		return echo(ctx, req)
	}))
	if stops, err := tr.start(context.Background()); err != nil || len(stops) != 1 {
		t.Fatalf("stops %v, error %v", stops, err)
	}
	broken = false
	if r := tr.finish()[0]; *r.Text != "echo: second" || r.Attempts != 2 {
		t.Errorf("text %q after %d attempts", *r.Text, r.Attempts)
	}
	if got := strings.Join(asked, " "); got != "first second second" {
		t.Errorf("asked %s", got)
	}
}

func TestBadRowsOnRecord(t *testing.T) {
	tr := newTrial(t, "{\"prompt\": \"a\"}\n{\"prompt\": 5}\n{\"prompt\": \"c\"}\n", pool("a", echo))
	tr.spec.OnBadRow = "record"
	records := tr.finish()
	if len(records) != 3 || records[1].Outcome != nightshift.OutcomeInputError || records[1].Attempts != 0 ||
		*records[1].ErrorClass != "input" {
		t.Errorf("%+v", records)
	}
}

func TestUnknownIsSkippedOrSent(t *testing.T) {
	vanish := true
	p := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		if vanish {
			// announced, and the process ends before anything is known
			if err := req.AttemptLog.Sending(nightshift.Intent{Attempt: 1, WorstTokens: 9, WorstCost: 7}); err != nil {
				return nightshift.Response{}, err
			}
			return nightshift.Response{}, nightshift.ErrBudget
		}
		r, err := echo(ctx, req)
		r.Attempts = append(req.Attempts, r.Attempts...)
		return r, err
	}
	for _, skip := range []bool{true, false} {
		vanish = true
		tr := newTrial(t, prompts(1), pool("a", p))
		if _, err := tr.start(context.Background()); err != nil {
			t.Fatal(err)
		}
		vanish = false
		tr.skip = skip
		r := tr.finish()[0]
		want := map[bool]nightshift.Outcome{true: nightshift.OutcomeUnknown, false: nightshift.OutcomeOK}[skip]
		if r.Outcome != want || !r.MaybeBilled {
			t.Errorf("skip %v: %s, maybe billed %v", skip, r.Outcome, r.MaybeBilled)
		}
		if !skip && r.Attempts != 2 {
			t.Errorf("the unknown attempt is not in the log: %d attempts", r.Attempts)
		}
	}
}

func TestStopBeforeAnything(t *testing.T) {
	waiting, stop := context.WithCancelCause(context.Background())
	stop(errors.New("enough"))
	tr := newTrial(t, prompts(20), pool("a", echo))
	stops, err := tr.start(waiting)
	if err != nil || len(stops) != 1 || len(tr.records()) != 0 {
		t.Errorf("stops %v, error %v, %d records", stops, err, len(tr.records()))
	}
}

func TestChangedDataset(t *testing.T) {
	var once sync.Once
	var tr *trial
	tr = newTrial(t, prompts(40),
		pool("a", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			once.Do(func() {
				path := filepath.Join(tr.spec.Dir, "rows.jsonl")
				if err := os.WriteFile(path, []byte(strings.Replace(prompts(40), "p33", "q33", 1)), 0o600); err != nil {
					t.Error(err)
				}
			})
			return echo(ctx, req)
		}))
	tr.pools[0].Concurrency = 1
	_, err := tr.start(context.Background())
	var changed *datasets.ChangedError
	if !errors.As(err, &changed) {
		t.Errorf("error %v, want a ChangedError", err)
	}
	for _, r := range tr.records() {
		if r.Row >= 30 {
			t.Errorf("row %d of the changed slice was sent", r.Row)
		}
	}
}

// A run may use only some rows of a dataset; the others have no record and
// keep nothing from being finished.
func TestSelectedRows(t *testing.T) {
	for name, choose := range map[string]func(*datasets.Spec){
		"limit":  func(s *datasets.Spec) { s.Limit = 13 },
		"offset": func(s *datasets.Spec) { s.Offset = 25 },
		"sample": func(s *datasets.Spec) { s.Sample, s.Seed = 9, 4 },
		"filter": func(s *datasets.Spec) { s.Filter = "note % 3 == 0" },
		"window": func(s *datasets.Spec) { s.Offset, s.Limit = 12, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, prompts(35), pool("a", echo))
			choose(&tr.spec)
			tr.epochs = 2
			want := map[string]int64{"limit": 13, "offset": 10, "sample": 9, "filter": 12, "window": 3}[name]
			first := tr.finish()
			if int64(len(first)) != 2*want {
				t.Fatalf("%d records, want %d", len(first), 2*want)
			}
			tr.pools[0].Provider = provider(func(context.Context, nightshift.Request) (nightshift.Response, error) {
				t.Error("a finished run sent something")
				return nightshift.Response{}, nightshift.ErrBudget
			})
			tr.finish()
			rep, err := view.Verify(tr.dir, true)
			if err != nil || !rep.OK() || rep.Items != 2*want || rep.Recorded != 2*want {
				t.Errorf("verify: %+v %v", rep, err)
			}
			if open, err := filepath.Glob(tr.dir + "/journal/*"); err != nil || len(open) != 0 {
				t.Errorf("shards were left open: %v", open)
			}
		})
	}
}

// Workers beyond a few hundred start one after another, all of them in the end.
func TestManyWorkersStartOneByOne(t *testing.T) {
	const workers = 1256
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var starts []time.Duration
		inFlight, most := 0, 0
		begin := time.Now()
		l := pool("m", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			mu.Lock()
			starts = append(starts, time.Since(begin))
			inFlight++
			most = max(most, inFlight)
			mu.Unlock()
			time.Sleep(2 * time.Second)
			mu.Lock()
			inFlight--
			mu.Unlock()
			return echo(ctx, req)
		})
		l.Concurrency = workers
		tr := newTrial(t, prompts(2*workers), l)
		tr.spec.ShardRows = 10 * workers
		if _, err := tr.start(context.Background()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(starts)
		if len(starts) != 2*workers || most != workers {
			t.Fatalf("%d requests, %d at once", len(starts), most)
		}
		if starts[255] != 0 {
			t.Errorf("the first 256 took %v to start", starts[255])
		}
		if last := starts[workers-1]; last < 390*time.Millisecond || last > 410*time.Millisecond {
			t.Errorf("worker %d began after %v", workers, last)
		}
		if second := starts[workers]; second != 2*time.Second {
			t.Errorf("the second round began after %v", second)
		}
	})
}

// Rows that wait for something of their own make others be taken up beyond those
// that can be in flight; when they have ended, so have the workers for them.
func TestSpareWorkersEnd(t *testing.T) {
	const inFlight, waiting, rows = 4, 36, 7000 // of which 100 end a second
	bubble(t, func(t *testing.T) {
		places := make(chan struct{}, inFlight)
		var waits atomic.Int64
		var mu sync.Mutex
		calls, now, most, last := 0, 0, 0, 0
		l := pool("m", func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			mu.Lock()
			calls++
			n := calls
			if now++; n > rows-1000 {
				last = max(last, now)
			} else {
				most = max(most, now)
			}
			mu.Unlock()
			if n <= waiting {
				time.Sleep(20 * time.Second)
			}
			waits.Add(1)
			places <- struct{}{}
			waits.Add(-1)
			time.Sleep(40 * time.Millisecond)
			<-places
			mu.Lock()
			now--
			mu.Unlock()
			return echo(ctx, req)
		})
		l.Concurrency, l.InFlight = waiting+inFlight, inFlight
		l.Waits = func() bool { return waits.Load() > 0 }
		tr := newTrial(t, prompts(rows), l)
		tr.spec.ShardRows = rows
		if _, err := tr.start(context.Background()); err != nil {
			t.Fatal(err)
		}
		// Four in flight and four that wait for them need no more, a few may come when all end at once.
		if most <= waiting || last > (waiting+inFlight)/2 {
			t.Errorf("%d rows were taken up at once while others waited, %d at the end", most, last)
		}
	})
}
