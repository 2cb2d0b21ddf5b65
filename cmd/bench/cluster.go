package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"nightshift/internal/words"
	"nightshift/providers/simulator"
)

// cluster measures runs whose requests workers send.
func (b *bench) cluster(ctx context.Context) ([]figure, error) {
	var all []figure
	for _, part := range []func(context.Context) ([]figure, error){b.hubCost, b.manyServers, b.hubRestart} {
		figures, err := part(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

// A site is a hub's address and the files by which workers know it.
type site struct {
	b       *bench
	address string
	dir     string
	workers []*exec.Cmd
}

func (b *bench) newSite(ctx context.Context) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{b: b, address: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(b.dir, "site-*"); err != nil {
		return nil, err
	}
	_, err = output(ctx, b.program, "join-key", "--host", s.address, "--dir", s.join())
	return s, err
}

func (s *site) join() string { return filepath.Join(s.dir, "join") }
func (s *site) out() string  { return filepath.Join(s.dir, "out") }

// worker starts one; it ends with the run, or with the site.
func (s *site) worker(ctx context.Context, more ...string) error {
	name := fmt.Sprint("w", len(s.workers))
	args := []string{"work", filepath.Join(s.join(), "worker.join"), "--name", name, "--spool", filepath.Join(s.dir, name)}
	c := exec.CommandContext(ctx, s.b.program, append(args, more...)...)
	s.workers = append(s.workers, c)
	return c.Start()
}

func (s *site) end() {
	for _, c := range s.workers {
		_ = errors.Join(c.Process.Kill(), c.Wait()) // those that have ended are not killed
	}
}

// hubArgs are those of the run that the workers send for.
func (s *site) hubArgs(url, rows string, concurrency int, more ...string) []string {
	return append(append(runArgs(chatPath, url, rows, s.out(), concurrency), "--listen", s.address, "--join", s.join(),
		"--no-local"), more...)
}

// hubCost compares the processor time of a hub with that of a process that sends
// by itself, in turn.
func (b *bench) hubCost(ctx context.Context) ([]figure, error) {
	url, end, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	rows, n := b.path("cluster.jsonl"), b.rows/2
	if err := writeRows(rows, n, 1000); err != nil {
		return nil, err
	}
	var figures []figure
	for _, c := range []struct {
		what string
		more []string
		aim  float64
	}{{"plain", nil, 1}, {"streamed", []string{"--stream"}, 0.4}} {
		var alone, hub []usage
		for range b.pairs {
			out := b.path("alone")
			u, err := run(ctx, b.program, append(runArgs(chatPath, url, rows, out, concurrency), c.more...)...)
			if err != nil {
				return nil, err
			}
			os.RemoveAll(out)
			alone = append(alone, u)
			if u, err = b.throughWorkers(ctx, url, rows, c.more); err != nil {
				return nil, err
			}
			hub = append(hub, u)
		}
		per := func(us []usage) float64 {
			return float64(median(us, func(u usage) time.Duration { return u.cpu }).Microseconds()) / float64(n)
		}
		ratio := per(hub) / per(alone)
		figures = append(figures, figure{name: "processor time of a hub for a row, two workers, " + c.what,
			measured: fmt.Sprintf("%.0f µs", per(hub)), floor: fmt.Sprintf("%.0f µs, alone", per(alone)),
			ratio: fmt.Sprintf("%.2f", ratio), reach: "≤ 1", aim: fmt.Sprintf("≤ %v", c.aim), reached: ratio <= 1})
	}
	return figures, nil
}

// throughWorkers is a run with two workers; what the hub took is returned.
func (b *bench) throughWorkers(ctx context.Context, url, rows string, more []string) (usage, error) {
	s, err := b.newSite(ctx)
	if err != nil {
		return usage{}, err
	}
	defer s.end()
	for range 2 {
		if err := s.worker(ctx); err != nil {
			return usage{}, err
		}
	}
	return run(ctx, b.program, s.hubArgs(url, rows, concurrency, more...)...)
}

// serverRate is what each of many servers lets through in a second.
const serverRate = 100

// manyServers gives each worker a server of its own with a rate limit, and sees
// whether more of them do as much more.
func (b *bench) manyServers(ctx context.Context) (figures []figure, err error) {
	const seconds = 20
	one := 0.0
	for _, n := range []int{1, 2, 4, 8} {
		rate, err := b.rateOf(ctx, n, n*serverRate*seconds)
		if err != nil {
			return nil, err
		}
		if n == 1 {
			one = rate
		}
		ratio := rate / (float64(n) * one)
		name := fmt.Sprintf("%s, each with a server of %d requests/s", words.Counted(int64(n), "worker"), serverRate)
		figures = append(figures, figure{name: name,
			measured: fmt.Sprintf("%.0f requests/s", rate),
			floor:    fmt.Sprintf("%.0f requests/s, %d times one", float64(n)*one, n),
			ratio:    fmt.Sprintf("%.3f", ratio), reach: "≥ 0.95", reached: ratio >= 0.95})
	}
	return figures, nil
}

// rateOf is how many requests a second many servers get while the run is at full
// speed: between the tenth part of n and nine tenths, so that neither its start
// nor its report is in it.
func (b *bench) rateOf(ctx context.Context, workers, n int) (perSecond float64, err error) {
	s, err := b.newSite(ctx)
	if err != nil {
		return 0, err
	}
	defer s.end()
	urls := make([]string, workers)
	for i := range urls {
		url, end, err := b.server(ctx, "-latency", "base=200ms",
			"-limits", fmt.Sprintf("requests=%d,burst=1s", 60*serverRate))
		if err != nil {
			return 0, err
		}
		defer end()
		if err := s.worker(ctx, "--endpoint", "openai="+url+"/v1"); err != nil {
			return 0, err
		}
		urls[i] = url
	}
	rows := b.path("cluster.jsonl")
	if err := writeRows(rows, n, 60); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, b.program, s.hubArgs("http://127.0.0.1:9", rows, 50*workers)...)
		ended <- err
	}()
	perSecond, err = rateBetween(ctx, urls, int64(n/10), int64(n*9/10))
	return perSecond, errors.Join(err, <-ended)
}

// rateBetween waits until servers have received so many requests, and then so many,
// and says how fast they came.
func rateBetween(ctx context.Context, urls []string, from, to int64) (perSecond float64, err error) {
	received := map[string]int64{}
	var first int64
	var begun time.Time
	for {
		sum := int64(0)
		for _, url := range urls {
			err := awaitLedger(ctx, url, func(l simulator.Ledger) bool {
				received[url] = l.Received - l.Refused
				return true
			})
			if err != nil {
				return 0, err
			}
			sum += received[url]
		}
		switch now := time.Now(); {
		case begun.IsZero() && sum >= from:
			first, begun = sum, now
		case sum >= to:
			return float64(sum-first) / now.Sub(begun).Seconds(), nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hubRestart kills a hub with eight workers and measures how long the next takes
// until a request of its own arrives.
func (b *bench) hubRestart(ctx context.Context) ([]figure, error) {
	url, end, err := b.server(ctx, "-latency", "base=500ms")
	if err != nil {
		return nil, err
	}
	defer end()
	s, err := b.newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	for range 8 {
		if err := s.worker(ctx); err != nil {
			return nil, err
		}
	}
	rows, n := b.path("cluster.jsonl"), 200_000
	if err := writeRows(rows, n, 60); err != nil {
		return nil, err
	}
	hub := func() (*exec.Cmd, error) {
		c := exec.CommandContext(ctx, b.program, s.hubArgs(url, rows, 1000)...)
		return c, c.Start()
	}
	var took []usage
	last := int64(0)
	for i := range b.pairs + 1 {
		begun := time.Now()
		c, err := hub()
		if err != nil {
			return nil, err
		}
		if err := awaitLedger(ctx, url, func(l simulator.Ledger) bool { return l.Received > last }); err != nil {
			return nil, err
		}
		if i > 0 { // the first waits for the workers' first tries
			took = append(took, usage{wall: time.Since(begun)})
		}
		err = awaitLedger(ctx, url, func(l simulator.Ledger) bool { return l.Received > last+2000 })
		_ = errors.Join(c.Process.Kill(), c.Wait()) // a kill is what this is about
		if err == nil {
			err = awaitLedger(ctx, url, func(l simulator.Ledger) bool { last = l.Received; return l.InFlight == 0 })
		}
		if err != nil {
			return nil, err
		}
	}
	wall := median(took, func(u usage) time.Duration { return u.wall })
	return []figure{{name: "restart of a killed hub to its next request, 8 workers with 1,000 in flight",
		measured: fmt.Sprintf("%.1f s", wall.Seconds()), reach: "≤ 3 s", reached: wall <= 3*time.Second}}, nil
}

// awaitLedger asks a server until its ledger is as wanted.
func awaitLedger(ctx context.Context, url string, is func(simulator.Ledger) bool) error {
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ledger", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var l simulator.Ledger
		err = errors.Join(json.NewDecoder(resp.Body).Decode(&l), resp.Body.Close())
		if err != nil {
			return err
		}
		if is(l) {
			return nil
		}
	}
	return errors.New("the server did not get as far within a minute")
}
