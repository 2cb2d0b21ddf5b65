package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// checkFlags are the flags of `check`, which `run --dry-run` takes too.
type checkFlags struct {
	calibrate int
	asJSON    bool
}

func (f *checkFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.calibrate, "calibrate", 0, "send `N` real requests to each model and estimate from the answers (costs money, within the budget)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the estimate as JSON")
}

func (a *app) checkCommand() *cobra.Command {
	var f planFlags
	var cf checkFlags
	c := &cobra.Command{
		Use:   "check [PLAN]",
		Short: "Check plan and dataset and estimate tokens, money and hours; send nothing",
		Long: `Reads the plan and every row of the dataset, and reports everything that is wrong
with either at once, each with its place and a remedy. Then shows the first prompt
as it will be sent, where it goes, and an estimate of tokens, money and hours
with its doubt, what is not known, and whether the budget suffices.

Nothing is sent, and no key is needed, unless --calibrate N asks for N real
requests to each model: the estimate then rests on their answers.

The estimate is a range that should hold nine times in ten. Retries and savings
by prompt caching are not in it.

Exit codes: 0 the plan can run, 2 something is wrong with it.`,
		Example: `  nightshift check examples/quickstart/plan.yaml
  nightshift check --dataset prompts.jsonl --model anthropic/claude-sonnet-4-6 --max-tokens 1024
  nightshift check tonight.yaml --calibrate 5
  nightshift check tonight.yaml --json | jq .total.cost_usd`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if cf.calibrate < 0 {
				return usageError("--calibrate: %d is below zero", cf.calibrate)
			}
			job, err := a.prepare(c.Context(), &f, args, cf.calibrate > 0)
			if err != nil {
				return err
			}
			defer job.dataset.Close()
			return a.estimate(c.Context(), job, cf)
		},
	}
	cf.add(c)
	f.add(c)
	return c
}

// estimate prints what a run would do.
func (a *app) estimate(ctx context.Context, j *job, f checkFlags) error {
	j.session.Log = slog.New(&plainHandler{w: a.err, level: slog.LevelWarn})
	forecast, err := a.forecast(ctx, j, f.calibrate)
	if err != nil {
		return err
	}
	print := func() error { return forecast.print(a.out) }
	if f.asJSON {
		print = func() error { return a.printJSON(forecast) }
	}
	return errors.Join(print(), forecast.unsendable(j.plan))
}

// unsendable is an error when more rows cannot be sent than the plan
// tolerates: the run would end with exit code 3.
func (f *forecast) unsendable(p *plan.Resolved) error {
	var problems []error
	for _, m := range f.Models {
		if m.Unsendable > 0 && p.TolerateFailed.Exceeded(m.Unsendable, m.largest.looked) {
			problems = append(problems, usageError("%d of the %d rows looked at cannot be sent to %s: %s\ncorrect them, leave them out (--filter), or accept them: --tolerate-failed %d",
				m.Unsendable, m.largest.looked, m.Model, m.Problem, m.Unsendable))
		}
	}
	return errors.Join(problems...)
}

// A forecast is what a plan will do, as far as that can be known beforehand.
// It is the output of `check --json`.
type forecast struct {
	// Warnings say that what is sent is probably not what was meant.
	Warnings []string `json:"warnings,omitempty"`

	Name    string          `json:"name"`
	Out     string          `json:"out"`
	Dataset datasetForecast `json:"dataset"`
	Prompt  promptForecast  `json:"first_prompt"`
	Models  []modelForecast `json:"models"` // judges last
	Total   totalForecast   `json:"total"`
	// Endpoints are the servers and keys with the hours that their work takes;
	// they work at the same time.
	Endpoints []endpointForecast `json:"endpoints"`
	Hours     *span              `json:"hours"` // of the slowest; null when not known
	Budget    budgetForecast     `json:"budget"`
	// Calibration is what the real requests brought, by model; absent without.
	Calibration map[string]*calibration `json:"calibration,omitempty"`
	OnRecord    int64                   `json:"on_record,omitempty"` // answers of an earlier start
	Unknown     []string                `json:"unknown,omitempty"`
	MissingKeys []string                `json:"missing_keys,omitempty"`
	Notes       []string                `json:"notes,omitempty"`
}

type datasetForecast struct {
	Files      []string `json:"files"`
	Shape      string   `json:"shape"`
	Target     string   `json:"target"`
	Format     string   `json:"format"`
	Rows       int64    `json:"rows"`
	Selected   int64    `json:"selected"`
	Bad        int64    `json:"bad"`
	Duplicates int64    `json:"duplicate_ids"`
	NoID       int64    `json:"without_id"`
	Blank      int64    `json:"blank_lines"`
	Bytes      int64    `json:"bytes"`
	Fields     []string `json:"fields"`
	Problems   []string `json:"problems,omitempty"`
	words      string
}

