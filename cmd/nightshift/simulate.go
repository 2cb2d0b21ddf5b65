package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"nightshift/providers/simulator"
)

// simulateFlags are the settings of a served simulator, most in its own text
// form.
type simulateFlags struct {
	addr, config                       string
	latency, limits, neighbour, ledger string
	batches, cache                     string
	faults, outages, usage, keys       []string
	seed                               uint64
	answers                            string
	vary, strict                       bool
}

func (a *app) simulateCommand() *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Serve the simulator: a model server for load tests, with limits, faults and a ledger",
		Long: `Serves every protocol on a loopback port: deterministic answers, streams,
vectors, rate limits with the vendors' headers, injected faults, and GET /ledger,
which says what was asked, answered and billed. Files and batches are served too,
as OpenAI, Anthropic and Google have them; GET /ledger?rows=1 lists their rows.

` + faultsHelp(),
		Example: `  nightshift simulate --addr 127.0.0.1:8089
  nightshift simulate --faults mixed=5% --limits requests=600,burst=5s
  nightshift simulate --batches scale=8640,validate=1m,run=30m --faults create_error_made=5%
  nightshift simulate --latency base=200ms,per_token=5ms,jitter=0.4 --ledger ledger.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.simulate(c.Context(), &f) },
	}
	s := c.Flags()
	s.StringVar(&f.addr, "addr", "127.0.0.1:8089", "`ADDRESS` to serve at")
	s.StringVar(&f.config, "config", "", "settings as a JSON `FILE`; flags win over it")
	s.Uint64Var(&f.seed, "seed", 0, "seed of everything that is drawn")
	s.StringVar(&f.latency, "latency", "", "how long answers take: base=…,first=…,per_token=…,jitter=…,queue=…")
	s.StringVar(&f.limits, "limits", "",
		"rate limits: requests=…,input=…,output=…,tokens=…,concurrency=…,burst=…,charge=…,headers=…")
	s.StringArrayVar(&f.faults, "faults", nil, "faults: KIND=SHARE,… such as mixed=5% or "+
		"rate_limit=2%,cut_stream=1%; may be repeated")
	s.StringVar(&f.batches, "batches", "", "how batch APIs behave: scale=…,validate=…,run=…,cancel=…,window=…,queue=…,"+
		"retention=…,others=…,projects,shape=…; scale=8640 makes a day pass in 10 s")
	s.StringVar(&f.cache, "cache", "", "a prompt cache as vendors have: on,style=marker|automatic,minimum=…,block=…,"+
		"lifetime=…,servers=…")
	s.StringArrayVar(&f.outages, "outage", nil, "outage: LENGTH@START, such as 60s@120s; may be repeated")
	s.StringVar(&f.neighbour, "neighbour", "", "another client of the same limits: share=…,period=…,busy=…")
	s.StringArrayVar(&f.usage, "usage", nil, "odd ways to report usage; may be repeated")
	s.StringArrayVar(&f.keys, "key-env", nil, "accept only keys in these environment variables; may be repeated")
	s.StringVar(&f.answers, "answers", "", "answer from this JSONL `FILE`: prompts with their target, or with each "+
		"model's answer")
	s.BoolVar(&f.vary, "vary", false, "answer repeated questions differently")
	s.BoolVar(&f.strict, "strict", false, "refuse parameters that the vendors' models refuse")
	s.StringVar(&f.ledger, "ledger", "", "append one JSON line for each exchange to this `FILE`")
	return c
}

// faultsHelp lists what --faults takes.
func faultsHelp() string {
	kinds, mixes := simulator.FaultNames()
	return wrap("Faults: "+strings.Join(kinds, ", ")+". Mixes of them: "+strings.Join(mixes, ", ")+
		". docs/simulator.md says what those of batches do.", 80, 0)
}

func (a *app) simulate(ctx context.Context, f *simulateFlags) error {
	config, err := f.simulator(a)
	if err != nil {
		return err
	}
	if f.ledger != "" {
		file, err := os.OpenFile(f.ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return usageError("--ledger: %w", err)
		}
		defer file.Close()
		config.Log = file
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return usageError("--addr: %w", err)
	}
	server := simulator.New(config)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Fprintf(a.err, "serving models at http://%s (every protocol); ledger at http://%[1]s/ledger; "+
		"Ctrl-C ends it\n", listener.Addr())
	err = server.Serve(listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// simulator puts the settings together; all mistakes are reported at once.
func (f *simulateFlags) simulator(a *app) (simulator.Config, error) {
	var c simulator.Config
	var problems []error
	note := func(flag string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	if f.config != "" {
		b, err := os.ReadFile(f.config)
		note("config", err)
		if err == nil {
			c, err = simulator.ParseConfig(b)
			note("config", err)
		}
	}
	note("latency", parsed(f.latency, simulator.ParseLatency, &c.Latency))
	note("limits", parsed(f.limits, simulator.ParseLimits, &c.Limits))
	note("cache", parsed(f.cache, simulator.ParseCache, &c.Cache))
	note("batches", parsed(f.batches, simulator.ParseBatches, &c.Batches))
	if f.neighbour != "" {
		note("neighbour", c.Competitor.UnmarshalText([]byte(f.neighbour)))
	}
	for _, text := range f.faults {
		faults, err := simulator.ParseFaults(text)
		note("faults", err)
		c.Faults = append(c.Faults, faults...)
	}
	for _, text := range f.outages {
		var w simulator.Window
		note("outage", w.UnmarshalText([]byte(text)))
		c.Outages = append(c.Outages, w)
	}
	for _, name := range f.keys {
		if a.getenv(name) == "" {
			note("key-env", fmt.Errorf("%s is not set", name))
		}
		c.Keys = append(c.Keys, a.getenv(name))
	}
	c.AnswersFile = cmp.Or(f.answers, c.AnswersFile)
	note("answers", c.LoadAnswers("."))
	c.Usage = append(c.Usage, f.usage...)
	if f.seed != 0 {
		c.Seed = f.seed
	}
	c.Vary, c.Strict = c.Vary || f.vary, c.Strict || f.strict
	if len(problems) == 0 {
		note("config", c.Validate())
	}
	if len(problems) > 0 {
		return c, usageError("%w", errors.Join(problems...))
	}
	return c, nil
}

// parsed reads a setting in text form into place; an empty text changes
// nothing.
func parsed[T any](text string, parse func(string) (T, error), into *T) error {
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err == nil {
		*into = v
	}
	return err
}
