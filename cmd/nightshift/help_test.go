package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/testdata/s3test"
	"nightshift/providers/simulator"
	"nightshift/runner/cluster/join"
)

// everyCommand is the program as its help shows it, but for help itself.
func everyCommand(t *testing.T) []*cobra.Command {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, lookupEnv: os.LookupEnv}
	return slices.DeleteFunc(slices.Clone(a.rootCommand().Commands()), func(c *cobra.Command) bool {
		return c.Name() == "help"
	})
}

// TestHelp sees that every command teaches: what it is for, how it is called,
// and how it ends.
func TestHelp(t *testing.T) {
	for _, c := range everyCommand(t) {
		switch {
		case c.Short == "" || strings.HasSuffix(c.Short, "."):
			t.Errorf("%s: the purpose line is %q", c.Name(), c.Short)
		case len(c.Long) < 40:
			t.Errorf("%s: there is no description", c.Name())
		case !strings.Contains(strings.ToLower(c.Long), "exit code"):
			t.Errorf("%s: the help does not say how it ends", c.Name())
		case len(examples(c)) == 0:
			t.Errorf("%s: there are no examples", c.Name())
		}
		for line := range strings.Lines(c.Long) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 85 {
				t.Errorf("%s: a line of the help has %d characters: %s", c.Name(), n, line)
			}
		}
	}
}

func examples(c *cobra.Command) (list []string) {
	for line := range strings.Lines(c.Example) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

// TestExamples types every example of every command's help at a shell, in a
// folder that has the files it speaks of, against the simulator.
func TestExamples(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	for _, c := range everyCommand(t) {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			dir := w.copy(t)
			if strings.Contains(c.Use, "RUN") || c.Name() == "check" { // check --pilot reads one
				w.runs(t, dir)
			}
			if c.Name() == "run" { // --reuse reads one
				w.try(t, dir, c, "nightshift run -q tonight.yaml --out runs/two-models")
			}
			if c.Name() == "init" {
				os.Remove(filepath.Join(dir, "tonight.yaml"))
			}
			for _, line := range examples(c) {
				w.try(t, dir, c, line)
			}
		})
	}
}

// A workspace is a folder with what examples need, and a server for them.
type workspace struct {
	dir, server, batch string
	bucket             []string // variables of a store with the bucket "runs"
}