type promptForecast struct {
	Row      int64                      `json:"row"`
	ID       string                     `json:"id"`
	System   string                     `json:"system,omitempty"`
	Messages []messageForecast          `json:"messages,omitempty"`
	Turns    []string                   `json:"turns,omitempty"`
	Target   string                     `json:"target,omitempty"`
	Bodies   map[string]json.RawMessage `json:"bodies"` // request body by model
	name     string
}

type messageForecast struct {
	Role    string `json:"role"`
	Content any    `json:"content"` // text, or the parts as the row has them
}

// messagesOf are the messages of a row, also where it is a whole request body.
func messagesOf(s *nightshift.Sample) (list []messageForecast) {
	if s.Body != nil {
		var body struct {
			System   any
			Messages []messageForecast
		}
		_ = json.Unmarshal(s.Body, &body) // what cannot be read is shown as it is sent
		if body.System != nil {
			list = append(list, messageForecast{Role: string(nightshift.RoleSystem), Content: body.System})
		}
		return append(list, body.Messages...)
	}
	for _, m := range s.Messages {
		f := messageForecast{Role: string(m.Role), Content: m.Text}
		var whole struct{ Content json.RawMessage }
		if m.Raw != nil && json.Unmarshal(m.Raw, &whole) == nil && whole.Content != nil {
			f.Content = whole.Content
		}
		list = append(list, f)
	}
	return list
}

type totalForecast struct {
	Requests     float64  `json:"requests"`
	Input        span     `json:"input_tokens"`
	Output       span     `json:"output_tokens"`
	CostUSD      *span    `json:"cost_usd"` // null when no price is known
	CostAtLeast  bool     `json:"cost_at_least,omitempty"`
	AtMostTokens *float64 `json:"at_most_tokens"`
	AtMostUSD    *float64 `json:"at_most_usd"`
}

// forecast looks at the rows and works everything out.
func (a *app) forecast(ctx context.Context, j *job, calibrate int) (*forecast, error) {
	f := &forecast{Name: j.plan.Name, Out: j.plan.Out, Dataset: describeDataset(j.dataset.Info()), Warnings: j.session.Warnings, Notes: j.plan.Notes}
	for _, k := range j.missing {
		f.MissingKeys = append(f.MissingKeys, k.Message)
	}
	var encoders []*encoder
	for _, m := range j.plan.Models {
		e, err := newEncoder(m)
		if err != nil {
			return nil, err
		}
		encoders = append(encoders, e)
	}
	samples, err := look(ctx, j.dataset, encoders)
	if err != nil {
		return nil, err
	}
	f.showFirst(encoders, samples)
	answers := float64(j.dataset.Info().Selected-j.dataset.Info().Bad) * float64(j.plan.Epochs)
	f.models(encoders, samples, answers)
	if calibrate > 0 {
		a.sayCalibration(f.Models, calibrate)
		if f.Calibration, err = j.calibrate(ctx, calibrate); err != nil {
			return nil, err
		}
		f.models(encoders, samples, answers)
	}
	for _, s := range judgesOf(j.plan) {
		judge, err := forecastJudge(s, f.Models[:len(encoders)], answers)
		if err != nil {
			return nil, err
		}
		f.Models = append(f.Models, judge)
	}
	f.sum()
	f.hours()
	f.afford(j.plan)
	f.before(j)
	f.doubts(j)
	return f, nil
}

func (f *forecast) models(encoders []*encoder, samples []*measured, answers float64) {
	f.Models = nil
	for i, e := range encoders {
		f.Models = append(f.Models, forecastModel(e, samples[i], f.Calibration[e.model.Name], answers))
	}
}

// sayCalibration says what is about to be spent.
func (a *app) sayCalibration(models []modelForecast, n int) {
	most := "their cost is not known"
	if usd, ok := worstCalibration(models, n); ok {
		most = fmt.Sprintf("they cost at most %s", words.Dollars(usd, false))
	}
	fmt.Fprintf(a.err, "sending %d real requests to each of %d models; %s\n", n, len(models), most)
}

func describeDataset(i datasets.Info) datasetForecast {
	d := datasetForecast{
		Files: i.Files, Shape: i.Shape, Target: i.Target, Format: i.Format, Rows: i.Rows, Selected: i.Selected,
		Bad: i.Bad, Duplicates: i.SameIDs, NoID: i.NoID, Blank: i.Blank, Bytes: i.Bytes, Fields: i.Fields, words: i.String(),
	}
	for _, p := range i.Problems.List {
		d.Problems = append(d.Problems, p.String())
	}
	return d
}

