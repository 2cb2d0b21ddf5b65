package scorers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshift"
)

// program makes a command scorer of a shell script.
func program(t *testing.T, script string, params map[string]any) *Program {
	t.Helper()
	if params == nil {
		params = map[string]any{"network": true}
	}
	params["argv"] = []string{"sh", "-c", script}
	c, err := NewCommand(Spec{Type: "command", Params: params}, true)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestCommandIsOff(t *testing.T) {
	_, err := NewCommand(Spec{Type: "command", Params: map[string]any{"argv": []string{"true"}}}, false)
	if !errors.Is(err, errCommandsOff) {
		t.Errorf("NewCommand without leave = %v", err)
	}
	if err := Check(Spec{Type: "command", Params: map[string]any{"argv": []string{"true"}}}); err != nil {
		t.Errorf("a plan with a command scorer does not pass check: %v", err)
	}
}

// TestCommandProtocol: requests carry the answer, replies become results, and
// one process serves them all.
func TestCommandProtocol(t *testing.T) {
	p := program(t, `while read -r line; do
		n=$((n+1))
		case "$line" in
		*'"output":"half"'*) echo '{"value":0.5,"answer":"h","explanation":"'$n'","n":'$n'}';;
		*none*) echo '{"status":"no_answer"}';;
		*null*target*|*'"target":null'*) echo '{"value":null}';;
		*odd*) echo '{"value":7}';;
		*late*) echo '{"value":1,"n":99}';;
		*junk*) echo junk;;
		*) echo '{"value":1,"status":"scored","explanation":"'$n'"}';;
		esac
	done`, nil)
	target := "t"
	for _, tc := range []struct {
		text   string
		target *string
		status nightshift.ScoreStatus
		value  float64
		why    string
	}{
		{"half", &target, nightshift.Scored, 0.5, "1"},
		{"any", &target, nightshift.Scored, 1, "2"},
		{"none", &target, nightshift.NoAnswer, 0, ""},
		{"any", nil, nightshift.Unscored, -1, ""},
		{"odd", &target, nightshift.Unscored, -1, "not in 0..1"},
		{"any", &target, nightshift.Scored, 1, "1"}, // a new process after the error
		{"late", &target, nightshift.Unscored, -1, "replied to request 99"},
		{"junk", &target, nightshift.Unscored, -1, "not a result"},
		{"any", &target, nightshift.Scored, 1, "1"},
	} {
		r, err := p.Score(t.Context(), Answer{Text: tc.text}, tc.target)
		if err != nil || r.Status != tc.status || (r.Value == nil) != (tc.value < 0) || r.Value != nil &&
			*r.Value != tc.value || !strings.Contains(text(r.Explanation), tc.why) {
			t.Errorf("%s: %+v %s, %v; want %s %v %s", tc.text, r, text(r.Explanation), err, tc.status, tc.value, tc.why)
		}
	}
}

// TestCommandTimeout: the program and its children die, and the next answer
// gets a new one.
func TestCommandTimeout(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	p := program(t,
		`read -r line; case "$line" in *slow*) sleep 600 & echo $! > `+pid+`; wait;; *) echo '{"value":1}'; cat;; esac`,
		map[string]any{"network": true, "timeout": 3})
	r, err := p.Score(t.Context(), Answer{Text: "slow"}, nil)
	if err != nil || r.Status != nightshift.Unscored || !strings.Contains(text(r.Explanation), "longer than 3 s") {
		t.Fatalf("Score = %+v %s, %v", r, text(r.Explanation), err)
	}
	raw, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	child, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if !gone(child) {
		t.Errorf("the program's child %d is still alive", child)
	}
	if r, err := p.Score(t.Context(), Answer{Text: "quick"}, nil); err != nil || r.Value == nil || *r.Value != 1 {
		t.Errorf("after a timeout: %+v, %v", r, err)
	}
}

// gone waits for a process to vanish or to be a zombie.
func gone(pid int) bool {
	for range 100 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestCommandEnds(t *testing.T) {
	p := program(t, `echo "no license" >&2; exit 3`, nil)
	r, err := p.Score(t.Context(), Answer{}, nil)
	if err != nil || r.Status != nightshift.Unscored ||
		!strings.Contains(text(r.Explanation), "ended without a reply; it wrote: no license") {
		t.Errorf("Score = %+v %s, %v", r, text(r.Explanation), err)
	}
	// One that serves two answers and dies is started anew, unseen.
	p = program(t, `for i in 1 2; do read -r l; echo '{"value":1}'; done`, nil)
	for i := range 5 {
		if r, err := p.Score(t.Context(), Answer{}, nil); err != nil || r.Value == nil {
			t.Errorf("answer %d: %+v %s, %v", i, r, text(r.Explanation), err)
		}
	}
}

func TestCommandCancelled(t *testing.T) {
	p := program(t, `sleep 600`, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Score(ctx, Answer{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Score = %v", err)
	}
	p.Close()
	if _, err := p.Score(t.Context(), Answer{}, nil); err == nil {
		t.Error("a closed program scores")
	}
}

// TestCommandSurroundings: no secrets in the environment, a directory of its
// own that goes away, limits in force.
func TestCommandSurroundings(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-secret")
	p := program(t,
		`read -r l; echo '{"value":1,"answer":"'$(env | cut -d= -f1 | sort | tr '\n' ' ')'|'$(pwd)'|'$(ulimit -f)'|`+
			`'$(ulimit -t)'|'$(ulimit -c)'"}'`,
		map[string]any{"network": true, "file_mb": 1, "cpu_seconds": 7})
	r, err := p.Score(t.Context(), Answer{}, nil)
	if err != nil || r.Answer == nil {
		t.Fatalf("Score = %+v %s, %v", r, text(r.Explanation), err)
	}
	parts := strings.Split(*r.Answer, "|")
	for _, name := range strings.Fields(parts[0]) {
		switch name {
		case "PATH", "HOME", "TMPDIR", "LANG", "PWD", "OLDPWD", "SHLVL", "_":
		default:
			t.Errorf("the program sees %s", name)
		}
	}
	if !strings.Contains(parts[1], "nightshift-scorer-") || parts[2] != "2048" || parts[3] != "7" || parts[4] != "0" {
		t.Errorf("directory and limits: %v", parts[1:])
	}
	p.Close()
	if _, err := os.Stat(parts[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program's directory stays: %v", err)
	}
}

// TestCommandHasNoNetwork starts a program the default way. A system that
// cannot cut it off must refuse, not run it anyway.
func TestCommandHasNoNetwork(t *testing.T) {
	p := program(t,
		`read -r l; n=$(wc -l < /proc/net/route); lo=$(cat /sys/class/net/lo/operstate); echo '{"value":0,`+
			`"answer":"'$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | tr '\n' ' ')'"}'`, map[string]any{})
	r, err := p.Score(t.Context(), Answer{}, nil)
	if err != nil {
		if errors.Is(err, syscall.EPERM) || strings.Contains(err.Error(), "refuses to start it without a network") {
			t.Skipf("this system does not allow network namespaces: %v", err)
		}
		t.Fatal(err)
	}
	if got := strings.TrimSpace(text(r.Answer)); got != "lo" {
		t.Errorf("the program sees the interfaces %q", got)
	}
}

// TestCommandPaths: a script beside the plan is found although the program
// runs elsewhere.
func TestCommandPaths(t *testing.T) {
	dir := t.TempDir()
	script := "read -r l; echo '{\"value\":1}'\n"
	if err := os.WriteFile(filepath.Join(dir, "score.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewCommand(Spec{Type: "command", Params: map[string]any{"argv": []string{"sh", "score.sh"},
		"network": true}}, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Dir = dir
	p, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r, err := p.Score(t.Context(), Answer{}, nil); err != nil || r.Value == nil {
		t.Errorf("Score = %+v %s, %v", r, text(r.Explanation), err)
	}
	c, err = NewCommand(Spec{Type: "command", Params: map[string]any{"argv": []string{"no-such-program-here"}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Start = %v", err)
	}
}

// TestCommandInterrupted: answers whose context has ended start no program, and
// one whose context ends while it is sent neither races with the end of the
// program nor hangs. (The race detector sees what this is about.)
func TestCommandInterrupted(t *testing.T) {
	p := program(t, `cat >/dev/null`, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := p.Score(ended, Answer{Text: "a"}, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("Score with an ended context = %v", err)
		}
	}
	if p.process != nil {
		t.Error("a program was started for an answer that nobody waits for")
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := p.Score(ctx, Answer{Text: "a"}, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("Score = %v", err)
		}
	}
}
