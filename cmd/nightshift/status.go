package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/reports"
	"nightshift/runner/session"
	"nightshift/runner/store"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON, ask bool
	c := &cobra.Command{
		Use:   "status RUN",
		Short: "Show the progress of a running, stopped or damaged run",
		Long: `Shows the rows on record, their cost, and the time left. For a running run it also
shows each rate against its limit, the requests in flight, what limits the next
request, and pauses with their reason. For a run that has ended it shows what limited
its requests. It takes no lock and changes nothing.

All that is said of batches is from the run's own files. With --ask the providers are
asked once, with the keys of the environment and the plan of the last start.

Exit codes: 0 the run was found, in whatever state; 2 it was not; 4 a provider that
was asked does not answer.`,
		Example: "  nightshift status runs/tonight\n  nightshift status runs/tonight --json | jq .done",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.reading(c.Context(), args, bucket.ReadOptions{StatusOnly: true}, func(a *app, dirs []string) error {
				return a.status(c.Context(), dirs[0], asJSON, ask)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	c.Flags().BoolVar(&ask, "ask", false, "ask the providers once how the batches stand that are there")
	return c
}

func (a *app) status(ctx context.Context, dir string, asJSON, ask bool) error {
	live, ok := session.ReadState(dir)
	s, err := view.StatusWith(dir, &live.Run)
	if err != nil {
		return usageError("%w", err)
	}
	if asJSON {
		full := fullStatus{StatusInfo: s, Judges: judgesSpent(dir)}
		if ok {
			full.Now = &live
		}
		var err error
		if ask {
			full.Asked, err = a.askBatches(ctx, dir)
		}
		return errors.Join(err, a.printJSON(full))
	}
	var text strings.Builder
	inner := *a
	inner.out = &text
	inner.printStatus(s, judgesSpent(dir))
	if ok {
		inner.printLive(s, live)
	}
	io.WriteString(a.out, folded(text.String(), terminalColumns(a.out)))
	if ask {
		asked, err := a.askBatches(ctx, dir)
		a.printAsked(asked, time.Now())
		return err
	}
	return nil
}

// fullStatus is the output of `status --json`.
type fullStatus struct {
	view.StatusInfo
	// Judges is what judges and calibrations have cost, which is not in "spent".
	Judges spending `json:"judges"`
	// Now is what the process does, or did last; null when it never said.
	Now *session.State `json:"now"`
	// Asked is how batches stand at their providers, where that was asked for.
	Asked []session.AskedBatch `json:"asked,omitempty"`
}

// A spending is what some runs have cost.
type spending struct {
	Spent  nightshift.NanoUSD `json:"spent_nano_usd"`   // known costs
	AtMost nightshift.NanoUSD `json:"at_most_nano_usd"` // with the worst case of what is not known
	// AtLeast is true where some cost is not known.
	AtLeast bool `json:"at_least"`
}

func (p spending) add(s view.StatusInfo) spending {
	return spending{p.Spent + s.Spent, p.AtMost + s.AtMost, p.AtLeast || s.All.Sum().CostUnknown > 0}
}

// judgesSpent is what the judges and calibrations of a run have cost. One that
// cannot be read is left out, as its run is damaged and says so itself.
func judgesSpent(dir string) (sum spending) {
	for _, inner := range reports.InnerRuns(dir) {
		if s, err := view.Status(inner); err == nil {
			sum = sum.add(s)
		}
	}
	return sum
}

// words say what was spent, and what of it on judges.
func (p spending) words(judges spending) string {
	text := strings.TrimPrefix(words.Dollars(p.Spent.Dollars(), p.AtLeast), "cost ")
	if p.AtMost > p.Spent {
		text += fmt.Sprintf(", at most %s with what may have been billed", words.Dollars(p.AtMost.Dollars(), false))
	}
	if judges.AtMost > 0 || judges.AtLeast {
		text += fmt.Sprintf(" (of it %s for judges)",
			strings.TrimPrefix(words.Dollars(judges.Spent.Dollars(), judges.AtLeast), "cost "))
	}
	return text
}

// printLive says what the limiters do, or did.
func (a *app) printLive(s view.StatusInfo, l session.State) {
	running := s.Live && l.Fresh()
	if s.Live && !running {
		fmt.Fprintf(a.out, "! the process has not said what it does since %s\n", l.At.Local().Format(time.DateTime))
	}
	for _, stop := range l.Stops {
		if !running {
			fmt.Fprintf(a.out, "! %s was stopped: %s\n", words.Visible(stop.Model), words.Visible(stop.Reason))
		}
	}
	for _, e := range l.Endpoints {
		if running {
			a.printEndpoint(e)
		} else if e.Silent() && len(l.Stops) == 0 {
			fmt.Fprintf(a.out, "! %s gave no answers since %s: %s\n", words.Visible(e.Name),
				e.FailingSince.Local().Format(time.DateTime), words.Visible(e.LastError))
		}
		if by := e.LimitedWords(); by != "" && e.Sent > 0 {
			fmt.Fprintf(a.out, "  %s: %s\n", words.Visible(e.Name), by)
		}
	}
	if running {
		a.printWorkers(l.Workers)
	}
	b := l.Budget
	if running && b.Waiting > 0 {
		fmt.Fprintf(a.out, "  budget     %d requests wait for what others have reserved (%s tokens, %s)\n", b.Waiting,
			words.Short(b.ReservedTokens), words.Dollars(b.ReservedUSD, false))
	}
}

// printPace says how far each model is, where there are several.
func (a *app) printPace(pace []view.ModelPace) {
	for _, m := range pace {
		if len(pace) < 2 {
			return
		}
		left := "time left not known: nothing was recorded lately"
		switch {
		case m.Done >= m.Items:
			left = "done"
		case m.TimeLeft != nil:
			left = words.Duration(*m.TimeLeft) + " left"
		}
		fmt.Fprintf(a.out, "    %s: %s of %s, %s answers an hour, %s\n", words.Visible(m.Model), words.Thousands(m.Done),
			words.Thousands(m.Items), words.Thousands(int64(math.Round(m.PerHour))), left)
	}
}

func (a *app) printEndpoint(e session.Endpoint) {
	var parts []string
	for _, r := range e.Rates {
		if r.Limit > 0 {
			parts = append(parts, fmt.Sprintf("%s of %s %s a minute", words.Short(int64(r.Used)),
				words.Short(int64(r.Limit)), r.Name))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s a minute", words.Short(int64(r.Used)), r.Name))
	}
	if e.Inferred > 0 {
		parts = append(parts, fmt.Sprintf("inferred %s requests a minute", words.Short(int64(e.Inferred))))
	}
	parts = append(parts, fmt.Sprintf("%d in flight of at most %d", e.InFlight, e.Window))
	if e.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for the %s", e.Waiting, e.Limited))
	}
	fmt.Fprintf(a.out, "  %s: %s\n", words.Visible(e.Name), strings.Join(parts, ", "))
	if e.Paused != nil {
		fmt.Fprintf(a.out, "    paused until %s (%s): %s\n", e.Paused.Local().Format(time.TimeOnly),
			words.Duration(time.Until(*e.Paused)), e.Why)
	}
	if e.Silent() && e.Stopped == "" {
		fmt.Fprintf(a.out, "    no answers since %s: %s\n", e.FailingSince.Local().Format(time.TimeOnly),
			words.Visible(e.LastError))
	}
	if e.Stopped != "" {
		fmt.Fprintf(a.out, "    stopped: %s\n", words.Visible(e.Stopped))
	}
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) printStatus(s view.StatusInfo, judges spending) {
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
	fmt.Fprintf(a.out, "  on record  %s of %s, %s failed\n", words.Thousands(s.Done), words.Thousands(s.Items),
		words.Thousands(s.Failed))
	if all := s.All.Sum(); all.Reused > 0 {
		fmt.Fprintf(a.out, "  taken over %s from earlier runs, which paid %s for them; nothing was paid for them here\n",
			words.Counted(all.Reused, "answer"), words.Dollars(all.ReusedCost.Dollars(), false))
	}
	if s.Live {
		fmt.Fprintf(a.out, "  in flight  %d\n", s.InFlight)
	}
	fmt.Fprintf(a.out, "  spent      %s\n", judges.add(s).words(judges))
	if s.PerHour > 0 {
		fmt.Fprintf(a.out, "  rate       %s answers an hour\n", words.Thousands(int64(math.Round(s.PerHour))))
	}
	if s.TimeLeft > 0 {
		fmt.Fprintf(a.out, "  time left  %s\n", words.Duration(s.TimeLeft))
	}
	a.printPace(s.Pace)
	if !s.LastWrite.IsZero() {
		fmt.Fprintf(a.out, "  last write %s\n", s.LastWrite.Local().Format(time.DateTime))
	}
	a.printBatches(s.Batches, time.Now())
	for _, u := range s.Unknown {
		fmt.Fprintf(a.out, "  unknown    %s row %d epoch %d, attempt %d: at most %d tokens, %s\n",
			u.Model, u.Row, u.Epoch, u.Attempt, u.WorstTokens, words.Dollars(u.WorstCost.Dollars(), false))
	}
	for _, d := range s.Damage {
		fmt.Fprintf(a.out, "! %s\n", d)
	}
}
