package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nightshift/runner/store/view"
)

// TestScoringExamples runs each plan of examples/scoring as its first lines say, and
// finds in the report what the planted answers are worth.
func TestScoringExamples(t *testing.T) {
	for _, tc := range []struct {
		plan string
		want []string // lines of the report, with single spaces
	}{
		{"checks", []string{"large checks 1.000", "small checks 0.250", "small share 0.375"}},
		{"ifeval", []string{"ifeval, parts large small", "prompt_strict 1.000 0.000", "prompt_loose 1.000 0.250",
			"instruction_strict 1.000 0.375", "instruction_loose 1.000 0.500"}},
		{"math", []string{"large math_equal 1.000", "small math_equal 0.000"}},
		{"calibration", []string{"large brier 0.930", "small brier 0.369", "right 0.667 0.333",
			"ece vs large", "small ~ −38.0"}},
		{"turns", []string{"turn 1 1.000 1.000", "turn 2 1.000 0.000", "small turns 0.500"}},
		{"rubric", []string{"rubric, parts large small", "accuracy 0.", "style 0."}},
	} {
		t.Run(tc.plan, func(t *testing.T) {
			t.Parallel()
			plan := filepath.Join(repository(t), "examples", "scoring", tc.plan+".yaml")
			c := start(t, "run", plan, "-q", "--out", filepath.Join(t.TempDir(), "out"))
			if code := c.wait(t); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, c.errs.String())
			}
			report := spaced(c.out.String())
			for _, want := range tc.want {
				if !strings.Contains(report, want) {
					t.Errorf("the report lacks %q:\n%s", want, c.out.String())
				}
			}
		})
	}
}

// spaced is a text with single spaces.
func spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestCodeExample runs the tests of generated programs. Without bubblewrap answers
// stay unscored and say why; told to do without, the same tests are run.
func TestCodeExample(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the sandbox is for Linux")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("skipped: no python3 on this machine")
	}
	plan := filepath.Join(repository(t), "examples", "scoring", "code.yaml")
	out := filepath.Join(t.TempDir(), "out")
	free := "{type: command, name: tests, argv: [python3, run_tests.py, --without-sandbox], memory_mb: 0}"
	c := start(t, "run", plan, "-q", "--allow-commands", "--out", out, "--scorer", free)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	for _, want := range []string{"large tests 1.000", "small tests 0.000"} {
		if !strings.Contains(spaced(c.out.String()), want) {
			t.Errorf("the report lacks %q:\n%s", want, c.out.String())
		}
	}
	if _, err := exec.LookPath("bwrap"); err == nil {
		return // TestSandbox
	}
	c = start(t, "score", out, "--plan", plan, "--allow-commands")
	c.wait(t)
	n := 0
	for s, err := range view.Scores(out, "tests") {
		if err != nil || s.Value != nil || !strings.Contains(view.Value(s.Explanation), "bubblewrap") {
			t.Errorf("without a sandbox: %+v, %v", s, err)
		}
		n++
	}
	if n != 8 {
		t.Errorf("%d scores, want 8", n)
	}
}

// recipe runs a scorer of examples/scoring on rows, and returns its replies.
func recipe(t *testing.T, env []string, name string, rows ...map[string]any) (replies []recipeReply) {
	t.Helper()
	var in bytes.Buffer
	for n, row := range rows {
		row["n"] = n
		if err := json.NewEncoder(&in).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: no python3 on this machine")
	}
	c := exec.CommandContext(t.Context(), python, filepath.Join(repository(t), "examples", "scoring", name))
	c.Stdin, c.Env = &in, append(os.Environ(), env...)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var one recipeReply
		if err := d.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		replies = append(replies, one)
	}
	if len(replies) != len(rows) {
		t.Fatalf("%s: %d replies to %d rows: %s", name, len(replies), len(rows), out)
	}
	return replies
}

type recipeReply struct {
	Value       *float64
	Status      string
	Explanation string
}

func (r recipeReply) String() string {
	if r.Value == nil {
		return "none " + r.Status + r.Explanation
	}
	return fmt.Sprint(*r.Value, " ", r.Explanation)
}

