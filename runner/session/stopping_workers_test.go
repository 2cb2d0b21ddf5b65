package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/reports/scoring"
	"nightshift/runner/cluster/join"
	"nightshift/runner/cluster/worker"
	"nightshift/runner/store/view"
)

// testBeat makes a lost worker's rows be sent again after 450 ms.
const testBeat = 60 * time.Millisecond

// A workshop is workers of a run, in this process, that come and are killed.
type workshop struct {
	t    *testing.T
	file *join.File
	dir  string
	hub  chan string // where the run listens, once it does

	wg   sync.WaitGroup
	come int // workers that there have been
}

func newWorkshop(t *testing.T) *workshop {
	w := &workshop{t: t, dir: t.TempDir(), hub: make(chan string, 1)}
	err := join.Make(w.join(), "127.0.0.1:1") // the real port is in the log
	if err == nil {
		w.file, err = join.ReadWorker(filepath.Join(w.join(), join.WorkerFile))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *workshop) join() string { return filepath.Join(w.dir, "join") }

// Write takes the run's log, in which the address stands.
func (w *workshop) Write(line []byte) (int, error) {
	if _, after, ok := strings.Cut(string(line), "waiting for workers on "); ok {
		address, _, _ := strings.Cut(after, ": ")
		w.hub <- address
	}
	return len(line), nil
}

// start starts a worker with an empty spool, and with the name of the one before it in
// this place.
func (w *workshop) start(place int, address string) (kill func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var conn net.Conn
	o := worker.Options{Name: fmt.Sprint("w", place), Slots: 8, Beat: testBeat,
		Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := w.file.Dial(ctx, address)
			mu.Lock()
			defer mu.Unlock()
			conn = c
			return c, err
		}}
	w.come++
	o.Spool = filepath.Join(w.dir, fmt.Sprint("spool", w.come))
	w.wg.Go(func() {
		if err := worker.Run(ctx, ctx, o); err != nil && ctx.Err() == nil {
			w.t.Errorf("worker %d ended: %v", place, err)
		}
	})
	return func() { // it says nothing more, and what it sends is cut
		mu.Lock()
		defer mu.Unlock()
		if conn != nil {
			_ = conn.Close()
		}
		cancel()
	}
}

// work starts two workers when the run listens, and puts another, without what that
// one had, in the place of one at each word, until the run has ended.
func (w *workshop) work(disturb <-chan int64, ended <-chan struct{}) {
	var address string
	select {
	case address = <-w.hub:
	case <-ended:
		return
	}
	kill := []func(){w.start(0, address), w.start(1, address)}
	for {
		select {
		case n := <-disturb:
			place := int(n % 2)
			kill[place]()
			kill[place] = w.start(place, address)
		case <-ended:
			kill[0]()
			kill[1]()
			return
		}
	}
}

// A run whose requests workers send decides what it decides without them: also when they
// are killed again and again, and what they had in flight is lost with them.
func TestStoppedRunWithWorkers(t *testing.T) {
	for name, kills := range map[string]int64{"undisturbed": 0, "killed": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := newWorkshop(t), plantFixed()
			var requests atomic.Int64
			disturb := make(chan int64, kills) // never full
			s.served = func() {
				if n := requests.Add(1); n%40 == 0 && n <= 40*kills {
					disturb <- n / 40
				}
			}
			ended := make(chan struct{})
			w.wg.Go(func() { w.work(disturb, ended) })
			p := s.write(t, t.TempDir())
			r, err := Run(t.Context(), p, Options{Log: slog.New(slog.NewTextHandler(w, nil)),
				Workers: &Workers{Listen: "127.0.0.1:0", Join: w.join(), Beat: testBeat}})
			close(ended)
			w.wg.Wait()
			if err != nil {
				t.Fatal(err)
			}
			got, calm := s.check(t, p, r), plantFixed().run(t)
			if got.state != scoring.Decided || got.verdict != calm.verdict {
				t.Errorf("with workers %+v, without %+v", got, calm)
			}
			w.checkRecords(p.Out)
			checkForAnyTime(t, r)
		})
	}
}

// checkRecords sees that workers answered every row.
func (w *workshop) checkRecords(out string) {
	lost := 0
	for one, err := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		log, err := attemptlog.Parse(view.Value(one.AttemptLog))
		if err != nil || len(log) == 0 || log[len(log)-1].Worker == "" || one.Outcome != nightshift.OutcomeOK {
			w.t.Errorf("%s/%d: %s, %d attempts, %v", one.Model, one.Row, one.Outcome, len(log), err)
		}
		for _, a := range log {
			if a.Class == nightshift.ClassUnknownOutcome {
				lost++
			}
		}
	}
	w.t.Logf("%d workers, %d requests lost with them", w.come, lost)
}

// checkForAnyTime sees that no figure for a fixed number of rows is in a comparison.
func checkForAnyTime(t *testing.T, r Result) {
	t.Helper()
	const always = "confidence sequence"
	for _, d := range r.Comparison.Scorers[0].Deltas {
		if d.SE != nil || d.Detectable != nil || d.Method != always || string(d.Test) != always {
			t.Errorf("%s has figures for a fixed number of rows: %+v", d.Label, d)
		}
	}
	for _, m := range r.Comparison.Scorers[0].Models {
		if m.SE != nil || m.Method != always {
			t.Errorf("%s has figures for a fixed number of rows: %+v", m.Label, m)
		}
	}
	var text bytes.Buffer
	if err := errors.Join(r.Comparison.Text(&text), r.Page.Text(&text), r.Page.Markdown(&text)); err != nil {
		t.Fatal(err)
	}
	for _, fixed := range []string{"95 % interval", " 95 % −", "McNemar", "Invalid"} {
		if strings.Contains(text.String(), fixed) {
			t.Errorf("it says %q:\n%s", fixed, &text)
		}
	}
}
