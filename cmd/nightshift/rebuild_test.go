package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/runner/store/view"
)

// TestRebuildRequest runs plans against the simulator and rebuilds every
// request: each has the hash of what was sent.
func TestRebuildRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("rows.jsonl", `{"id":"a","messages":[{"role":"user","content":"What is 2 + 3? \"<&\u2028"}]}
{"id":"b","messages":[{"role":"user","content":[{"type":"text","text":"Say 4"}]},{"role":"assistant","content":"4"},`+
		`{"role":"user","content":"again"}]}
`)
	plan := write("plan.yaml", `version: 1
name: rebuild
dataset: {path: rows.jsonl, system: Be brief.}
endpoints:
  a: {preset: simulator, protocol: chat}
  b: {preset: simulator, protocol: messages}
  c: {preset: simulator, protocol: responses}
models:
  - {name: chat, endpoint: a, model: sim-large, stream: true, params: {temperature: 0, max_tokens: 50, top_p: 0.5}}
  - {name: messages, endpoint: b, model: sim-small, params: {top_p: 0.5, max_tokens: 40}}
  - {name: responses, endpoint: c, model: sim-small, params: {max_output_tokens: 40}}
out: run
`)
	succeeds(t, "run", plan, "-q")
	n := 0
	for rec, err := range view.Rows[nightshift.Record](filepath.Join(dir, "run"), view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := rebuildRequest(filepath.Join(dir, "run"), &rec)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != *rec.RequestHash {
			t.Errorf("%s, row %s: another hash: %s", rec.Model, rec.ID, body)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d rows", n)
	}
}
