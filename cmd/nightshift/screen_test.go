package main

import (
	"context"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nightshift/reports"
	"nightshift/reports/render"
	"nightshift/runner/session"
)

// TestGoldenWidths keeps what a report looks like at the widths of terminals: no line
// is wider, no column is all zeros, and verdicts have colours where there are any.
func TestGoldenWidths(t *testing.T) {
	page, err := reports.BuildPage(oldRun(t, "finished"), session.AddComparison)
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []string{"40", "60", "80", "200"} {
		var all strings.Builder
		a := &app{out: &all, lookupEnv: func(name string) (string, bool) { return width, name == "COLUMNS" }}
		if err := page.Text(a.screen()); err != nil {
			t.Fatal(err)
		}
		columns := a.screen().(screenWriter).screen.Columns
		for line := range strings.Lines(all.String()) {
			if n := render.Columns(strings.TrimRight(line, "\n")); n > columns {
				t.Errorf("%d columns where there are %d: %s", n, columns, line)
			}
		}
		golden(t, "report-"+width+".txt", stable(all.String()))
	}
}

// Only a terminal gets colours. The words are the same with and without.
func TestColours(t *testing.T) {
	page, err := reports.BuildPage(oldRun(t, "finished"), session.AddComparison)
	if err != nil {
		t.Fatal(err)
	}
	var plain, coloured strings.Builder
	pipe := &app{out: &plain, lookupEnv: func(string) (string, bool) { return "", false }}
	if err := page.Text(pipe.screen()); err != nil {
		t.Fatal(err)
	}
	if err := page.Text(screenWriter{&coloured, render.Screen{Columns: pipeColumns, Colour: true}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[") {
		t.Errorf("%q\n%q", plain.String(), coloured.String())
	}
	if regexp.MustCompile(`\x1b\[[\d;]*m`).ReplaceAllString(coloured.String(), "") != plain.String() {
		t.Error("colours change the words")
	}
}

// TestReproduce runs every command that report.html lists, from another directory,
// but for the one that serves pages.
func TestReproduce(t *testing.T) {
	dir := t.TempDir()
	rows := filepath.Join(dir, "my rows.jsonl")
	if err := os.WriteFile(rows, []byte(`{"prompt":"one","target":"1","level":"easy"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "run")
	if code, _, errs := call(t, context.Background(), "run", "--dataset", rows, "--model", "simulator/sim-large",
		"--max-tokens", "60", "--scorer", "exact", "--prompt", "Say {{ prompt }}", "--out", out, "-q"); code != 0 {
		t.Fatal(errs)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(html.UnescapeString(string(page)), "Say {{ prompt }}") {
		t.Error("the prompt's template is not shown")
	}
	list := regexp.MustCompile(`(?s)id="commands"[^>]*>(.*?)</pre>`).FindStringSubmatch(string(page))
	if list == nil {
		t.Fatal("no commands")
	}
	t.Chdir(t.TempDir())
	ran := 0
	for command := range strings.Lines(html.UnescapeString(list[1])) {
		words := shellWords(strings.TrimSpace(command))
		if len(words) < 2 || words[1] == "view" {
			continue
		}
		ran++
		if code, _, errs := call(t, context.Background(), words[1:]...); code != 0 {
			t.Errorf("%s: exit code %d\n%s", command, code, errs)
		}
	}
	if ran != 5 {
		t.Errorf("%d commands", ran)
	}
}

// shellWords splits a command of words and words in single quotes.
func shellWords(command string) (words []string) {
	word, quoted := "", false
	for _, r := range command + " " {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			words, word = append(words, word), ""
		default:
			word += string(r)
		}
	}
	return words
}

// TestScreenOf: a terminal has its width and colours, unless NO_COLOR or TERM=dumb
// say otherwise; what is none has COLUMNS or 120.
func TestScreenOf(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal int
		env      map[string]string
		want     render.Screen
	}{
		{"terminal", 60, nil, render.Screen{Columns: 60, Colour: true}},
		{"COLUMNS of a shell is older than the window", 60, map[string]string{"COLUMNS": "200"},
			render.Screen{Columns: 60, Colour: true}},
		{"NO_COLOR", 60, map[string]string{"NO_COLOR": "1"}, render.Screen{Columns: 60}},
		{"dumb", 60, map[string]string{"TERM": "dumb"}, render.Screen{Columns: 60}},
		{"pipe", 0, nil, render.Screen{Columns: 120}},
		{"pipe with COLUMNS", 0, map[string]string{"COLUMNS": "40"}, render.Screen{Columns: 40}},
	} {
		if got := screenOf(tc.terminal, func(name string) string { return tc.env[name] }); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestFolded(t *testing.T) {
	const text = "name: finished\n  spent      at least $0.17, at most $0.20 – for judges\n\n  averyveryverylongword\n"
	for columns, want := range map[int]string{
		0: text, 80: text,
		24: "name: finished\n  spent      at least\n      $0.17, at most\n      $0.20 – for judges\n\n" +
			"  averyveryverylongword\n",
		18: "name: finished\n  spent      at\n      least $0.17,\n      at most\n      $0.20 – for\n      judges\n\n" +
			"  averyveryverylongword\n",
	} {
		if got := folded(text, columns); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, got, want)
		}
	}
}
