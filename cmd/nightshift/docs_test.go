package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// pages are the documents of the repository, by their paths in it.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/measured/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.ToSlash(filepath.Join(filepath.Dir(pattern), filepath.Base(f)))] = string(text)
		}
	}
	return all
}

var (
	fenced     = regexp.MustCompile("(?ms)^```.*?^```$")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linkedText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// TestDocsLinks follows every link of every page to a file or a heading.
func TestDocsLinks(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.ToSlash(filepath.Join(filepath.Dir(page), file))
			if file == "" {
				target = page
			}
			if _, err := os.Stat(filepath.Join(repository(t), target)); err != nil {
				t.Errorf("%s: %s does not exist", page, m[1])
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
}

// TestDocsIndex: links lead from README.md to every page.
func TestDocsIndex(t *testing.T) {
	all := pages(t)
	reached := map[string]bool{}
	var follow func(page string)
	follow = func(page string) {
		if _, there := all[page]; !there || reached[page] {
			return
		}
		reached[page] = true
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(all[page], ""), -1) {
			file, _, _ := strings.Cut(m[1], "#")
			follow(filepath.ToSlash(filepath.Join(filepath.Dir(page), file)))
		}
	}
	follow("README.md")
	for page := range all {
		if !reached[page] {
			t.Errorf("no link leads to %s; docs/README.md is the index", page)
		}
	}
}

// anchors are the names by which headings are linked to.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, linkedText.ReplaceAllString(strings.TrimSpace(m[1]), "$1"))
		found[name] = true
	}
	return found
}

// TestDocsErrorClasses: docs/troubleshooting.md says what to do about every
// class of error, and knows no other.
func TestDocsErrorClasses(t *testing.T) {
	_, table, _ := strings.Cut(pages(t)["docs/troubleshooting.md"], "<!-- classes -->")
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]bool{}
	line := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$")
	for _, m := range line.FindAllStringSubmatch(table, -1) {
		documented[m[1]] = true
	}
	classes := errorClasses(t)
	for class := range classes {
		if !documented[class] {
			t.Errorf("docs/troubleshooting.md has no line for the class %s", class)
		}
	}
	for class := range documented {
		if !classes[class] {
			t.Errorf("docs/troubleshooting.md has the class %s, which does not exist", class)
		}
	}
}

// errorClasses reads the classes from the source of errors.go.
func errorClasses(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository(t), "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Class") {
			return true
		}
		class, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		classes[class] = true
		return true
	})
	if len(classes) < 20 {
		t.Fatalf("only %d classes were found", len(classes))
	}
	return classes
}

// elsewhere are commands of pages that need what a test does not have, by the
// word that they begin with.
var elsewhere = map[string]string{
	"duckdb": "needs DuckDB", "vllm": "needs a graphics card", "docker": "needs Docker", "python3": "needs a package",
	"vm1$": "needs several machines", "vm2$": "needs several machines", "vm3$": "needs several machines",
	"go": "the gate runs it", "make": "the gate runs it", "runner/store/prove.sh": "the gate runs it",
	"sha256sum": "needs a release", "tar": "needs a release", "sudo": "needs a release",
	"source": "changes the shell that it runs in", "cut": "needs a run that is going on",
}

// notHere are nightshift's own commands of the same kind, by their beginning.
var notHere = map[string]string{
	"nightshift models vllm":                                                    "needs a vLLM server",
	"nightshift run --dataset prompts.jsonl --model vllm/":                      "needs a vLLM server",
	"nightshift completion zsh >":                                               "writes where zsh looks",
	"nightshift completion powershell":                                          "needs PowerShell",
	"nightshift check --dataset hf://":                                          "needs the network",
	"nightshift run --dataset hf://":                                            "needs the network",
	"nightshift run …":                                                          "stands for any run",
	"nightshift run tonight.yaml --batch":                                       "takes as long as a batch",
	"nightshift run plan.yaml --batch":                                          "takes as long as a batch",
	"nightshift run --dataset requests.jsonl --model openai/gpt-5-mini --batch": "takes as long as a batch",
	"nightshift export runs/mini -o":                                            "follows a batch",
}

