package scorers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/fsx"
)

type commandParams struct {
	Argv       []string `json:"argv" required:"true" doc:"program and arguments; no shell is involved"`
	Timeout    float64  `json:"timeout" doc:"seconds for one answer, then the program and its children are killed"`
	CPUSeconds int      `json:"cpu_seconds" doc:"processor time of the program before it is started anew; 0 is no limit"`
	MemoryMB   int      `json:"memory_mb" doc:"address space; 0 is no limit"`
	FileMB     int      `json:"file_mb" doc:"size of a file that it writes; 0 is no limit"`
	Network    bool     `json:"network" doc:"leave the network on; without it the program has none (Linux)"`
}

// A Command scores by a program of the user's. The program reads one JSON
// request per line and answers each with one line (wrapped here):
//
//	{"n": 1, "id": "q7", "output": "…", "target": "…", "input": "…", "tool_calls": […],
//	 "stop_reason": "end", "metadata": {…}}
//	{"value": 0.5, "status": "scored", "answer": "…", "explanation": "…",
//	 "parts": [{"name": "style", "value": 1, "weight": 1}]}
//
// Only value is required; null is no score. A reply may repeat n; one that
// repeats another n is an error. The program runs in a directory of its own,
// with PATH, HOME, TMPDIR and LANG for an environment, under limits, and
// without network unless the plan turns that on. That keeps accidents small;
// it is no sandbox for hostile code. To run generated code, let the program be
// one.
type Command struct {
	base
	p commandParams
	// Dir is where relative paths among the arguments start, such as the
	// plan's folder; empty is the working directory.
	Dir string
}

// errCommandsOff is returned for command scorers that were not allowed.
var errCommandsOff = errors.New("command scorers run a program of yours and are off unless allowed explicitly")

// NewCommand builds a scorer of type command. allowed must come from the
// person who runs the plan, not from the plan.
func NewCommand(spec Spec, allowed bool) (*Command, error) {
	c, err := buildAs[*Command](spec)
	if err == nil && !allowed {
		return nil, fmt.Errorf("scorer %s: %w", c.name, errCommandsOff)
	}
	return c, err
}

func newCommand(b base, p commandParams) (*Command, error) {
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return nil, errors.New("argv: no program given")
	}
	if !(p.Timeout > 0) || p.CPUSeconds < 0 || p.MemoryMB < 0 || p.FileMB < 0 {
		return nil, errors.New("want a timeout above 0 and limits of 0 or more")
	}
	return &Command{base: b, p: p}, nil
}

// Start makes a Program ready; it starts with the first answer.
func (c *Command) Start() (*Program, error) {
	argv, err := c.argv()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nightshift-scorer-")
	if err != nil {
		return nil, err
	}
	return &Program{command: c, argv: argv, dir: dir}, nil
}

// argv makes arguments that name existing files absolute, since the program
// runs elsewhere.
func (c *Command) argv() ([]string, error) {
	out := make([]string, len(c.p.Argv))
	for i, arg := range c.p.Argv {
		out[i] = arg
		path := filepath.Join(c.Dir, arg)
		if filepath.IsAbs(arg) || arg == "" || i == 0 && !strings.ContainsRune(arg, filepath.Separator) {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			if out[i], err = filepath.Abs(path); err != nil {
				return nil, err
			}
		}
	}
	program, err := exec.LookPath(out[0])
	if err != nil {
		return nil, fmt.Errorf("scorer %s: %w", c.name, err)
	}
	out[0] = program
	return out, nil
}

// A Program is a running command. Score may be called from several goroutines;
// answers are scored one at a time.
type Program struct {
	command *Command
	argv    []string
	dir     string

	mu      sync.Mutex
	closed  bool
	process *process // nil when not running
	n       int
}

// Close ends the program and removes its directory.
func (p *Program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.stop()
	return os.RemoveAll(p.dir)
}

func (p *Program) stop() {
	if p.process != nil {
		p.process.kill()
		p.process = nil
	}
}

