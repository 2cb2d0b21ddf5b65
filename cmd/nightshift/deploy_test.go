//go:build unix

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deployed is a file below deploy/.
func deployed(t *testing.T, name string) (path, text string) {
	t.Helper()
	path = filepath.Join(repository(t), "deploy", name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(b)
}

// stage is a directory of stand-ins that come first in the PATH.
func stage(t *testing.T, programs map[string]string) (env []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(mustBinary(t), filepath.Join(dir, "nightshift")); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
}

// The Slurm script is played as two tasks of an array would: each starts a model
// server by srun and a worker that alone reaches it. All rows are answered; a task
// ends well with the run.
func TestSlurmScript(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	script, _ := deployed(t, "slurm/workers.sbatch")
	if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := slurmSite(t, 40)
	first := freeTasks(t)
	var tasks []*exec.Cmd
	var said []*bytes.Buffer
	for i := range 2 {
		cmd := c.slurmTask(script, first+i)
		out := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		tasks, said = append(tasks, cmd), append(said, out)
		t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	}
	if code := c.hub.wait(t); code != exitOK {
		t.Fatalf("the hub ended with %d: %s", code, c.hub.errs.String())
	}
	well := 0
	for i, task := range tasks {
		_ = task.Wait()
		switch code := task.ProcessState.ExitCode(); code {
		case exitOK:
			well++
		case exitStopped: // it came when the others had done everything, and gave up
		default:
			t.Errorf("task %d: %d\n%s", i, code, said[i].String())
		}
	}
	if well == 0 {
		t.Errorf("no task has ended well: %s", said)
	}
	if n := len(c.d.records(t)); n != len(c.d.prompts) {
		t.Errorf("%d records", n)
	}
}

// A task whose model server ends gives its place back, and one that is told to end
// drains and ends its server.
func TestSlurmTaskEnds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	script, _ := deployed(t, "slurm/workers.sbatch")
	c := slurmSite(t, 4)
	c.hub.cmd.Process.Kill() // its workers wait for it to come back
	run := func(serve string) (*exec.Cmd, *lockedBuffer) {
		cmd, out := c.slurmTask(script, freeTasks(t)), &lockedBuffer{}
		cmd.Env = append(cmd.Env, "SERVE="+serve)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		return cmd, out
	}
	cmd, out := run("true")
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "the model server has ended") {
		t.Errorf("a task whose server has ended: %v\n%s", err, out.String())
	}
	cmd, out = run("serve-model")
	for !strings.Contains(out.String(), "looking for the hub") {
		asleep(50 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.Contains(out.String(), "the model server has ended") {
		t.Errorf("a task that is told to end: %v\n%s", err, out.String())
	}
}

// slurmTask is one task of the array, with a simulator as its model server.
func (c *site) slurmTask(script string, task int) *exec.Cmd {
	srun := `#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done   # options of srun
exec "$@"
`
	serve := `#!/bin/sh
# MODEL --host HOST --port PORT
exec nightshift simulate --addr "$3:$5"
`
	cmd := exec.Command("bash", script)
	cmd.Env = append(stage(c.t, map[string]string{"srun": srun, "serve-model": serve}),
		"SLURM_ARRAY_TASK_ID="+fmt.Sprint(task), "RUN="+c.d.out, "JOIN="+filepath.Join(c.d.dir, "join", "worker.join"),
		"MODEL=sim-large", "SERVE=serve-model", "GIVE_UP=5s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// freeTasks is the number of a task whose port is free, as is the next one's. The
// script's ports are 8000 and the task's number.
func freeTasks(t *testing.T) int {
	t.Helper()
	free := func(task int) bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 8000+task))
		if err == nil {
			l.Close()
		}
		return err == nil
	}
	for range 1000 {
		if task := rand.IntN(999); free(task) && free(task+1) {
			return task
		}
	}
	t.Fatal("no ports from 8000 to 8999 are free")
	return 0
}

// slurmSite is a hub whose plan has one endpoint, that nobody reaches but workers
// with a server of their own.
func slurmSite(t *testing.T, rows int) *site {
	t.Helper()
	d := newTable(t, rows, "", "")
	text := `version: 1
name: slurm
dataset: {path: data.jsonl}
models: [{name: m, endpoint: local, model: sim-large, params: {max_tokens: 50}}]
endpoints:
  local: {protocol: chat, base_url: "http://127.0.0.1:9/v1", auth: none}
out: out
`
	if err := os.WriteFile(d.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newSite(t, nil, d, 2*time.Second, 0)
	for { // it listens: from now on a worker that finds no hub may give up
		if probe, err := net.Dial("tcp", c.address); err == nil {
			probe.Close()
			return c
		}
		asleep(50 * time.Millisecond)
	}
}

// The units are what systemd takes, where it is there to ask.
func TestSystemdUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not there")
	}
	help, err := exec.Command(mustBinary(t), "run", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	more, err := exec.Command(mustBinary(t), "work", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nightshift-hub@.service", "nightshift-worker.service"} {
		_, text := deployed(t, "systemd/"+name)
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(text[strings.Index(text, "ExecStart="):], -1) {
			if !strings.Contains(string(help)+string(more), flag+" ") {
				t.Errorf("%s: there is no %s", name, flag)
			}
		}
		// Where it would be installed nothing is: the unit is looked at with the program of this test.
		unit := filepath.Join(t.TempDir(), name)
		text = strings.ReplaceAll(text, "/usr/local/bin/nightshift", mustBinary(t))
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// What the Dockerfile makes is enough for the program: it runs as the image's
// user with nothing else in its root. Building the image itself needs Docker.
func TestImage(t *testing.T) {
	_, text := deployed(t, "Dockerfile")
	mod, err := os.ReadFile(filepath.Join(repository(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	for _, want := range []string{"FROM golang:" + version + " AS build", "CGO_ENABLED=0", "FROM scratch",
		"USER 65532:65532", `ENTRYPOINT ["/nightshift"]`} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
	if os.Geteuid() != 0 || os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("an empty root needs root, and a program built without C; set NIGHTSHIFT_LONG=1")
	}
	root := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(root, "nightshift"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, dir := range []string{"tmp", "runs"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(root, dir), 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "rows.jsonl"), []byte(`{"prompt":"What is 1 + 1?"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/nightshift", "run", "--dataset", "/rows.jsonl", "--model", "simulator/sim-large", "--max-tokens",
		"20", "--out", "/runs/first", "--progress", "none")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in an empty root: %v\n%s", err, out)
	}
}
