package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"nightshift/reports"
	"nightshift/runner/session"
)

// notifyWithin bounds what a notification adds to the end of a run, all attempts
// included.
const notifyWithin = 5 * time.Second

// notifyWaits are the times between the attempts.
var notifyWaits = []time.Duration{0, 250 * time.Millisecond, time.Second}

// A notification says how a run ended. It has no prompt, no answer and no message
// of an endpoint in it.
type notification struct {
	Text     string          `json:"text"`   // one sentence
	Result   string          `json:"result"` // success, failure or stopped
	ExitCode int             `json:"exit_code"`
	State    string          `json:"state,omitempty"` // as in run.json; absent where nothing was begun
	Run      string          `json:"run,omitempty"`
	RunID    string          `json:"run_id,omitempty"`
	Host     string          `json:"host,omitempty"`
	Started  time.Time       `json:"started_at"`
	Ended    time.Time       `json:"ended_at"`
	Summary  *reports.Notice `json:"summary,omitempty"` // absent where there is no report
	Gates    any             `json:"gates,omitempty"`   // each with its result and figures
}

// resultWords are the reasons of [session.Reason] in words.
var resultWords = map[int]string{
	exitOK: "finished", exitInternal: "failed", exitUsage: "not begun: plan, dataset or arguments are wrong",
	exitFailedRows: "more rows failed than tolerated", exitStopped: "stopped early", exitGate: "a gate was missed",
	exitStorage: "storage failed", exitMismatch: "the run directory belongs to another plan or dataset",
	exitSubmitted: "batches are submitted", exitRunning: "already running", exitInterrupted: "interrupted",
}

// A runEnd is what is told to people when a run ends, and to whom.
type runEnd struct {
	to      string // URL; empty for none
	bell    bool   // of the terminal
	name    string // of the run
	started time.Time
	result  session.Result
}

// tell rings and posts. err is how the run ended.
func (e *runEnd) tell(terminal io.Writer, log *slog.Logger, err error) {
	if e.bell {
		io.WriteString(terminal, "\a")
	}
	if e.to != "" {
		notify(e.to, notificationOf(e.name, e.result, err, e.started, time.Now()), log)
	}
}

// notificationOf describes the end of a run.
func notificationOf(name string, r session.Result, err error, started, now time.Time) notification {
	code := exitCode(err)
	n := notification{Result: "failure", ExitCode: code, State: r.State, Run: name,
		Started: started.UTC(), Ended: now.UTC()}
	n.Host, _ = os.Hostname()
	switch code {
	case exitOK:
		n.Result = "success"
	case exitStopped, exitSubmitted, exitInterrupted:
		n.Result = "stopped"
	}
	n.Text = resultWords[code]
	if code == exitStopped && r.State != "" && r.State != "finished" {
		n.Text = r.State // says why
	}
	if name != "" {
		n.Text = name + ": " + n.Text
	}
	if r.Page != nil {
		n.RunID, n.Summary = r.Page.RunID, r.Page.Notice()
		n.Text += ", " + n.Summary.Words()
	}
	if r.Comparison != nil && len(r.Comparison.Gates) > 0 {
		n.Gates = r.Comparison.Gates
	}
	return n
}

// notify posts how a run ended. A failure to do so is a warning and nothing more.
func notify(to string, n notification, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), notifyWithin)
	defer cancel()
	body, err := json.Marshal(n)
	again := err == nil
	for _, wait := range notifyWaits {
		if again && pause(ctx, wait) {
			again, err = post(ctx, to, body)
		}
	}
	if err != nil {
		log.Warn("the notification was not delivered: " + err.Error())
	}
}

// pause waits; false where ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// post sends a body once. The error does not repeat the address, whose path may
// be a secret. again reports whether another attempt may help.
func post(ctx context.Context, to string, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the address cannot be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "nightshift/"+version())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return true, fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500,
		fmt.Errorf("%s answered with HTTP %d", req.URL.Host, resp.StatusCode)
}
