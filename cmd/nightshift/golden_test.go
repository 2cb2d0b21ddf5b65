package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *updateGolden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; go test ./cmd/nightshift -run Golden -update writes it anew\n%s", path,
			firstDifference(string(want), got))
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "- " + w[i] + "\n+ " + g[i]
		}
	}
	return "one text ends where the other goes on"
}

// TestGoldenHelp keeps the help of every command.
func TestGoldenHelp(t *testing.T) {
	var all strings.Builder
	names := []string{""}
	for _, c := range everyCommand(t) {
		names = append(names, c.Name())
	}
	for _, name := range names {
		args := []string{"--help"}
		if name != "" {
			args = []string{name, "--help"}
		}
		_, out, _ := call(t, context.Background(), args...)
		all.WriteString("$ nightshift " + strings.Join(args, " ") + "\n" + out + "\n")
	}
	golden(t, "help.txt", all.String())
}

// unstable is what differs between two runs of the same command: times, rates
// of this machine, and where the test keeps its files.
var unstable = regexp.MustCompile(`/(?:tmp|dev/shm)/[\w/.-]+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)?|` +
	`nightshift devel|\bdevel\b`)

func stable(text string) string { return unstable.ReplaceAllString(text, "…") }

// TestGoldenReports keeps what the reports of a finished run say, in every
// form for people.
func TestGoldenReports(t *testing.T) {
	run := oldRun(t, "finished")
	for name, args := range map[string][]string{
		"report.txt":         {"report", run},
		"compare.txt":        {"compare", run},
		"cost.txt":           {"cost", run, "--by", "model,outcome"},
		"status.txt":         {"status", run},
		"verify.txt":         {"verify", run},
		"status-stopped.txt": {"status", oldRun(t, "stopped")},
	} {
		code, out, errs := call(t, context.Background(), args...)
		if code != exitOK {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
		golden(t, name, stable(out))
	}
	comparison := filepath.Join(t.TempDir(), "compare.md")
	if code, _, errs := call(t, context.Background(), "compare", run, "--output", comparison); code != exitOK {
		t.Errorf("compare --output: exit code %d: %s", code, errs)
	}
	for name, path := range map[string]string{"report.md": filepath.Join(run, "report.md"), "compare.md": comparison} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, stable(string(page)))
	}
}

// TestGoldenMistakes keeps the words for everything that is wrong with a plan
// full of mistakes.
func TestGoldenMistakes(t *testing.T) {
	code, _, errs := call(t, context.Background(), "check", "testdata/golden/mistakes.yaml")
	if code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	golden(t, "mistakes.txt", errs)
}
