package main

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers/limits"
	"nightshift/reports/render"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// A fakeTerminal shows what a terminal of a size does: it obeys the sequences that
// progress is drawn with, breaks lines that are too long, scrolls, and breaks its
// lines anew when it gets another width. It fails the test on any other sequence.
type fakeTerminal struct {
	t             *testing.T
	mu            sync.Mutex
	width, height int
	lines         []string // as they were written, without the breaks of the terminal
	row, column   int      // of the cursor, among lines
	bells         int
}

var sequence = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

func (f *fakeTerminal) size() (int, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.width, f.height
}

func (f *fakeTerminal) resize(width int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.width = width
}

// rows is how many rows of the terminal a line takes.
func (f *fakeTerminal) rows(line string) int { return max(1, (render.Columns(line)+f.width-1)/f.width) }

// up moves the cursor by rows of the terminal, to the beginning of a line.
func (f *fakeTerminal) up(n int) {
	for ; n > 0 && f.row > 0; f.row-- {
		n -= f.rows(f.lines[f.row-1])
	}
	if n != 0 {
		f.t.Errorf("the cursor was moved into the middle of a line, or above the first")
	}
}

func (f *fakeTerminal) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := string(b); s != ""; {
		if m := sequence.FindStringSubmatch(s); m != nil {
			s = s[len(m[0]):]
			f.obey(m[1], m[2])
			continue
		}
		r := []rune(s)[0]
		s = s[len(string(r)):]
		f.put(r)
	}
	return len(b), nil
}

func (f *fakeTerminal) obey(n, what string) {
	switch what {
	case "A":
		var count int
		fmt.Sscan(n, &count)
		f.up(count)
	case "K":
		f.lines[f.row] = string([]rune(f.lines[f.row])[:f.column])
	case "J":
		f.lines = append(f.lines[:f.row:f.row], string([]rune(f.lines[f.row])[:f.column]))
	default:
		f.t.Errorf("unexpected sequence %q", n+what)
	}
}

func (f *fakeTerminal) put(r rune) {
	if len(f.lines) == 0 {
		f.lines = []string{""}
	}
	switch r {
	case '\r':
		f.column = 0
	case '\a':
		f.bells++
	case '\n':
		if f.row++; f.row == len(f.lines) {
			f.lines = append(f.lines, "")
		}
		f.column = 0
	default:
		line := []rune(f.lines[f.row])
		f.lines[f.row] = string(append(line[:f.column:f.column], append([]rune{r}, line[min(f.column+1, len(line)):]...)...))
		f.column++
	}
}

// text is what stands in the terminal and above it.
func (f *fakeTerminal) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.lines, "\n")
}

// aState is a run of three models, two hundred rows each, of which so many are
// done by the first.
func aState(done int64) session.State {
	now := time.Now()
	s := session.State{Name: "tonight", Items: 600, At: now}
	s.Run.Totals.Models = map[string]view.Tally{}
	for i, name := range []string{"claude-sonnet-4-6-with-a-name-that-is-long", "小さいモデル", "gpt-5"} {
		rows := done / int64(i+1)
		left := time.Duration(200-rows) * time.Second
		t := view.Tally{Rows: rows, BilledInputTokens: nightshift.Tokens(rows * 300),
			Cost: nightshift.NanoUSD(rows * 1_234_567)}
		if i == 1 {
			t.Outcomes = map[nightshift.Outcome]int64{nightshift.OutcomeFailed: 3}
		}
		s.Run.Totals.Models[name] = t
		s.Run.Pace = append(s.Run.Pace, view.ModelPace{Model: name, Done: rows, Items: 200, PerHour: 3600, TimeLeft: &left})
	}
	s.Endpoints = []session.Endpoint{
		{Name: "anthropic", Models: []string{s.Run.Pace[0].Model}, InFlight: 7,
			Limiter: limits.State{LimitedBy: limits.LimitConcurrency, Window: 7, Waiting: 20}},
		{Name: "local", Models: []string{s.Run.Pace[1].Model}, InFlight: 1,
			Limiter: limits.State{PausedUntil: now.Add(8 * time.Second)}},
	}
	return s
}

