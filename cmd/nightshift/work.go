package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/runner/cluster/join"
	"nightshift/runner/cluster/protocol"
	"nightshift/runner/cluster/worker"
	"nightshift/runner/session"
)

// workersFlags are the flags of a run whose requests workers send.
type workersFlags struct {
	listen    string
	join      string
	noLocal   bool
	allowSkew bool
	silence   time.Duration
	beat      time.Duration
}

func (f *workersFlags) add(s *pflag.FlagSet) {
	s.StringVar(&f.listen, "listen", "",
		"let workers on other machines send the requests: listen for them on this `ADDRESS` "+
			"(host:port)")
	s.StringVar(&f.join, "join", "",
		"with --listen: `DIR` with the files of nightshift join-key (default: join in the run "+
			"directory, made if missing)")
	s.BoolVar(&f.noLocal, "no-local", false, "with --listen: this process sends nothing itself")
	s.BoolVar(&f.allowSkew, "allow-skew", false, "with --listen: take workers of another version")
	s.DurationVar(&f.silence, "worker-silence", 2*time.Minute,
		"with --listen: give up a worker that says nothing for so long")
	addBeat(s, &f.beat)
}

// addBeat adds a flag for tests: all times of the protocol are so many beats.
func addBeat(s *pflag.FlagSet, beat *time.Duration) {
	s.DurationVar(beat, "beat", worker.Beat, "how often a worker says that it is there; the same on hub and workers")
	_ = s.MarkHidden("beat") // it exists
}

func (f *workersFlags) validate() error {
	if f.listen == "" && (f.join != "" || f.noLocal || f.allowSkew) {
		return usageError("--join, --no-local and --allow-skew go with --listen")
	}
	if least := session.LeastSilence(f.beat); f.silence < least {
		return usageError("--worker-silence: at least %s: a worker may begin requests for nearly so long", least)
	}
	return nil
}

func (f *workersFlags) session() *session.Workers {
	if f.listen == "" {
		return nil
	}
	return &session.Workers{Listen: f.listen, Join: f.join, Local: !f.noLocal, AllowSkew: f.allowSkew,
		Silence: f.silence, Beat: f.beat}
}

func (a *app) joinKeyCommand() *cobra.Command {
	var host, dir string
	c := &cobra.Command{
		Use:   "join-key --host HOST:PORT",
		Short: "Make the files by which a run and its workers know each other",
		Long: `Writes two files of mode 0600: hub.key for nightshift run --listen, and
worker.join for nightshift work. Hub and worker show each other their
certificates and talk to nobody else; no certificate authority is needed.
Whoever has worker.join can take requests of the run and answer them: copy it as
you would copy a private key.`,
		Example: `  nightshift join-key --host vm1.example:7420 --dir join
  nightshift run tonight.yaml --listen 0.0.0.0:7420 --join join`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if host == "" {
				return usageError("--host is missing: the address at which workers reach the hub, as host:port")
			}
			if err := join.Make(dir, host); err != nil {
				return usageError("%w", err)
			}
			_, err := fmt.Fprintf(a.out, "%s\n%s\n", filepath.Join(dir, join.HubFile), filepath.Join(dir, join.WorkerFile))
			return err
		},
	}
	c.Flags().StringVar(&host, "host", "", "`HOST:PORT` at which workers reach the hub")
	c.Flags().StringVar(&dir, "dir", "join", "`DIR` for the files")
	return c
}

// workFlags are the flags of `work`.
type workFlags struct {
	name          string
	hub           string
	slots         int
	spool         string
	endpoints     []string
	wait          time.Duration
	grace         time.Duration
	giveUp        time.Duration
	allowSkew     bool
	allowCommands bool
	verbose       bool
	beat          time.Duration
}

