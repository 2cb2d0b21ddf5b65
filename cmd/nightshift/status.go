package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift/runner/store"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status RUN",
		Short: "Say where a running, stopped or damaged run stands",
		Long: `Says what is on record, what it cost, and how long the rest will take. Of a running
run it also says what the limits do: each rate against its limit, what is in
flight, what holds the next request back, until when an endpoint is paused and
why. Of one that has ended it says what held its requests back. It takes no lock
and changes nothing.

Exit codes: 0 the run was found, in whatever state; 2 it was not.`,
		Example: "  nightshift status runs/tonight\n  nightshift status runs/tonight --json | jq .done",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			live, ok := readLive(args[0])
			s, err := store.StatusWith(args[0], &live.Run)
			if err != nil {
				return usageError("%w", err)
			}
			if asJSON {
				full := fullStatus{StatusInfo: s}
				if ok {
					full.Now = &live
				}
				return a.printJSON(full)
			}
			a.printStatus(s)
			if ok {
				a.printLive(s, live)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// fullStatus is the output of `status --json`.
type fullStatus struct {
	store.StatusInfo
	// Now is what the process does, or did last; null when it never said.
	Now *liveState `json:"now"`
}

// printLive says what the limiters do, or did.
func (a *app) printLive(s store.StatusInfo, l liveState) {
	running := s.Live && l.fresh()
	if s.Live && !running {
		fmt.Fprintf(a.out, "! the process has not said what it does since %s\n", l.At.Local().Format(time.DateTime))
	}
	for _, stop := range l.Stops {
		if !running {
			fmt.Fprintf(a.out, "! %s was stopped: %s\n", visible(stop.Model), visible(stop.Reason))
		}
	}
	for _, e := range l.Endpoints {
		if running {
			a.printEndpoint(e)
		} else if e.silent() && len(l.Stops) == 0 {
			fmt.Fprintf(a.out, "! %s gave no answers since %s: %s\n", visible(e.Name), e.FailingSince.Local().Format(time.DateTime), visible(e.LastError))
		}
		if words := e.limitedWords(); words != "" && e.Sent > 0 {
			fmt.Fprintf(a.out, "  %s: held back by %s\n", visible(e.Name), words)
		}
	}
	b := l.Budget
	if running && b.Waiting > 0 {
		fmt.Fprintf(a.out, "  budget     %d requests wait for what others have reserved (%s tokens, %s)\n", b.Waiting, short(b.ReservedTokens), dollars(b.ReservedUSD, false))
	}
}

// printPace says how far each model is, where there are several.
func (a *app) printPace(pace []store.ModelPace) {
	for _, m := range pace {
		if len(pace) < 2 {
			return
		}
		left := "time left not known: nothing was recorded lately"
		switch {
		case m.Done >= m.Items:
			left = "done"
		case m.TimeLeft != nil:
			left = timeLeft(*m.TimeLeft) + " left"
		}
		fmt.Fprintf(a.out, "    %s: %d of %d, %.0f an hour, %s\n", visible(m.Model), m.Done, m.Items, m.PerHour, left)
	}
}

// silent reports whether an endpoint gives no answers.
func (e liveEndpoint) silent() bool {
	return e.FailingSince != nil && (e.Down || e.Succeeded == 0)
}

func (a *app) printEndpoint(e liveEndpoint) {
	var parts []string
	for _, r := range e.Rates {
		if r.Limit > 0 {
			parts = append(parts, fmt.Sprintf("%s of %s %s a minute", short(int64(r.Used)), short(int64(r.Limit)), r.Name))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s a minute", short(int64(r.Used)), r.Name))
	}
	if e.Inferred > 0 {
		parts = append(parts, fmt.Sprintf("learned %s requests a minute", short(int64(e.Inferred))))
	}
	parts = append(parts, fmt.Sprintf("%d in flight of at most %d", e.InFlight, e.Window))
	if e.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for the %s", e.Waiting, e.Limited))
	}
	fmt.Fprintf(a.out, "  %s: %s\n", visible(e.Name), strings.Join(parts, ", "))
	if e.Paused != nil {
		fmt.Fprintf(a.out, "    paused until %s (%s): %s\n", e.Paused.Local().Format(time.TimeOnly), timeLeft(time.Until(*e.Paused)), e.Why)
	}
	if e.silent() && e.Stopped == "" {
		fmt.Fprintf(a.out, "    no answers since %s: %s\n", e.FailingSince.Local().Format(time.TimeOnly), visible(e.LastError))
	}
	if e.Stopped != "" {
		fmt.Fprintf(a.out, "    stopped: %s\n", visible(e.Stopped))
	}
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
	if state == store.StateExtended {
		state = "extended; the command that made the run goes on with the new rows"
	}
	fmt.Fprintf(a.out, "%s: %s\n", s.Name, state)
	for i, e := range s.Extensions {
		rows := s.DatasetRows
		if i+1 < len(s.Extensions) {
			rows = s.Extensions[i+1].Rows
		}
		fmt.Fprintf(a.out, "  extended %s from %d to %d rows\n", e.At.Local().Format(time.DateTime), e.Rows, rows)
	}
	fmt.Fprintf(a.out, "  on record  %d of %d, %d failed\n", s.Done, s.Items, s.Failed)
	if s.Live {
		fmt.Fprintf(a.out, "  in flight  %d\n", s.InFlight)
	}
	fmt.Fprintf(a.out, "  spent      %s", strings.TrimPrefix(dollars(s.Spent.Dollars(), s.All.Sum().CostUnknown > 0), "cost "))
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
	a.printPace(s.Pace)
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