// showFirst keeps the first row that can be sent, and its request to each model.
func (f *forecast) showFirst(encoders []*encoder, samples []*measured) {
	f.Prompt.Bodies = map[string]json.RawMessage{}
	for i, m := range samples {
		if m.first == nil {
			continue
		}
		s := m.first
		f.Prompt.Row, f.Prompt.ID, f.Prompt.name = s.Index, s.ID, rowName(*s)
		f.Prompt.System, f.Prompt.Messages, f.Prompt.Turns, f.Prompt.Target = s.System, messagesOf(s), s.Turns, s.Target
		if s.Body != nil {
			f.Prompt.System = "" // it is among the messages
		}
		if m.body != nil {
			f.Prompt.Bodies[encoders[i].model.Name] = m.body
		}
	}
}

func (f *forecast) sum() {
	t := &f.Total
	t.AtMostTokens, t.AtMostUSD = new(0.0), new(0.0)
	for _, m := range f.Models {
		t.Requests += m.Requests
		t.Input, t.Output = t.Input.plus(m.Input), t.Output.plus(m.Output)
		if m.CostUSD == nil {
			t.CostAtLeast = true
		} else {
			t.CostUSD = new(deref(t.CostUSD).plus(*m.CostUSD))
		}
		t.AtMostTokens = bothKnown(t.AtMostTokens, m.AtMostTokens)
		t.AtMostUSD = bothKnown(t.AtMostUSD, m.AtMostUSD)
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// bothKnown adds two figures; nil is unknown.
func bothKnown(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	return new(*a + *b)
}

// before notes what an earlier start has on record.
func (f *forecast) before(j *job) {
	if s, err := store.Status(j.plan.Out); err == nil {
		f.OnRecord = s.Done
	}
}

// doubts lists what is not known and would change the estimate.
func (f *forecast) doubts(j *job) {
	note := func(format string, args ...any) { f.Unknown = append(f.Unknown, fmt.Sprintf(format, args...)) }
	guessed := false
	for _, m := range f.Models {
		guessed = guessed || m.Measured == 0
		switch {
		case m.CostUSD == nil:
			note("the price of %s: money reads “at least”", m.Model)
		case len(m.model.Price.Long) > 0 && m.largest.largestIn > m.model.Price.Long[0].Above:
			note("%s costs more for prompts above %s tokens, and some may be", m.Model, words.Short(m.model.Price.Long[0].Above))
		}
		if m.largest.uncapped {
			note("how long the answers of %s can get: nothing caps them (max_tokens)", m.Model)
		}
		if p := m.model.Price; p != nil && p.MaxInput > 0 && float64(m.largest.largestIn)*plainTokens.Likely > float64(p.MaxInput) {
			note("whether the longest prompt fits the %s tokens that %s reads", words.Short(p.MaxInput), m.Model)
		}
		if m.largest.media > 0 {
			note("how many tokens %s makes of images and documents", m.Model)
		}
	}
	for _, e := range f.Endpoints {
		if e.Hours == nil {
			note("how fast %s is: %s", e.Name, e.why)
		}
	}
	if guessed {
		note("how long answers are, and how the tokenizers cut: the ranges are guesses from the length of the prompts; --calibrate 5 asks each model 5 rows and measures")
	}
	if n := j.dataset.Info().Selected; n > lookedRows {
		note("the rows between those looked at: %d of %d were encoded", f.Models[0].largest.looked, n)
	}
}

// print writes the forecast for people.
func (f *forecast) print(w io.Writer) error {
	p := &printer{w: w}
	for _, text := range f.Warnings {
		p.line("WARNING: %s\n", words.Visible(text))
	}
	f.printDataset(p)
	f.printPrompt(p)
	f.printTable(p)
	f.printHours(p)
	f.Budget.print(p)
	f.printNotes(p)
	return p.err
}

// A printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (f *forecast) printDataset(p *printer) {
	d := f.Dataset
	p.line("%s: %s", words.Visible(f.Name), words.Visible(d.words))
	p.line("  files     %s", words.Visible(strings.Join(d.Files, ", ")))
	p.line("  fields    %s", words.Visible(strings.Join(d.Fields, ", ")))
	p.line("  rows      %d selected of %d; %d bad, %d with an id that an earlier row has, %d without an id, %d blank lines",
		d.Selected, d.Rows, d.Bad, d.Duplicates, d.NoID, d.Blank)
	for _, problem := range d.Problems {
		p.line("            ! %s", words.Visible(problem))
	}
	p.line("  into      %s", words.Visible(f.Out))
	if f.OnRecord > 0 {
		p.line("            %d answers are on record there already; the estimate counts them again", f.OnRecord)
	}
}

func (f *forecast) printPrompt(p *printer) {
	p.line("\nfirst prompt (%s)", f.Prompt.name)
	if f.Prompt.System != "" {
		p.quote("system", f.Prompt.System)
	}
	for _, m := range f.Prompt.Messages {
		text, plain := m.Content.(string)
		if !plain {
			b, _ := json.Marshal(m.Content) // it was JSON
			text = string(b)
		}
		p.quote(m.Role, text)
	}
	for _, t := range f.Prompt.Turns {
		p.quote("then", t)
	}
	if f.Prompt.Target != "" {
		p.quote("target", f.Prompt.Target)
	}
	for _, m := range f.Models {
		if m.Judge {
			continue
		}
		p.line("\n%s → %s (%s)", words.Visible(m.Model), words.Visible(m.URL), m.Protocol)
		if body := f.Prompt.Bodies[m.Model]; body != nil {
			p.line("  %s", cutMiddle(words.Visible(string(body)), 600))
		}
		if m.Unsendable > 0 {
			p.line("  ! %d of the %d rows looked at cannot be sent: %s", m.Unsendable, m.largest.looked, words.Visible(m.Problem))
		}
	}
}

// quote shows a text of a row beside its name, cut after a few lines.
func (p *printer) quote(name, text string) {
	const most = 12
	lines := strings.Split(words.Cut(strings.TrimRight(text, "\n"), 1200), "\n")
	if len(lines) > most {
		lines = append(lines[:most:most], fmt.Sprintf("… and %d lines more", len(lines)-most))
	}
	for i, l := range lines {
		if i > 0 {
			name = ""
		}
		p.line("  %-9s │ %s", words.Visible(name), words.Visible(l))
	}
}

func (f *forecast) printTable(p *printer) {
	p.line("\nestimate (a range that should hold nine times in ten; retries and caching are not in it)")
	t := tabwriter.NewWriter(p.w, 2, 8, 2, ' ', 0)
	row := func(name string, requests float64, in, out span, cost *span, most *float64, atLeast bool) {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", words.Visible(name), words.Short(int64(requests+0.5)), in.tokens(), out.tokens(), money(cost, atLeast), moneyAtMost(most))
	}
	fmt.Fprintln(t, "  \trequests\tinput tokens\toutput tokens\tcost\tat most")
	for _, m := range f.Models {
		name := m.Model
		if m.Judge {
			name += " (judge)"
		}
		row(name, m.Requests, m.Input, m.Output, m.CostUSD, m.AtMostUSD, false)
	}
	if len(f.Models) > 1 {
		s := f.Total
		row("all", s.Requests, s.Input, s.Output, s.CostUSD, s.AtMostUSD, s.CostAtLeast)
	}
	if p.err == nil {
		p.err = t.Flush()
	}
	for _, m := range f.Models {
		if c := f.Calibration[m.Model]; c != nil && !m.Judge {
			p.line("  %s: measured on %d answers to %d requests, %s tokens, %s", words.Visible(m.Model), c.Answers, c.Sent, words.Short(c.Tokens), words.Dollars(c.CostUSD, false))
			if c.Failed != "" {
				p.line("  ! %s: %s", words.Visible(m.Model), words.Visible(c.Failed))
			}
		}
	}
}

func (s span) tokens() string {
	return fmt.Sprintf("%s (%s–%s)", words.Short(int64(s.Likely+0.5)), words.Short(int64(s.Low+0.5)), words.Short(int64(s.High+0.5)))
}

func money(s *span, atLeast bool) string {
	if s == nil {
		return "not known"
	}
	text := fmt.Sprintf("%s (%s–%s)", words.Dollars(s.Likely, false), words.Dollars(s.Low, false), words.Dollars(s.High, false))
	if atLeast {
		return "at least " + text
	}
	return text
}

func moneyAtMost(most *float64) string {
	if most == nil {
		return "not known"
	}
	return words.Dollars(*most, false)
}

func (f *forecast) printNotes(p *printer) {
	list := func(title string, texts []string) {
		for i, t := range texts {
			if i == 0 {
				p.line("\n%s", title)
			}
			p.line("  - %s", words.Visible(t))
		}
	}
	list("not known", f.Unknown)
	list("to know", f.Notes)
	list("needed to run", f.MissingKeys)
}

// cutMiddle shortens a text to about n bytes and keeps both ends: parameters
// stand at the end of request bodies.
func cutMiddle(s string, n int) string {
	if len(s) <= n {
		return s
	}
	start, end := s[:n/2], s[len(s)-n/2:]
	return strings.ToValidUTF8(start, "") + fmt.Sprintf(" … (%d bytes in all) … ", len(s)) + strings.ToValidUTF8(end, "")
}
