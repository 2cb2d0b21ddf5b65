package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nightshift/internal/fsx"
	"nightshift/internal/testdata/waiting"
)

func TestMain(m *testing.M) {
	if os.Getenv(bubblePlan) != "" { // it needs no copy of the program, and leaves none
		os.Exit(m.Run())
	}
	testscript.Main(ownFolder{m}, map[string]func(){"nightshift": main})
}

// ownFolder runs tests in a folder of their own. Most of them wait for servers, so
// that more of them run at once than there are processors.
type ownFolder struct{ *testing.M }

func (t ownFolder) Run() int {
	dir, err := os.MkdirTemp(inMemory(), "nightshift-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("TMPDIR", dir)
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		os.Setenv("GOCACHE", filepath.Join(cache, "go-build")) // what is built is built with what is there
	}
	os.Setenv("XDG_CACHE_HOME", dir) // what is fetched from buckets does not go to the user's own
	waiting.AtOnce()
	return t.M.Run()
}

// inMemory is where files are in memory, if there is room: the tests sync thousands
// of small ones. Those of the store are on the disk.
func inMemory() string {
	const shm, needed = "/dev/shm", 4 << 30 // bytes; the tests take some hundred MB
	if free, err := fsx.FreeSpace(shm); err != nil || free < needed || os.Getenv("TMPDIR") != "" {
		return ""
	}
	return shm
}

// TestScripts types at the real command and reads what it answers. The exit
// code is part of every step: `exits 2 nightshift run …`.
func TestScripts(t *testing.T) {
	examples := filepath.Join(repository(t), "examples")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "ports": ports},
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Setenv("EXAMPLES", examples)
			return nil
		},
	})
}

// exits runs a command and requires its exit code; stdout and stderr are there
// for the script to look at.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %v", err)
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ports sets each of the variables that it is given to a free port of this
// machine: `ports HUB SERVER`.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
		defer l.Close() // not before all have one
	}
}

// repository is the root of the checkout, for tests that need its examples.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/../.."
}