// Score scores one answer. A program that fails, or takes too long, leaves the
// answer unscored and is started anew for the next; an error means that no
// answer could be scored (the program does not start, ctx has ended).
func (p *Program) Score(ctx context.Context, a Answer, target *string) (Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return Result{}, errors.New("the command scorer is closed")
	}
	p.n++
	line, err := json.Marshal(newCommandRequest(p.n, a, target))
	if err != nil {
		return Result{}, err
	}
	fresh := p.process == nil
	reply, err := p.exchange(ctx, line)
	// One that had served other answers may have died of old age (its
	// processor time): this answer gets another chance.
	if errors.Is(err, errEnded) && !fresh {
		reply, err = p.exchange(ctx, line)
	}
	switch {
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	case errors.As(err, new(*startError)):
		return Result{}, err
	case err != nil:
		return unscored("%v", err), nil
	}
	r, err := readReply(reply, p.n)
	if err != nil {
		p.stop() // out of step: later replies could belong to other answers
		return unscored("%v", err), nil
	}
	return r, nil
}

type commandRequest struct {
	N          int                   `json:"n"`
	ID         string                `json:"id,omitempty"`
	Output     string                `json:"output"`
	Target     *string               `json:"target"`
	Input      string                `json:"input,omitempty"`
	ToolCalls  []nightshift.ToolCall `json:"tool_calls,omitempty"`
	StopReason nightshift.StopReason `json:"stop_reason,omitempty"`
	Metadata   json.RawMessage       `json:"metadata,omitempty"`
}

func newCommandRequest(n int, a Answer, target *string) commandRequest {
	r := commandRequest{N: n, ID: a.ID, Output: a.Text, Target: target, Input: a.Input, ToolCalls: a.ToolCalls,
		StopReason: a.StopReason}
	if json.Valid([]byte(a.Metadata)) {
		r.Metadata = json.RawMessage(a.Metadata)
	}
	return r
}

// readReply checks what a program says.
func readReply(line []byte, n int) (Result, error) {
	var reply struct {
		Result
		N *int `json:"n"`
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return Result{}, fmt.Errorf("the command's reply is not a result: %w", err)
	}
	if reply.N != nil && *reply.N != n {
		return Result{}, fmt.Errorf("the command replied to request %d, not to %d", *reply.N, n)
	}
	r := reply.Result
	if r.Value != nil && !(*r.Value >= 0 && *r.Value <= 1) {
		return Result{}, fmt.Errorf("the command's value %v is not in 0..1", *r.Value)
	}
	for _, part := range r.Parts {
		if part.Name == "" || !(part.Value >= 0 && part.Value <= 1) || !(part.Weight >= 0) {
			return Result{}, fmt.Errorf("the command's part %q is not in 0..1", shorten(part.Name))
		}
	}
	if r.Status == "" {
		r.Status = nightshift.Scored
	}
	switch {
	case r.Status == nightshift.NoAnswer:
		zero := 0.0
		r.Value = &zero
	case r.Status == nightshift.Unscored || r.Status == nightshift.Scored && r.Value == nil:
		r.Value, r.Status = nil, nightshift.Unscored
	case r.Status != nightshift.Scored:
		return Result{}, fmt.Errorf("the command's status %q is not one of scored, no_answer, unscored", r.Status)
	}
	return r, nil
}

// exchange sends one line and waits for one. On any error the program is gone.
func (p *Program) exchange(ctx context.Context, line []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // nothing is started for an answer that nobody waits for
	}
	if p.process != nil && p.process.spoke() {
		p.stop() // it said something unasked: its replies are out of step
	}
	if p.process == nil {
		started, err := p.command.start(p.argv, p.dir)
		if err != nil {
			return nil, &startError{err}
		}
		p.process = started
	}
	timeout := time.NewTimer(time.Duration(p.command.p.Timeout * float64(time.Second)))
	defer timeout.Stop()
	sent := make(chan error, 1)
	stdin := p.process.stdin // stop may set p.process to nil before the writer begins
	go func() {
		_, err := stdin.Write(append(line, '\n'))
		sent <- err
	}()
	var reply []byte
	var err error
	select {
	case got := <-p.process.lines:
		reply, err = got.line, got.err
	case <-timeout.C:
		err = fmt.Errorf("the command took longer than %v s", p.command.p.Timeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		ended := p.process
		p.stop()
		<-sent // the pipe is closed: the writer cannot hang
		return nil, ended.describe(err)
	}
	if err := <-sent; err != nil {
		p.stop()
		return nil, fmt.Errorf("the command replied before it had read the request: %w", err)
	}
	return reply, nil
}

