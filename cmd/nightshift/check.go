package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (a *app) checkCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "check [PLAN]",
		Short: "Check plan and dataset and estimate tokens, money and hours; send nothing",
		Example: `  nightshift check examples/quickstart/plan.yaml
  nightshift check --dataset prompts.jsonl --model anthropic/claude-sonnet-4-6 --max-tokens 1024`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			job, err := a.prepare(c.Context(), &f, args, false)
			if err != nil {
				return err
			}
			return a.estimate(job)
		},
	}
	f.add(c)
	return c
}

// estimate prints what a run would do.
func (a *app) estimate(j *job) error {
	info := j.dataset.Info()
	fmt.Fprintf(a.out, "%s: %s\n", j.plan.Name, info)
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	for _, m := range j.plan.Models {
		url := "in this process"
		if !m.Simulated {
			u, err := m.Endpoint.URL()
			if err != nil {
				return usageError("endpoint %s: %w", m.Endpoint.Name, err)
			}
			url = u
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, m.ModelID, m.Endpoint.Protocol, url)
	}
	return w.Flush()
}