func (a *app) workCommand() *cobra.Command {
	var f workFlags
	c := &cobra.Command{
		Use:   "work JOINFILE",
		Short: "Send requests for a run on another machine, with this machine's keys",
		Long: `Connects to the hub of a run (nightshift run --listen) and sends requests for
it, with the keys in this process's environment. Workers may come and go at any
time. Answers are kept in the spool until the hub has them on record; start a
worker again with the same spool after a crash, and no answer is lost.

SIGTERM or Ctrl-C drains: nothing new is taken, what is in flight is finished
within --grace and reported, and then the process ends. It also ends when the run
has ended.`,
		Example: `  ANTHROPIC_API_KEY=… nightshift work worker.join
  nightshift work worker.join --name gpu-7 --endpoint local=http://127.0.0.1:8000/v1`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.work(c.Context(), &f, args[0]) },
	}
	s := c.Flags()
	s.StringVar(&f.name, "name", "", "this worker's `NAME`, unique in the run (default: the host's name)")
	s.StringVar(&f.hub, "hub", "", "`HOST:PORT` of the hub, in place of the join file's")
	s.IntVar(&f.slots, "slots", 256, "most requests in flight")
	s.StringVar(&f.spool, "spool", "", "`DIR` for answers that are not on record yet (default: nightshift-spool-NAME)")
	s.StringArrayVar(&f.endpoints, "endpoint", nil,
		"`NAME=URL`: this worker reaches the plan's endpoint NAME at URL, and nobody else does; may be repeated")
	s.DurationVar(&f.wait, "wait-for-endpoint", 0, "wait so long for the servers of --endpoint to listen")
	s.DurationVar(&f.grace, "grace", time.Minute, "how long a drain waits for what is in flight")
	s.DurationVar(&f.giveUp, "give-up", 0, "end when no hub was reached for so long (0: wait for ever)")
	s.BoolVar(&f.allowSkew, "allow-skew", false, "work for a hub of another version")
	s.BoolVar(&f.allowCommands, "allow-commands", false, "run the programs that the plan names to print keys")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log every try to connect")
	addBeat(s, &f.beat)
	return c
}

func (f *workFlags) options() (worker.Options, error) {
	o := worker.Options{Name: f.name, Slots: f.slots, Spool: f.spool, Version: version(), AllowSkew: f.allowSkew,
		AllowCommands: f.allowCommands, GiveUp: f.giveUp, Beat: f.beat, Private: map[string]string{}}
	if o.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return o, usageError("--name is missing, and the host has none: %w", err)
		}
		o.Name = host
	}
	if o.Spool == "" {
		o.Spool = "nightshift-spool-" + filepath.Base(filepath.Clean(o.Name))
	}
	if f.slots < 1 {
		return o, usageError("--slots: at least 1")
	}
	for _, e := range f.endpoints {
		name, url, ok := strings.Cut(e, "=")
		if !ok || name == "" || !strings.Contains(url, "://") {
			return o, usageError("--endpoint %s: write NAME=URL, such as local=http://127.0.0.1:8000/v1", e)
		}
		o.Private[name] = url
	}
	return o, nil
}

func (a *app) work(ctx context.Context, f *workFlags, path string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	file, err := join.ReadWorker(path)
	if err != nil {
		return usageError("%w", err)
	}
	o.Dial = func(ctx context.Context) (net.Conn, error) { return file.Dial(ctx, f.hub) }
	log, _, err := (&talkFlags{logFormat: "text", verbose: f.verbose}).logger(a.err)
	if err != nil {
		return err
	}
	o.Log = log
	calls, waiting, release := interruptsWithin(ctx, f.grace, func(s string) { log.Warn(s) })
	defer release()
	if err := awaitServers(waiting, o.Private, f.wait); err != nil {
		return err
	}
	log.Info("looking for the hub", "name", o.Name, "hub", cmp.Or(f.hub, file.Address))
	return workError(worker.Run(calls, waiting, o))
}

// awaitServers waits until something listens at each of these URLs.
func awaitServers(ctx context.Context, urls map[string]string, most time.Duration) error {
	deadline := time.Now().Add(most)
	for name, url := range urls {
		for {
			err := worker.Listens(ctx, url)
			if err == nil || most == 0 {
				break
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return usageError("--endpoint %s: nothing listens at %s after %s: %w", name, url, most, err)
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// workError gives the end of a worker its exit code.
func workError(err error) error {
	var refused *protocol.Refusal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, worker.ErrNameTaken):
		return &session.Error{Reason: session.Running, Err: err}
	case errors.Is(err, worker.ErrSpool):
		return &session.Error{Reason: session.Storage, Err: err}
	case errors.As(err, &refused):
		return usageError("%w", err)
	case errors.Is(err, worker.ErrNoHub), errors.Is(err, worker.ErrStillHolds):
		return &session.Error{Reason: session.Stopped, Err: err}
	}
	return err
}
