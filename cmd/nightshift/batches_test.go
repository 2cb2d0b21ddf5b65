package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers/simulator"
)

// TestBatchesOfALostRun submits batches, loses the run's directory, and finds
// them and their results again, in the midst of other people's.
func TestBatchesOfALostRun(t *testing.T) {
	for _, protocol := range []nightshift.Protocol{nightshift.Chat, nightshift.Messages} {
		t.Run(string(protocol), func(t *testing.T) {
			s := simulator.New(simulator.Config{Batches: simulator.Batches{Others: 2}})
			defer s.Close()
			web := httptest.NewServer(s)
			defer web.Close()
			dir := t.TempDir()
			plan := filepath.Join(dir, "plan.yaml")
			var rows strings.Builder
			for i := range 5 {
				fmt.Fprintf(&rows, `{"prompt": "What is %d + 1?"}`+"\n", i)
			}
			text := fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: m, endpoint: e, model: sim-large, mode: batch, params: {max_tokens: 50}}]
endpoints: {e: {protocol: %s, base_url: %q, auth: none}}
out: out
`, protocol, web.URL)
			for name, text := range map[string]string{"plan.yaml": text, "rows.jsonl": rows.String()} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if code, out, errs := call(t, t.Context(), "run", plan, "-q", "--detach"); code != 8 {
				t.Fatalf("run: exit %d\n%s%s", code, out, errs)
			}
			if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			findLost(t, plan)
		})
	}
}

func findLost(t *testing.T, plan string) {
	code, out, errs := call(t, t.Context(), "batches", "--endpoint", "e", "--plan", plan)
	line := regexp.MustCompile(`(?m)^(\S+) +[0-9a-f]{6} +\S+ +1 +5 +5 +\S+ +.*$`).FindStringSubmatch(out)
	if code != 0 || line == nil || strings.Count(out, "\n") != 2 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if !regexp.MustCompile(`1 of [3-9] batches`).MatchString(errs) {
		t.Errorf("stderr %s", errs)
	}
	code, out, errs = call(t, t.Context(), "batches", "--endpoint", "e", "--plan", plan, "--all", "--json")
	var all []nightshift.Batch
	if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil || len(all) < 3 {
		t.Errorf("exit %d, %d batches, %v\n%s", code, len(all), err, errs)
	}
	code, out, errs = call(t, t.Context(), "batches", "--endpoint", "e", "--plan", plan, "--fetch", line[1])
	lines := 0
	for scan := bufio.NewScanner(strings.NewReader(out)); scan.Scan(); lines++ {
		if !strings.HasPrefix(scan.Text(), "{") || !strings.Contains(scan.Text(), `"ns1-`) {
			t.Errorf("line %s", scan.Text())
		}
	}
	if code != 0 || lines != 5 {
		t.Errorf("fetch: exit %d, %d lines\n%s", code, lines, errs)
	}
	code, _, errs = call(t, t.Context(), "batches", "--endpoint", "e", "--plan", plan, "--fetch", "nobody-has-this")
	if code != 4 || !strings.Contains(errs, "has no batch nobody-has-this") {
		t.Errorf("fetch of none: exit %d\n%s", code, errs)
	}
	code, _, errs = call(t, t.Context(), "batches", "--endpoint", "deepseek")
	if code != 2 || !strings.Contains(errs, "DEEPSEEK_API_KEY") {
		t.Errorf("no key: exit %d\n%s", code, errs)
	}
	code, _, errs = call(t, t.Context(), "batches", "--endpoint", "ollama")
	if code != 2 || !strings.Contains(errs, "batch_api") {
		t.Errorf("no batch API: exit %d\n%s", code, errs)
	}
}

func TestAges(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for d, want := range map[time.Duration]string{time.Minute: "1m", 72 * time.Hour: "3 days", -time.Minute: "0"} {
		if got := age(now.Add(-d), now); !strings.HasPrefix(got, want) {
			t.Errorf("%v is %s", d, got)
		}
	}
	if age(time.Time{}, now) != "" {
		t.Error("an age without a time")
	}
}
