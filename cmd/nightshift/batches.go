package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/runner/session"
)

// batchesFlags are the flags of `batches`.
type batchesFlags struct {
	modelsFlags
	endpoint, fetch string
	since           time.Duration
	all             bool
}

func (a *app) batchesCommand() *cobra.Command {
	var f batchesFlags
	c := &cobra.Command{
		Use:   "batches --endpoint ENDPOINT",
		Short: "List the batches of runs that an endpoint has, also of runs whose directory is lost",
		Long: `Asks an endpoint for the batches of the account and prints those that runs have
made: id, run, shard, rows, state and age. ENDPOINT is a preset, an endpoint of the
plan that --plan names, or a URL. --fetch prints the results of one batch, as the
provider has them: what is left of a run whose directory is lost.

A run's own batches are found again by the run itself: the same command goes on.
Anthropic's batches have no names: they are told by their results, once they have
ended.

Exit codes: 0 listed, 2 the endpoint is not known or its key is not set, 4 the
endpoint does not answer.`,
		Example: `  nightshift batches --endpoint openai
  nightshift batches --endpoint anthropic --all --json | jq '.[].ID'
  nightshift batches --endpoint openai --fetch batch_68f3 > results.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.fetch != "" {
				return a.fetchBatch(c.Context(), f)
			}
			return a.listBatches(c.Context(), f)
		},
	}
	s := c.Flags()
	s.StringVar(&f.endpoint, "endpoint", "", "preset, endpoint of the plan, or URL")
	s.StringVar(&f.plan, "plan", "", "`PLAN` whose endpoints are meant")
	s.StringVar(&f.protocol, "protocol", "", "wire format of the endpoint, where it speaks several")
	s.StringVar(&f.auth, "auth", "", "for a URL: how its key is sent (bearer, x-api-key, raw, header:NAME or none)")
	s.StringVar(&f.keyEnv, "api-key-env", "", "for a URL: environment `VARIABLE` that holds its key")
	s.StringVar(&f.fetch, "fetch", "", "print the results of the batch with this `ID`")
	s.DurationVar(&f.since, "since", 30*24*time.Hour, "how far back to look")
	s.BoolVar(&f.all, "all", false, "batches of other programs, too")
	s.BoolVar(&f.asJSON, "json", false, "print as JSON")
	_ = c.MarkFlagRequired("endpoint")
	return c
}

func (a *app) listBatches(ctx context.Context, f batchesFlags) error {
	m, err := a.endpointOf(f.modelsFlags, f.endpoint)
	if err != nil {
		return aboutEndpoint(err, "--endpoint")
	}
	now := time.Now()
	list, err := session.RemoteBatches(ctx, m, now.Add(-f.since))
	if err != nil {
		return err
	}
	all := len(list)
	if !f.all {
		list = slices.DeleteFunc(list, func(b nightshift.Batch) bool { return b.Run == "" })
	}
	if f.asJSON {
		return a.printJSON(append([]nightshift.Batch{}, list...))
	}
	if err := a.printRemote(list, now); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.err, "%d of %d batches; ages and states are the provider's\n", len(list), all)
	return err
}

func (a *app) printRemote(list []nightshift.Batch, now time.Time) error {
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tRUN\tSHARD\tBATCH\tROWS\tDONE\tSTATE\tAGE\tRESULTS")
	for _, b := range list {
		shard, number := shardOf(b.Name)
		cells := []string{b.ID, b.Run, shard, number, known(b.Counts.Total), known(b.Counts.Completed.Add(b.Counts.Failed)),
			cmp.Or(b.State, string(b.Phase)), age(b.CreatedAt, now), strings.Join(b.Results, " ")}
		for i, cell := range cells {
			cells[i] = words.Visible(orDash(cell))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// shardOf reads shard and number off a batch's name, ns1-RUN-SHARD-bN.
func shardOf(name string) (shard, number string) {
	parts := strings.Split(name, "-")
	if len(parts) < 4 {
		return "", ""
	}
	return parts[2], strings.TrimPrefix(parts[3], "b")
}

func known(n nightshift.Count) string {
	if !n.Known() {
		return ""
	}
	return words.Thousands(n.N())
}

func age(created, now time.Time) string {
	switch d := now.Sub(created); {
	case created.IsZero():
		return ""
	case d > 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	default:
		return words.Duration(max(d, 0))
	}
}

func (a *app) fetchBatch(ctx context.Context, f batchesFlags) error {
	m, err := a.endpointOf(f.modelsFlags, f.endpoint)
	if err != nil {
		return aboutEndpoint(err, "--endpoint")
	}
	out := bufio.NewWriterSize(a.out, 64<<10)
	b, err := session.FetchBatch(ctx, m, f.fetch, out)
	if err := out.Flush(); err != nil {
		return err
	}
	switch {
	case err != nil:
		return err
	case b.Phase == nightshift.BatchGone:
		return &session.Error{Reason: session.Stopped, Err: fmt.Errorf("%s has no batch %s: it is another key's, "+
			"or another project's, or was deleted", f.endpoint, words.Visible(f.fetch))}
	case len(b.Results) == 0:
		_, err = fmt.Fprintf(a.err, "batch %s has no results (state %s)\n", words.Visible(b.ID),
			words.Visible(orDash(b.State)))
	}
	return err
}
