package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"nightshift/internal/fsx"
	"nightshift/providers/simulator"
)

// roles are what this binary does as a child of itself.
var roles = map[string]func(args []string) error{
	"serve":   serve,
	"canned":  canned,
	"floor":   floor,
	"instant": instant,
}

// usage is what a child took.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system
	rss  int64         // most resident memory, in bytes
}

// run runs a child to its end. What it says on standard error becomes part of
// the error.
func run(ctx context.Context, name string, args ...string) (usage, error) {
	c := exec.CommandContext(ctx, name, args...)
	var said bytes.Buffer
	c.Stderr = &said
	begun := time.Now()
	err := c.Run()
	u := usage{wall: time.Since(begun)}
	if err != nil {
		return u, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said.String())
	}
	u.cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	u.rss = fsx.MostMemory(c.ProcessState)
	return u, nil
}

// output is what a command prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	b, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, b)
	}
	return string(b), nil
}

// serve is the role of the server: the simulator, until standard input ends.
func serve(args []string) error {
	f := flag.NewFlagSet("serve", flag.ExitOnError)
	latency := f.String("latency", "", "as `nightshift simulate` takes it")
	limits := f.String("limits", "", "as `nightshift simulate` takes it")
	cache := f.String("cache", "", "as `nightshift simulate` takes it")
	_ = f.Parse(args) // exits on error
	var c simulator.Config
	c.MaxLedger = -1
	if *limits != "" {
		var err error
		if c.Limits, err = simulator.ParseLimits(*limits); err != nil {
			return err
		}
	}
	if *latency != "" {
		var err error
		if c.Latency, err = simulator.ParseLatency(*latency); err != nil {
			return err
		}
	}
	var err error
	if c.Cache, err = simulator.ParseCache(*cache); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	s := simulator.New(c)
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		s.Close()
	}()
	_ = s.Serve(l) // ends when it is closed
	return nil
}

// server starts a child that serves models; end stops it.
func (b *bench) server(ctx context.Context, args ...string) (url string, end func(), err error) {
	return b.serverAs(ctx, "serve", args...)
}

// serverAs is server in one of the roles that serve.
func (b *bench) serverAs(ctx context.Context, role string, args ...string) (url string, end func(), err error) {
	c := exec.CommandContext(ctx, b.self, append([]string{role}, args...)...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	end = func() { _ = errors.Join(in.Close(), c.Wait()) }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		end()
		return "", nil, fmt.Errorf("the server did not start: %w", err)
	}
	return strings.TrimSpace(line), end, nil
}