// A startError says that the program could not be started.
type startError struct{ err error }

func (e *startError) Error() string { return "starting the command: " + e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// errEnded says that the program ended without a reply.
var errEnded = errors.New("the command ended without a reply")

// longestReply is what one reply may be long; a program that writes more is
// not speaking the protocol.
const longestReply = 1 << 20

// A process is one run of the program.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Closer
	lines  chan replyLine
	quit   chan struct{} // closed by kill: nobody takes lines any more
	done   chan struct{} // closed when the reader has ended
	stderr tail
}

type replyLine struct {
	line []byte
	err  error
}

func (c *Command) start(argv []string, dir string) (*process, error) {
	argv = c.limited(argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8"}
	cmd.WaitDelay = time.Second // a grandchild may hold stderr open
	p := &process{cmd: cmd, lines: make(chan replyLine), quit: make(chan struct{}), done: make(chan struct{})}
	cmd.Stderr = &p.stderr
	if err := fsx.Confine(cmd, c.p.Network); err != nil {
		return nil, err
	}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fsx.ExplainStart(err, c.p.Network)
	}
	p.stdout = stdout
	go p.read(stdout)
	return p, nil
}

// limited wraps the program in a shell that sets its limits and then becomes
// the program: a process can lower its own limits only.
func (c *Command) limited(argv []string) []string {
	script := "ulimit -c 0"
	for _, l := range []struct {
		flag  string
		value int
	}{{"-t", c.p.CPUSeconds}, {"-v", c.p.MemoryMB * 1024}, {"-f", c.p.FileMB * 2048}} {
		if l.value > 0 {
			script += fmt.Sprintf(" && ulimit %s %d", l.flag, l.value)
		}
	}
	return append([]string{"/bin/sh", "-c", script + ` && exec "$@"`, "sh"}, argv...)
}

// read hands out lines until the program ends, closes its output or is killed.
func (p *process) read(stdout io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 0, 4096), longestReply)
	for lines.Scan() {
		if !p.hand(replyLine{line: bytes.Clone(lines.Bytes())}) {
			return
		}
	}
	err := errEnded
	if lines.Err() != nil {
		err = fmt.Errorf("reading the command's reply: %w", lines.Err())
	}
	p.hand(replyLine{err: err})
}

func (p *process) hand(l replyLine) bool {
	select {
	case p.lines <- l:
		return true
	case <-p.quit:
		return false
	}
}

// spoke reports whether a line, or the end, has come unasked.
func (p *process) spoke() bool {
	select {
	case <-p.lines:
		return true
	default:
		return false
	}
}

// kill ends the program and all it started, and waits for its end.
func (p *process) kill() {
	close(p.quit)
	fsx.KillGroup(p.cmd)
	p.stdin.Close()
	p.stdout.Close() // a child that left the group may hold the other end
	<-p.done
	_ = p.cmd.Wait() // how a killed program ended is of no interest
}

// describe adds what the program wrote to standard error. The program must
// have ended.
func (p *process) describe(err error) error {
	if said := strings.TrimSpace(p.stderr.String()); said != "" {
		return fmt.Errorf("%w; it wrote: %s", err, said)
	}
	return err
}

// A tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailLength = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if over := len(t.last) - tailLength; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.last), "\uFFFD")
}

func init() {
	register("command", OfCommand, "1", "a program of yours scores the answer; off unless allowed",
		commandParams{Argv: []string{}, Timeout: 30, CPUSeconds: 600, MemoryMB: 4096, FileMB: 256}, newCommand)
}
