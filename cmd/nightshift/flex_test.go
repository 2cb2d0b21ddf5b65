package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/providers/simulator"
	"nightshift/reports"
)

// A flex tier without room is waited for: every row is refused three times,
// none fails, and no rate is inferred from it.
func TestFlexTierWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	for i := range 20 {
		fmt.Fprintf(&rows, "{\"id\":\"q%d\",\"prompt\":\"Question %d?\"}\n", i, i)
	}
	plan := fmt.Sprintf(`
dataset: {path: rows.jsonl}
out: out
models:
  - {name: m, endpoint: sim, model: sim-large, params: {max_tokens: 100, service_tier: flex},
     price: {input: 1, output: 2, services: {flex: 0.5}}}
endpoints:
  sim:
    preset: simulator-chat
    simulator: {faults: ["no_capacity=100%%;first=3"], ledger_file: %q}
retry: {attempts: 1}
`, filepath.Join(dir, "ledger.json"))
	for name, text := range map[string]string{"rows.jsonl": rows.String(), "plan.yaml": plan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, exit := inBubble(t, filepath.Join(dir, "plan.yaml"))
	if exit != exitOK || strings.Contains(log, "inferred") {
		t.Fatalf("exit code %d\n%s", exit, log)
	}
	var s reports.Summary
	var l simulator.Ledger
	for name, into := range map[string]any{"out/summary.json": &s, "ledger.json": &l} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, log)
		}
	}
	m := s.Models[0]
	if m.Answered() != 20 || m.Attempts != 80 || l.Received != 80 || l.Answered != 20 {
		t.Errorf("%d answers, %d attempts; the server received %d and answered %d", m.Answered(), m.Attempts, l.Received,
			l.Answered)
	}
}