func newWorkspace(t *testing.T) *workspace {
	models := simulator.New(simulator.Config{})
	server := httptest.NewServer(models)
	t.Cleanup(func() { server.Close(); models.Close() })
	w := &workspace{dir: t.TempDir(), server: server.URL}
	for name, value := range s3test.New(t).Env() {
		w.bucket = append(w.bucket, name+"="+value)
	}
	if err := os.CopyFS(filepath.Join(w.dir, "examples"),
		os.DirFS(filepath.Join(repository(t), "examples"))); err != nil {
		t.Fatal(err)
	}
	// The example waits as for a real server; a test need not.
	quick := filepath.Join(w.dir, "examples/quickstart/plan.yaml")
	text, err := os.ReadFile(quick)
	if err != nil {
		t.Fatal(err)
	}
	for _, slow := range []string{"latency: ", "limits: requests", "faults: "} {
		text = bytes.ReplaceAll(text, []byte("      "+slow), []byte("      # "+slow))
	}
	w.write(t, "examples/quickstart/plan.yaml", string(text))
	var rows, reviews strings.Builder
	reviews.WriteString("review,stars\n")
	for i := range 12 {
		fmt.Fprintf(&rows,
			`{"prompt": "What is %d + 25? End with 'Answer: <number>'.", "target": "%d", "category": "sums"}`+"\n", i, i+25)
		fmt.Fprintf(&reviews, "Number %d was a pleasure to read,%d\n", i, i%5)
	}
	w.write(t, "prompts.jsonl", rows.String())
	w.write(t, "august.jsonl", `{"prompt": "What is 1 + 125?", "target": "126"}`+"\n")
	w.write(t, "reviews.csv", reviews.String())
	w.write(t, "my.csv", "provider,model,input,output\nmine,my-model,1,2\n")
	w.write(t, "results.json", `{"results": {"results": [{"provider": "theirs", "vars": {"ticket": "a"}, "score": 1,
"prompt": {"raw": "What is 1 + 1?"}, "response": {"output": "2"}}]}}`)
	w.write(t, "tonight.yaml", `version: 1
name: tonight
dataset: {path: prompts.jsonl}
models:
  - {name: sonnet, endpoint: anthropic, model: claude-sonnet-4-6, params: {max_tokens: 300}}
  - {name: gpt-5, endpoint: openai, model: gpt-5, params: {max_completion_tokens: 300}}
scorers: [{type: includes}]
out: runs/tonight
`)
	w.write(t, "three-models.yaml", `version: 1
name: three-models
dataset: {path: prompts.jsonl}
models:
  - {name: sonnet, endpoint: anthropic, model: claude-sonnet-4-6, params: {max_tokens: 300}}
  - {name: gpt-5, endpoint: openai, model: gpt-5, params: {max_completion_tokens: 300}}
  - {name: mini, endpoint: openai, model: gpt-5-mini, params: {max_completion_tokens: 300}}
out: runs/three-models
`)
	for _, folder := range []string{".local/share/man/man1", ".local/share/bash-completion/completions",
		".config/fish/completions", "bin"} {
		if err := os.MkdirAll(filepath.Join(w.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.LookPath("jq"); err != nil {
		w.write(t, "bin/jq", "#!/bin/sh\nexec cat\n")
	}
	if err := join.Make(w.dir, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	w.batch = w.submit(t)
	return w
}

// submit makes a batch of one row at the server.
func (w *workspace) submit(t *testing.T) string {
	t.Helper()
	const row = `{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-5", ` +
		`"max_completion_tokens": 9, "messages": [{"role": "user", "content": "What is 1 + 1?"}]}}`
	file := w.post(t, "/v1/files", "multipart/form-data; boundary=B", "--B\r\n"+
		"Content-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--B\r\n"+
		"Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n"+row+"\n\r\n--B--\r\n")
	return w.post(t, "/v1/batches", "application/json",
		`{"input_file_id": "`+file+`", "endpoint": "/v1/chat/completions", "completion_window": "24h"}`)
}

// post asks the server for something that has an id, and returns that.
func (w *workspace) post(t *testing.T, path, kind, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer k-openai")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || made.ID == "" {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return made.ID
}

func (w *workspace) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(w.dir, name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// copy makes a workspace for one command, so that none depends on what another
// left.
func (w *workspace) copy(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "w")
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, join.WorkerFile), 0o600); err != nil { // a copy has other modes
		t.Fatal(err)
	}
	return dir
}

// runs makes the runs that examples speak of.
func (w *workspace) runs(t *testing.T, dir string) {
	t.Helper()
	for _, line := range []string{
		"nightshift run -q tonight.yaml", "nightshift run -q examples/quickstart/plan.yaml --limit 40 --out " +
			"runs/quickstart",
		"nightshift score runs/tonight --plan tonight.yaml",
		"cp -r runs/tonight runs/a; cp -r runs/tonight runs/b; cp -r runs/tonight runs/last-week",
		"cp -r runs/tonight runs/two-models",
	} {
		if out, err := w.shell(t, dir, line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

func (w *workspace) shell(t *testing.T, dir, line string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), "bash", "-c", "set -o pipefail; "+line)
	c.Dir = dir
	c.Env = append(append(os.Environ(), w.bucket...), "HOME="+dir, "NO_COLOR=1",
		"PATH="+os.Getenv("PATH")+":"+filepath.Join(dir, "bin"),
		"ANTHROPIC_API_KEY=k-anthropic", "OPENAI_API_KEY=k-openai", "ANTHROPIC_BASE_URL="+w.server,
		"OPENAI_BASE_URL="+w.server+"/v1")
	return c
}

// try types one example.
func (w *workspace) try(t *testing.T, dir string, c *cobra.Command, line string) {
	t.Helper()
	typed := strings.NewReplacer(`"${fpath[1]}/_nightshift"`, "_nightshift", "127.0.0.1:8089",
		"127.0.0.1:0", "batch_68f3", w.batch).Replace(line)
	if servers[c.Name()] != "" {
		if c.Flags().Lookup("addr") != nil && !strings.Contains(typed, "--addr") {
			typed += " --addr 127.0.0.1:0"
		}
		w.interrupt(t, dir, typed, servers[c.Name()])
		return
	}
	if out, err := w.shell(t, dir, typed).CombinedOutput(); err != nil {
		t.Errorf("%s\n%v\n%s", line, err, out)
	}
}

// servers are the commands that go on until they are interrupted, with what
// they say when they are ready.
var servers = map[string]string{"simulate": "serving models", "view": "http://", "work": "looking for the hub"}

// interrupt runs a command that serves, waits until it says that it does, and
// ends it as Ctrl-C would.
func (w *workspace) interrupt(t *testing.T, dir, line, ready string) {
	t.Helper()
	c := w.shell(t, dir, "exec env "+line)
	said := &lockedBuffer{}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // else it hangs
	defer cancel()
	for !strings.Contains(said.String(), ready) {
		select {
		case err := <-ended:
			t.Errorf("%s\nended by itself: %v\n%s", line, err, said)
			return
		case <-ctx.Done():
			t.Errorf("%s\nis not ready: %s", line, said)
			c.Process.Kill()
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	c.Process.Signal(syscall.SIGINT)
	if err := <-ended; err != nil {
		t.Errorf("%s\n%v\n%s", line, err, said)
	}
}

// A lockedBuffer may be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
