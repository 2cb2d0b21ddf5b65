package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mailbox is a server that refuses the first so many notifications.
type mailbox struct {
	*httptest.Server
	refused int
	asked   int
	bodies  []string
}

func newMailbox(t *testing.T, refused int) *mailbox {
	m := &mailbox{refused: refused}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if m.asked++; m.asked <= m.refused {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		m.bodies = append(m.bodies, string(b))
	}))
	t.Cleanup(m.Close)
	old := notifyWaits
	notifyWaits = make([]time.Duration, len(old))
	t.Cleanup(func() { notifyWaits = old })
	return m
}

// TestNotify: whatever becomes of a run, its end is posted once, with figures and
// without a word of the dataset; a server that fails is asked again.
func TestNotify(t *testing.T) {
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.jsonl")
	for path, text := range map[string]string{
		rows: `{"prompt":"zebra one","target":"1"}` + "\n" +
			`{"prompt":"zebra two","target":"2"}` + "\n",
		filepath.Join(dir, "bad.jsonl"): `{"prompt":"zebra`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := []string{"run", "--dataset", rows, "--model", "simulator/sim-large", "--max-tokens", "60", "-q", "--notify"}
	for _, tc := range []struct {
		name, result, text string
		refused, code      int
		more               []string
	}{
		{"success", "success", "first: finished, 2 of 2 rows answered, $", 2, 0, []string{"--name", "first"}},
		{"a gate", "failure", "a gate was missed, 2 of 2 rows answered, $", 0, 5,
			[]string{"--scorer", "exact", "--gate", "score(sim-large) >= 0.99"}},
		{"stopped", "stopped", "rows: stopped: budget, 0 of 2 rows answered, $0.00", 0, 4, []string{"--budget-tokens", "1"}},
		{"bad dataset", "failure", "not begun: plan, dataset or arguments are wrong", 0, 2,
			[]string{"--dataset", filepath.Join(dir, "bad.jsonl")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMailbox(t, tc.refused)
			args := append(append(append([]string{}, run...), m.URL+"/T0/s3cret", "--out", t.TempDir()+"/out"), tc.more...)
			code, _, stderr := call(t, context.Background(), args...)
			if code != tc.code || len(m.bodies) != 1 {
				t.Fatalf("exit code %d, %d notifications\n%s", code, len(m.bodies), stderr)
			}
			var n notification
			if err := json.Unmarshal([]byte(m.bodies[0]), &n); err != nil {
				t.Fatal(err)
			}
			if n.Result != tc.result || n.ExitCode != tc.code || !strings.Contains(n.Text, tc.text) {
				t.Errorf("%s", m.bodies[0])
			}
			if strings.Contains(m.bodies[0], "zebra") || strings.Contains(stderr, "s3cret") {
				t.Errorf("too much is said: %s\n%s", m.bodies[0], stderr)
			}
		})
	}
}

// TestNotifyOfScores: scoring tells of its end, too, also when it could not begin.
func TestNotifyOfScores(t *testing.T) {
	dir := t.TempDir()
	rows, out := filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out")
	if err := os.WriteFile(rows, []byte(`{"prompt":"zebra","target":"1"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, t.Context(), "run", "--dataset", rows, "--model", "simulator/sim-large",
		"--max-tokens", "60", "-q", "--name", "first", "--out", out); code != exitOK {
		t.Fatal(stderr)
	}
	for scorer, want := range map[string]notification{
		"includes": {Result: "success", Text: "scores of first: finished"},
		"includs": {Result: "failure", ExitCode: exitUsage,
			Text: "scores of first: not begun: plan, dataset or arguments are wrong"},
	} {
		m := newMailbox(t, 0)
		code, _, stderr := call(t, t.Context(), "score", out, "-q", "--scorer", scorer, "--notify", m.URL+"/T0/s3cret")
		if code != want.ExitCode || len(m.bodies) != 1 {
			t.Fatalf("%s: exit code %d, %d notifications\n%s", scorer, code, len(m.bodies), stderr)
		}
		var n notification
		if err := json.Unmarshal([]byte(m.bodies[0]), &n); err != nil {
			t.Fatal(err)
		}
		if n.Result != want.Result || n.ExitCode != want.ExitCode || n.Text != want.Text {
			t.Errorf("%s", m.bodies[0])
		}
	}
}

// A notification that cannot be delivered is a warning that does not hold the
// address; one that is refused for good is not sent again.
func TestNotifyFails(t *testing.T) {
	m := newMailbox(t, 1000)
	gone := httptest.NewServer(nil)
	gone.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked += 100
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
	}))
	defer refusing.Close()
	for to, want := range map[string]string{m.URL: "HTTP 503", gone.URL: "connection refused", refusing.URL: "HTTP 302"} {
		var out bytes.Buffer
		notify(to+"/T0/s3cret", notification{}, slog.New(&plainHandler{w: &out}))
		if !strings.Contains(out.String(), "! the notification was not delivered: ") ||
			!strings.Contains(out.String(), want) ||
			strings.Contains(out.String(), "s3cret") {
			t.Errorf("%s: %s", to, out.String())
		}
	}
	if m.asked != len(notifyWaits)+100 {
		t.Errorf("asked %d times", m.asked)
	}
}

// The terminal rings when a run that was watched ends.
func TestBell(t *testing.T) {
	var out bytes.Buffer
	for _, bell := range []bool{true, false} {
		end := runEnd{bell: bell}
		end.tell(&out, slog.New(slog.DiscardHandler), nil)
	}
	if out.String() != "\a" {
		t.Errorf("%q", out.String())
	}
}