// sandboxed are programs in the sandbox of run_tests.py, and what becomes of them.
var sandboxed = []struct{ name, code, want string }{
	{"right", "return 4", "1 all tests pass"},
	{"wrong", "return 5", "0 AssertionError"},
	{"ends early", "import os; os._exit(0)", "0 it ended before the tests did"},
	{"pretends", "print('all tests pass'); raise SystemExit", "0 it ended before the tests did"},
	{"without end", "while True: pass", "0 "},
	{"much memory", "return len(bytearray(3 << 30)) and 4", "0 MemoryError"},
	{"network", "import socket; socket.create_connection(('127.0.0.1', {port}), 2)", "0 "},
	{"files of others", "return open('{secret}').read() and 4", "0 FileNotFoundError"},
	{"environment", "import os; return 4 if 'SANDBOXED_SECRET' not in os.environ else 5", "1 all tests pass"},
	{"its own program", "open('/work/program.py', 'w').write('x')", "0 OSError"},
	{"the system", "open('/usr/here', 'w').write('x')", "0 OSError"},
}

// TestSandbox runs hostile programs in the real sandbox, where bubblewrap is there and starts.
func TestSandbox(t *testing.T) {
	t.Parallel()
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		t.Skip("skipped: no bubblewrap on this machine")
	}
	if err := exec.CommandContext(t.Context(), bwrap, "--unshare-all", "--ro-bind", "/", "/", "true").Run(); err != nil {
		t.Skip("skipped: bubblewrap does not start here: " + err.Error())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	for _, p := range sandboxed {
		code := strings.NewReplacer("{port}", port, "{secret}", secret).Replace(p.code)
		rows = append(rows, map[string]any{"output": "def f():\n    " + code + "\n", "input": "[]",
			"metadata": map[string]string{"entry_point": "f", "test": "def check(f):\n    assert f() == 4\n"}})
	}
	for i, r := range recipe(t, []string{"SANDBOXED_SECRET=1"}, "run_tests.py", rows...) {
		if p := sandboxed[i]; !strings.HasPrefix(r.String(), p.want) {
			t.Errorf("%s: %s, want %s", p.name, r, p.want)
		}
	}
}

// TestSymPyRecipe asks the scorer of docs/scorers.md that takes SymPy.
func TestSymPyRecipe(t *testing.T) {
	t.Parallel()
	if exec.CommandContext(t.Context(), "python3", "-c",
		"from sympy.parsing.latex import parse_latex; parse_latex('1')").Run() != nil {
		t.Skip("skipped: no SymPy that reads LaTeX on this machine")
	}
	cases := []struct{ answer, target, want string }{
		{`\boxed{(x-1)(1+x)}`, `x^2-1`, "1 "},
		{`so \boxed{\frac{1}{\sqrt{2}}}.`, `\frac{\sqrt{2}}{2}`, "1 "},
		{`\boxed{\sin^2 x + \cos^2 x}`, `1`, "1 "},
		{`\boxed{1,000}`, `1000`, "1 "},
		{`\boxed{\pm\sqrt{12}}`, `2\sqrt{3}, -2\sqrt{3}`, "1 "},
		{`\boxed{-2, 5}`, `5,-2`, "1 "},
		{`\boxed{2\sqrt{3}}`, `2\sqrt{3}, -2\sqrt{3}`, "0 "},
		{`\boxed{3}`, `3, 4`, "0 "},
		{`\boxed{x^2+1}`, `x^2-1`, "0 "},
		{`\boxed{(1,3]}`, `(1,3]`, "none SymPy cannot read it"},
		{`It is 3.`, `3`, "none no_answer"},
	}
	var rows []map[string]any
	for _, c := range cases {
		rows = append(rows, map[string]any{"output": c.answer, "target": c.target})
	}
	for i, r := range recipe(t, nil, "sympy_equal.py", rows...) {
		if c := cases[i]; !strings.HasPrefix(r.String(), c.want) {
			t.Errorf("%s against %s: %s, want %s", c.answer, c.target, r, c.want)
		}
	}
}