// There is a line for each model and one for all; what matters least goes first
// where the terminal is narrow, and no line reaches its last column.
func TestGoldenProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all strings.Builder
		for _, width := range []int{20, 40, 60, 80, 120, 200} {
			s := aState(123)
			one := s
			one.Run.Pace, one.Items = s.Run.Pace[:1], 200
			one.Run.Totals.Models = map[string]view.Tally{one.Run.Pace[0].Model: s.Run.Totals.Models[one.Run.Pace[0].Model]}
			one.Endpoints = s.Endpoints[:1]
			for _, state := range []session.State{s, one} {
				fmt.Fprintf(&all, "%d columns, %s\n", width, render.Counted(int64(len(state.Run.Pace)), "model"))
				for _, l := range progressLines(state, width, 24, time.Now()) {
					if n := render.Columns(l); n >= width {
						t.Errorf("%d columns in a terminal of %d: %q", n, width, l)
					}
					all.WriteString("|" + l + "\n")
				}
			}
		}
		golden(t, "progress.txt", all.String())
	})
}

// More models than the terminal has lines: those that are done are left out first.
func TestProgressOfManyModels(t *testing.T) {
	s := session.State{Items: 3000}
	s.Run.Totals.Models = map[string]view.Tally{}
	for i := range 30 {
		m := view.ModelPace{Model: fmt.Sprint("model-", i), Items: 100}
		if i < 25 {
			m.Done = 100
		}
		s.Run.Pace = append(s.Run.Pace, m)
	}
	lines := progressLines(s, 80, 10, time.Now())
	if len(lines) != 9 || !strings.HasPrefix(lines[0], "model-25 ") || lines[7] != "and 23 other models" ||
		!strings.HasPrefix(lines[8], "all ") {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// The lines stay in their place whatever the terminal's width becomes: what the
// terminal shows is the log, then the lines, once.
func TestProgressStaysInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := &fakeTerminal{t: t, width: 80, height: 24}
		w := &switchWriter{w: term}
		log := slog.New(&plainHandler{w: w, level: slog.LevelInfo})
		d := &display{out: term, log: w, mode: "bar", size: term.size}
		log.Info("tonight: 200 rows × 3 models into runs/tonight")
		var mu sync.Mutex
		done := int64(0)
		end := d.start(func() session.State {
			mu.Lock()
			defer mu.Unlock()
			done++
			return aState(done)
		})
		want := []string{"tonight: 200 rows × 3 models into runs/tonight"}
		for i, width := range []int{80, 40, 60, 25, 200, 79, 80} {
			term.resize(width)
			time.Sleep(2 * barEvery)
			line := fmt.Sprintf("! the endpoint failed for the %d. time; this line is longer than forty columns", i)
			log.Info(line)
			want = append(want, strings.TrimSuffix(folded(line+"\n", width), "\n"))
			time.Sleep(barEvery)
			synctest.Wait()
			mu.Lock()
			lines := progressLines(aState(done), width, 24, time.Now())
			mu.Unlock()
			if got, want := term.text(), strings.Join(append(append([]string(nil), want...), lines...), "\n")+"\n"; got != want {
				t.Fatalf("at %d columns the terminal shows\n%s\nwant\n%s", width, got, want)
			}
		}
		end()
	})
}

// Where nobody watches there are plain lines, without a single escape sequence.
func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		d := &display{out: &out, log: &switchWriter{w: &out}, mode: "plain"}
		end := d.start(func() session.State { return aState(100) })
		time.Sleep(2*plainEvery + time.Second)
		end()
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || strings.ContainsAny(out.String(), "\x1b\r\a") ||
			!strings.HasPrefix(lines[0], "183/600 rows  3.0/s  ") {
			t.Errorf("%q", out.String())
		}
	})
}