// prepared are the files that a page speaks of, beside those of a workspace:
// commands that make them. Pages that make their runs themselves begin without.
var prepared = map[string]string{
	"README.md":          "rm -r runs; printf 'ticket,subject,category\n1,Cannot log in,login\n' > tickets.csv",
	"docs/start.md":      "rm -r runs",
	"docs/durability.md": "cp -r runs/tonight runs/x",
}

// TestDocsCommands types every line of every shell block of every page at a
// shell, in a folder that has the files they speak of, as TestExamples does.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t)
	w.runs(t, w.dir)
	for page, text := range pages(t) {
		lines := shellLines(text)
		if len(lines) == 0 || page == "CONTRIBUTING.md" || page == "ARCHITECTURE.md" || page == "CHANGELOG.md" {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			dir := w.copy(t)
			w.tryLine(t, dir, cmp.Or(prepared[page], "true"))
			for _, line := range lines {
				if why := skipped(line); why != "" {
					t.Logf("skipped, %s: %s", why, line)
					continue
				}
				w.tryLine(t, dir, line)
			}
		})
	}
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// shellLines are the commands of a page's shell blocks; those that go on over
// several lines are one. A block that is a script of its own is left out.
func shellLines(text string) (lines []string) {
	for _, m := range shellBlock.FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "#!") {
			continue
		}
		block, open := "", false
		for line := range strings.Lines(m[1]) {
			block += line
			open = strings.HasSuffix(line, "\\\n") || strings.Count(block, "'")%2 == 1
			if open {
				continue
			}
			if line := strings.TrimSpace(block); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
			block = ""
		}
	}
	return lines
}

// settings are variables before a command.
var settings = regexp.MustCompile(`^[A-Z_]+=`)

// skipped says why a line is not run; empty when it is.
func skipped(line string) string {
	for beginning, why := range notHere {
		if strings.HasPrefix(line, beginning) {
			return why
		}
	}
	for _, word := range strings.Fields(line) {
		if !settings.MatchString(word) {
			return elsewhere[word]
		}
	}
	return ""
}

// tryLine types one line of a page.
func (w *workspace) tryLine(t *testing.T, dir, line string) {
	t.Helper()
	server := strings.TrimPrefix(w.server, "http://")
	typed := strings.NewReplacer("127.0.0.1:8089", server, "127.0.0.1:8000", server).Replace(line)
	for _, c := range everyCommand(t) {
		ready := servers[c.Name()]
		if ready == "" || !strings.HasPrefix(line, "nightshift "+c.Name()+" ") {
			continue
		}
		if c.Flags().Lookup("addr") != nil && !strings.Contains(typed, "--addr") {
			typed += " --addr 127.0.0.1:0"
		}
		w.interrupt(t, dir, typed, ready)
		return
	}
	if out, err := w.shell(t, dir, typed).CombinedOutput(); err != nil {
		t.Errorf("%s\n%v\n%s", line, err, out)
	}
}

var (
	sqlBlock    = regexp.MustCompile("(?ms)^```sql\n(.*?)^```$")
	pythonBlock = regexp.MustCompile("(?ms)^```python\n(.*?)^```$")
)

// TestDocsQueries asks the questions of docs/reading.md: in SQL through the
// views of the quickstart's run, and in Python.
func TestDocsQueries(t *testing.T) {
	t.Parallel()
	text := pages(t)["docs/reading.md"]
	w := newWorkspace(t)
	w.runs(t, w.dir)
	programs := map[string]string{}
	for _, m := range pythonBlock.FindAllStringSubmatch(text, -1) {
		programs[strings.Fields(m[1])[1]] = m[1]
	}
	for _, m := range sqlBlock.FindAllStringSubmatch(text, -1) {
		programs["duckdb"] = "import duckdb\nduckdb.execute(open('runs/quickstart/views.sql').read())\n" +
			"for question in '''" + m[1] + "'''.split(';\\n'):\n  if question.strip(): duckdb.sql(question).show()\n"
	}
	if len(programs) != 3 {
		t.Fatalf("%d programs, want those for pandas, polars and duckdb", len(programs))
	}
	w.tryLine(t, w.dir, "nightshift sql runs/quickstart")
	for library, program := range programs {
		t.Run(library, func(t *testing.T) {
			if exec.Command("python3", "-c", "import pytz, pyarrow, "+library).Run() != nil {
				t.Skipf("needs python3 with %s, pyarrow and pytz", library)
			}
			c := exec.Command("python3", "-c", program)
			c.Dir = w.dir
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
