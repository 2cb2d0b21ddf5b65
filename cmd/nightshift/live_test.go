package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// call runs a command inside the test and returns what it printed.
func call(t *testing.T, ctx context.Context, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e lockedBuffer
	code = run(ctx, args, strings.NewReader(""), &o, &e, os.LookupEnv)
	return code, o.String(), e.String()
}

// slowPlan asks for 600 answers at 600 requests a minute.
func slowPlan(t *testing.T) (plan, out string) {
	t.Helper()
	dir := t.TempDir()
	var rows bytes.Buffer
	for i := range 600 {
		fmt.Fprintf(&rows, `{"prompt": "What is %d + 1?"}`+"\n", i)
	}
	plan, out = filepath.Join(dir, "slow.yaml"), filepath.Join(dir, "out")
	text := `version: 1
dataset: {path: rows.jsonl}
models:
  - {name: m, endpoint: s, model: sim-large, params: {max_tokens: 100}}
endpoints:
  s: {preset: simulator, simulator: {limits: "requests=600,burst=1s", latency: base=20ms}}
budget: {tokens: 1000000}
out: out
`
	for name, b := range map[string][]byte{"rows.jsonl": rows.Bytes(), "slow.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return plan, out
}

// TestLiveView looks at a run while it goes on, through status and through
// metrics, and at what it says after its end.
func TestLiveView(t *testing.T) {
	plan, out := slowPlan(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", plan, "--metrics-addr", "0"}, strings.NewReader(""), io.Discard, &errs,
			os.LookupEnv)
	}()
	// The run takes a minute: 600 rows at 600 a minute.
	told := regexp.MustCompile(`s: .*of 600 requests a minute.*waiting for the request limit`)
	var status string
	for deadline := time.Now().Add(50 * time.Second); !told.MatchString(status); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("status says\n%s\nthe run says\n%s", status, errs.String())
		}
		_, status, _ = call(t, t.Context(), "status", out)
	}
	if !strings.Contains(status, "running (process") {
		t.Errorf("status: %s", status)
	}
	checkMetrics(t, errs.String())

	cancel()
	if code := <-ended; code == exitOK {
		t.Error("the run was cancelled and ended with code 0")
	}
	_, status, _ = call(t, t.Context(), "status", out)
	if !regexp.MustCompile(`throughput limited by .*request rate \(\d+ %`).MatchString(status) ||
		strings.Contains(status, "in flight of") {
		t.Errorf("after the end: %s", status)
	}
	_, text, _ := call(t, t.Context(), "status", out, "--json")
	var full fullStatus
	if err := json.Unmarshal([]byte(text), &full); err != nil || full.Now == nil || full.Now.Endpoints[0].Name != "s" {
		t.Errorf("status --json: %v\n%s", err, text)
	}
}

// TestMetricsBesideJudges scrapes the metrics while judges join the run. The
// race detector sees what this is about.
func TestMetricsBesideJudges(t *testing.T) {
	plan, _ := slowPlan(t)
	text := `version: 1
dataset: {path: rows.jsonl, limit: 40}
models: [{name: m, endpoint: s, model: sim-large, params: {max_tokens: 50}}]
endpoints:
  s: {preset: simulator}
  first: {preset: simulator, simulator: {latency: base=5ms}}
  second: {preset: simulator, simulator: {latency: base=5ms}}
scorers:
  - {type: judge_grade, name: one, endpoint: first, model: sim-judge, params: {max_tokens: 60}}
  - {type: judge_grade, name: two, endpoint: second, model: sim-judge, params: {max_tokens: 60}}
out: out
`
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"run", plan, "--metrics-addr", "0"}, strings.NewReader(""), io.Discard,
			&errs, os.LookupEnv)
	}()
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`)
	judges := false
	for {
		select {
		case code := <-ended:
			if code != exitOK || !judges {
				t.Errorf("the run ended with %d, the judges were seen: %v\n%s", code, judges, errs.String())
			}
			return
		default:
		}
		resp, err := http.Get(address.FindString(errs.String()))
		if err != nil {
			continue // not begun, or just ended
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		judges = judges || err == nil && strings.Contains(string(body), `endpoint="second"`)
	}
}

func checkMetrics(t *testing.T, said string) {
	t.Helper()
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(said)
	resp, err := http.Get(address)
	if err != nil {
		t.Fatalf("%v; the run says %s", err, said)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`nightshift_limit_per_minute{dimension="requests",endpoint="s",run="slow"} 600`,
		`nightshift_rows_wanted{run="slow"} 600`,
		`nightshift_budget_limit{run="slow",unit="tokens"} 1e+06`,
		`nightshift_rows_total{model="m",outcome="ok",run="slow"} `,
		`nightshift_held_back_seconds_total{bound="request limit",endpoint="s",run="slow"} `,
		`go_goroutines `,
	} {
		if !strings.Contains(string(body), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// TestMetricsAreDocumented compares the code with docs/metrics.md.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(repository(t), "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range allMetrics {
		name := regexp.MustCompile(`fqName: "([a-z_]+)"`).FindStringSubmatch(d.String())[1]
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(nightshift_[a-z_]+)`").FindAllStringSubmatch(string(doc), -1) {
		found := false
		for _, d := range allMetrics {
			found = found || strings.Contains(d.String(), `"`+m[1]+`"`)
		}
		if !found {
			t.Errorf("docs/metrics.md has %s, which does not exist", m[1])
		}
	}
}

func TestMetricsAddress(t *testing.T) {
	for _, tc := range []struct{ given, want string }{
		{"9090", "127.0.0.1:9090"}, {":9090", "127.0.0.1:9090"}, {"localhost:9090", "127.0.0.1:9090"},
		{"127.0.0.1:0", "127.0.0.1:0"}, {"[::1]:9090", "[::1]:9090"}, {"0.0.0.0:9090", "0.0.0.0:9090"},
		{"10.1.2.3:9", "10.1.2.3:9"},
		{"example.com:9090", ""}, {"1:2:3", ""}, {"*:9090", ""},
	} {
		got, err := metricsAddress(tc.given)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q gives %q, %v; want %q", tc.given, got, err, tc.want)
		}
	}
}
