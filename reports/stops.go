package reports

import (
	"path/filepath"
	"time"
)

// A Stop is why the last start ended before a model's rows did.
type Stop struct {
	Model  string `json:"model"`
	Class  string `json:"class,omitempty"`  // of the error; empty for what is none of an endpoint, like a spent budget
	Status int    `json:"status,omitempty"` // HTTP status; 0 without one
	Reason string `json:"reason"`
}

// A silence is an endpoint that gave no answers when the running process, or
// the one that was killed, looked last.
type silence struct {
	Endpoint string    `json:"endpoint"`
	Models   []string  `json:"models"`
	Since    time.Time `json:"since"`
	Error    string    `json:"error"` // the last
}

func (s silence) line() string {
	return sprintf("%s has given no answers since %s: %s", s.Endpoint, s.Since.UTC().Format(time.RFC3339), s.Error)
}

func (s Stop) line() string { return sprintf("%s was stopped: %s", s.Model, s.Reason) }

// liveStops is the part of live.json that says what went wrong.
type liveStops struct {
	Stops     []Stop `json:"stops"`
	Endpoints []struct {
		Name      string     `json:"name"`
		Models    []string   `json:"models"`
		Down      bool       `json:"breaker_open"`
		Succeeded int64      `json:"succeeded"`
		LastError string     `json:"last_error"`
		Since     *time.Time `json:"failing_since"`
	} `json:"endpoints"`
}

// readStops says why the last start of a run stopped, and which endpoints
// are silent in one that goes on. Both are empty when the run never said.
func readStops(dir string) (stops []Stop, silent []silence) {
	var l liveStops
	if readJSON(filepath.Join(dir, LiveFile), &l) != nil || len(l.Stops) > 0 {
		return l.Stops, nil
	}
	for _, e := range l.Endpoints {
		if e.Since != nil && (e.Down || e.Succeeded == 0) {
			silent = append(silent, silence{e.Name, e.Models, *e.Since, e.LastError})
		}
	}
	return nil, silent
}

// StopLines says why the last start of a run stopped, or which endpoints are
// silent in one that goes on, a line each.
func StopLines(dir string) []string { return stopLines(readStops(dir)) }

func stopLines(stops []Stop, silent []silence) (lines []string) {
	for _, s := range stops {
		lines = append(lines, s.line())
	}
	for _, s := range silent {
		lines = append(lines, s.line())
	}
	return lines
}
