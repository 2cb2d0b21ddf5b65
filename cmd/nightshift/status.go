package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"nightshift/runner/store"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "status RUN",
		Short:   "Say where a running, stopped or damaged run stands",
		Example: "  nightshift status runs/tonight\n  nightshift status runs/tonight --json | jq .done",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := store.Status(args[0])
			if err != nil {
				return usageError("%w", err)
			}
			if asJSON {
				return a.printJSON(s)
			}
			a.printStatus(s)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) printStatus(s store.StatusInfo) {
	state := s.State
	switch {
	case s.Live:
		state = fmt.Sprintf("running (process %d on %s)", s.PID, s.Host)
	case state == "running":
		state = "stopped without an end; the same command resumes"
	}
	fmt.Fprintf(a.out, "%s: %s\n", s.Name, state)
	fmt.Fprintf(a.out, "  on record  %d of %d, %d failed\n", s.Done, s.Items, s.Failed)
	if s.Live {
		fmt.Fprintf(a.out, "  in flight  %d\n", s.InFlight)
	}
	fmt.Fprintf(a.out, "  spent      %s", dollars(s.Spent.Dollars(), false))
	if s.AtMost > s.Spent {
		fmt.Fprintf(a.out, ", at most %s with what may have been billed", dollars(s.AtMost.Dollars(), false))
	}
	fmt.Fprintln(a.out)
	if s.PerHour > 0 {
		fmt.Fprintf(a.out, "  rate       %.0f an hour\n", s.PerHour)
	}
	if s.TimeLeft > 0 {
		fmt.Fprintf(a.out, "  time left  %s\n", timeLeft(s.TimeLeft))
	}
	if !s.LastWrite.IsZero() {
		fmt.Fprintf(a.out, "  last write %s\n", s.LastWrite.Local().Format(time.DateTime))
	}
	for _, u := range s.Unknown {
		fmt.Fprintf(a.out, "  unknown    %s row %d epoch %d, attempt %d: at most %d tokens, %s\n",
			u.Model, u.Row, u.Epoch, u.Attempt, u.WorstTokens, dollars(u.WorstCost.Dollars(), false))
	}
	for _, d := range s.Damage {
		fmt.Fprintf(a.out, "! %s\n", d)
	}
}
