package session

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nightshift"
	"nightshift/providers/simulator"
)

var update = flag.Bool("update", false, "write golden files anew")

// handbook is what the rows share. Golden files have its name in its place.
var handbook = strings.Repeat("Rule 7: answer in one line, and name the page. ", 200)

// requestRows are rows of all shapes, and more: with tools, images, documents,
// parts, prefills, settings and cache markers of their own. Their long beginnings
// are the same, so that there is something to cache.
func requestRows() map[string][]string {
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	pixel := `{"type":"image_url","image_url":{"url":"data:image/gif;base64,R0lGODlhAQABAAAAACw="}}`
	tools := `[{"type":"function","function":{"name":"look_up","description":` + text(handbook) +
		`,"parameters":{"type":"object","properties":{"page":{"type":"integer"}}}}}]`
	rows := map[string][]string{}
	for i := range 3 {
		rows["prompts"] = append(rows["prompts"], fmt.Sprintf(
			`{"id":"p%d","system":%s,"prompt":"Question %d: ½ < π & \"so on\"?"}`, i, text(handbook), i))
		rows["texts"] = append(rows["texts"], fmt.Sprintf(`{"id":"x%d","prompt":%s}`, i, text(handbook+fmt.Sprint(i))))
		rows["bodies"] = append(rows["bodies"], fmt.Sprintf(
			`{"custom_id":"b%d","method":"POST","url":"/v1/chat/completions","body":`+
				`{"messages":[{"role":"system","content":%s},{"role":"user","content":"Number %d"}],"seed": %d}}`, i,
			text(handbook), i, i))
		rows["turns"] = append(rows["turns"], fmt.Sprintf(`{"id":"t%d","system":%s,"turns":["Question %d?","And then?"]}`, i,
			text(handbook), i))
		for kind, row := range []string{
			`"messages":[{"role":"system","content":` + text(handbook) + `},{"role":"user","content":"Hello"}]`,
			`"messages":[{"role":"user","content":[{"type":"text","text":` + text(handbook) + `},` + pixel +
				`,{"type":"text","text":"What is it? %d"}]}]`,
			`"params":{"tools":` + tools + `,"temperature":0.5},"messages":[{"role":"user","content":"Look up %d"},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look_up",` +
				`"arguments":"{\"page\": 1}"}}]},{"role":"tool","tool_call_id":"c1","content":"Page 1"}]`,
			`"messages":[{"role":"user","content":[{"type":"text","text":` + text(handbook) +
				`,"cache_control":{"type":"ephemeral"}},{"type":"text","text":"Marked? %d"}]}]`,
			`"messages":[{"role":"user","content":` + text(handbook) + `},{"role":"assistant","content":"Number %d is"}]`,
		} {
			row = strings.Replace(row, "%d", fmt.Sprint(i), 1)
			rows["chats"] = append(rows["chats"], fmt.Sprintf(`{"id":"c%d-%d",%s}`, kind, i, row))
		}
	}
	return rows
}

// requestBodies runs a plan with a model of each wire format, and returns what the
// server was sent: a path and a body a line.
func requestBodies(t *testing.T, more string) string {
	t.Helper()
	var mu sync.Mutex
	sent := map[string][]string{}
	model := simulator.New(simulator.Config{Seed: 1})
	defer model.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		// The path begins with the endpoint's name.
		_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		sent[r.URL.Path] = append(sent[r.URL.Path], string(body))
		mu.Unlock()
		r.URL.Path = "/" + rest
		model.ServeHTTP(w, r)
	}))
	defer server.Close()
	dir := t.TempDir()
	for name, rows := range requestRows() {
		text := strings.Join(rows, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sendAll(t, dir, server.URL, more)
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(sent)) {
		slices.Sort(sent[path])
		for _, body := range sent[path] {
			fmt.Fprintf(&b, "%s %s\n", path, strings.ReplaceAll(body, handbook, "(handbook)"))
		}
	}
	return b.String()
}

func sendAll(t *testing.T, dir, url, more string) {
	t.Helper()
	sets, models, endpoints := "datasets:\n", "models:\n", "endpoints:\n"
	for _, name := range slices.Sorted(maps.Keys(requestRows())) {
		sets += fmt.Sprintf("  - {name: %s, path: %s.jsonl, on_bad_row: record}\n", name, name)
	}
	for _, p := range nightshift.Protocols() {
		cap := "max_tokens: 20"
		if p == nightshift.Embeddings || p == nightshift.GeminiEmbeddings {
			cap = ""
		}
		models += fmt.Sprintf("  - {name: %s, endpoint: %s, model: sim-large, params: {%s}, price: {input: 3, output: 15}"+
			"%s}\n", p, p, cap, more)
		endpoints += fmt.Sprintf("  %s: {protocol: %s, base_url: \"%s/%s/v1\", auth: none, allow_http: true}\n", p, p, url, p)
	}
	r := planIn(t, dir, "version: 1\nout: out\n"+sets+models+endpoints)
	if _, err := Run(t.Context(), r, Options{}); err != nil && ReasonOf(err) != FailedRows {
		t.Fatal(err)
	}
}

// TestRequestsWithoutCaching: without cache:, and with values that change no body,
// requests of every wire format are what they were before there was any caching:
// the golden file was written by the program of then.
func TestRequestsWithoutCaching(t *testing.T) {
	t.Parallel()
	const golden = "testdata/requests.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(requestBodies(t, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"", ", cache: off", ", cache: order"} {
		t.Run(more, func(t *testing.T) {
			t.Parallel()
			got, want := strings.Split(requestBodies(t, more), "\n"), strings.Split(string(want), "\n")
			if len(got) != len(want) {
				t.Errorf("%d requests, want %d", len(got)-1, len(want)-1)
			}
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("got %.3000s\nwant %.3000s", got[i], want[i])
				}
			}
		})
	}
}
