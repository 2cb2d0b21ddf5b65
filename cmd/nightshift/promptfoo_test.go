package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promptfooFiles are an evaluation of three rows by two providers, of which the second has one wrong.
var promptfooFiles = map[string]string{
	"promptfooconfig.yaml": `
providers: [{id: "file://good.js", label: good}, {id: "file://bad.js", label: bad}]
prompts: ["What is {{a}} + 25? End with 'Answer: <number>'."]
tests:
  - {vars: {id: q0, a: 0}, assert: [{type: contains, value: "25", metric: sum}]}
  - {vars: {id: q1, a: 1}, assert: [{type: contains, value: "26", metric: sum}]}
  - {vars: {id: q2, a: 2}, assert: [{type: contains, value: "27", metric: sum}]}
`,
	"good.js": promptfooProvider("good", "25"),
	"bad.js":  promptfooProvider("bad", "(a > 1 ? 30 : 25)"),
}

func promptfooProvider(name, more string) string {
	return strings.NewReplacer("NAME", name, "MORE", more).Replace(`module.exports = class {
	id() { return 'custom:NAME' }
	async callApi(prompt) {
		const a = Number(/is (\d+)/.exec(prompt)[1])
		return { output: 'Answer: ' + (a + MORE), tokenUsage: { total: 20, prompt: 15, completion: 5 }, cost: 0.0001 }
	}
}
`)
}

// TestPromptfooItself compares what promptfoo has just written, in both of its forms.
// NIGHTSHIFT_PROMPTFOO is the program.
func TestPromptfooItself(t *testing.T) {
	program := os.Getenv("NIGHTSHIFT_PROMPTFOO")
	if program == "" {
		t.Skip("skipped: NIGHTSHIFT_PROMPTFOO does not say where promptfoo is")
	}
	w := &workspace{dir: t.TempDir()}
	for name, text := range promptfooFiles {
		w.write(t, name, text)
	}
	c := exec.CommandContext(t.Context(), program, "eval", "--no-cache", "-o", "out.json", "-o", "out.jsonl")
	c.Dir, c.Env = w.dir, append(os.Environ(), "PROMPTFOO_DISABLE_TELEMETRY=1", "PROMPTFOO_DISABLE_UPDATE=1",
		"PROMPTFOO_CONFIG_DIR="+filepath.Join(w.dir, "config"), "PROMPTFOO_FAILED_TEST_EXIT_CODE=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("promptfoo: %v\n%s", err, out)
	}
	for _, name := range []string{"out.json", "out.jsonl"} {
		text := spaced(string(succeeds(t, "compare", filepath.Join(w.dir, name))))
		for _, want := range []string{"3 items", "good = custom:good", "sum score 95 % interval scored/total",
			"good 1.000 0.319 – 1.000 3/3", "bad 0.667 0.108 – 0.989 3/3", "$0.0003"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the comparison lacks %q:\n%s", name, want, text)
			}
		}
	}
}
