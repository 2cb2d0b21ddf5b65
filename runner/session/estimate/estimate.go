// Package estimate says what a plan will do before it is run: what looks wrong
// with it, and how many tokens, how much money and how many hours it takes.
package estimate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// A job is a session whose plan and rows are looked at.
type job struct{ *session.Session }

// Unsendable is an error when more rows cannot be sent than the plan
// tolerates: the run would end with exit code 3.
func (f *Forecast) Unsendable(p *plan.Resolved) error {
	var problems []error
	for _, m := range f.Models {
		if m.Unsendable > 0 && p.TolerateFailed.Exceeded(m.Unsendable, m.largest.looked) {
			problems = append(problems, session.Usagef("%d of the %d rows looked at cannot be sent to %s: %s\ncorrect them, "+
				"leave them out (--filter), or accept them: --tolerate-failed %d",
				m.Unsendable, m.largest.looked, m.Model, m.Problem, m.Unsendable))
		}
	}
	return errors.Join(problems...)
}

// A Forecast is what a plan will do, as far as that can be known beforehand.
// It is the output of `check --json`.
type Forecast struct {
	// Warnings say that what is sent is probably not what was meant.
	Warnings []string `json:"warnings,omitempty"`

	Name    string          `json:"name"`
	Out     string          `json:"out"`
	Dataset datasetForecast `json:"dataset"`
	// Datasets are the several datasets of the plan, with what the models make of
	// them; judges are left out.
	Datasets []sectionForecast `json:"datasets,omitempty"`
	Prompt   promptForecast    `json:"first_prompt"`
	Models   []modelForecast   `json:"models"` // judges last
	Total    totalForecast     `json:"total"`
	// Endpoints are the servers and keys with the hours that their work takes;
	// they work at the same time.
	Endpoints []endpointForecast `json:"endpoints"`
	Hours     *span              `json:"hours"` // of the slowest; null when not known
	Budget    budgetForecast     `json:"budget"`
	// Comparison says what differences between the models these rows can show;
	// absent for one model and without scorers.
	Comparison *comparisonForecast `json:"comparison,omitempty"`
	// Calibration is what the real requests brought, by model; absent without.
	Calibration map[string]*calibration `json:"calibration,omitempty"`
	OnRecord    int64                   `json:"on_record,omitempty"` // answers of an earlier start
	// Reused counts, by model, the answers that are taken over from other runs; the
	// figures of the models do not hold them.
	Reused      map[string]int64 `json:"reused,omitempty"`
	Unknown     []string         `json:"unknown,omitempty"`
	MissingKeys []string         `json:"missing_keys,omitempty"`
	Notes       []string         `json:"notes,omitempty"`
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

// Options say how an estimate is made. The zero value sends nothing.
type Options struct {
	Calibrate   int               // rows to send to each model, to learn from the answers
	MissingKeys []plan.Problem    // keys that a run would need
	Notice      func(text string) // hears what is about to be spent; may be nil
	Pilot       string            // an earlier run that says how far the models' scores lie apart
	Detect      float64           // the difference of scores that rows are counted for; 0 means some usual ones
}

// New looks at the rows of a session and works out what its run would do.
func New(ctx context.Context, s *session.Session, o Options) (*Forecast, error) {
	j := &job{s}
	f := &Forecast{Name: j.Plan.Name, Out: j.Plan.Out, Dataset: describeDataset(j.Dataset.Info()), Warnings: j.Warnings,
		Notes: j.Plan.Notes}
	for _, k := range o.MissingKeys {
		f.MissingKeys = append(f.MissingKeys, k.Message)
	}
	var encoders []*encoder
	for _, m := range j.Plan.Models {
		e, err := newEncoder(m)
		if err != nil {
			return nil, err
		}
		encoders = append(encoders, e)
	}
	samples, err := j.look(ctx, encoders)
	if err != nil {
		return nil, err
	}
	f.showFirst(encoders, samples)
	answers := j.answersOf(j.Dataset.Info())
	f.models(encoders, samples, answers)
	if o.Calibrate > 0 {
		if o.Notice != nil {
			o.Notice(calibrationNotice(f.Models, o.Calibrate))
		}
		if f.Calibration, err = j.calibrate(ctx, o.Calibrate); err != nil {
			return nil, err
		}
		f.models(encoders, samples, answers)
	}
	var judges []modelForecast
	for _, s := range judgesOf(j.Plan) {
		judge, err := forecastJudge(s, f.Models, comparisons(j.Plan), j.answers(s))
		if err != nil {
			return nil, err
		}
		judges = append(judges, judge)
	}
	if f.Reused, err = j.Reusable(ctx); err != nil {
		return nil, err
	}
	f.models(encoders, samples, answers)
	f.Models = append(f.Models, judges...)
	for i := range f.Models[:len(encoders)] {
		f.Models[i].batched(j.Dataset, j.Plan.Epochs)
	}
	if err := f.sections(ctx, j, encoders); err != nil {
		return nil, err
	}
	f.sum()
	f.hours()
	f.checkBudget(j.Plan)
	f.before(j)
	f.unknowns(j)
	return f, f.compared(ctx, j, o)
}

func (f *Forecast) models(encoders []*encoder, samples []*measured, answers float64) {
	f.Models = nil
	for i, e := range encoders {
		left := max(answers-float64(f.Reused[e.model.Name]), 0)
		f.Models = append(f.Models, forecastModel(e, samples[i], f.Calibration[e.model.Name], left))
	}
}

// calibrationNotice says what is about to be spent.
func calibrationNotice(models []modelForecast, n int) string {
	most := "their cost is not known"
	if usd, ok := worstCalibration(models, n); ok {
		most = fmt.Sprintf("they cost at most %s", words.Dollars(usd, false))
	}
	return fmt.Sprintf("sending %d real requests to each of %d models; %s", n, len(models), most)
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
func (f *Forecast) showFirst(encoders []*encoder, samples []*measured) {
	f.Prompt.Bodies = map[string]json.RawMessage{}
	for i, m := range samples {
		if m.first == nil {
			continue
		}
		s := m.first
		if m.firstBody != nil {
			f.Prompt.Bodies[encoders[i].model.Name] = m.firstBody
		}
		if f.Prompt.name != "" { // of variants the first is shown
			continue
		}
		f.Prompt.Row, f.Prompt.ID, f.Prompt.name = s.Index, s.ID, rowName(*s)
		f.Prompt.System, f.Prompt.Messages, f.Prompt.Turns, f.Prompt.Target = s.System, messagesOf(s), s.Turns, s.Target
		if s.Body != nil {
			f.Prompt.System = "" // it is among the messages
		}
	}
}

func (f *Forecast) sum() {
	t := &f.Total
	t.AtMostTokens, t.AtMostUSD = new(0.0), new(0.0)
	for _, m := range f.Models {
		t.Requests += m.Requests
		t.Input, t.Output = t.Input.plus(m.Input), t.Output.plus(m.Output)
		if m.CostUSD == nil {
			t.CostAtLeast = true
		} else {
			t.CostUSD = new(view.Value(t.CostUSD).plus(*m.CostUSD))
		}
		t.AtMostTokens = bothKnown(t.AtMostTokens, m.AtMostTokens)
		t.AtMostUSD = bothKnown(t.AtMostUSD, m.AtMostUSD)
	}
}

// bothKnown adds two figures; nil is unknown.
func bothKnown(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	return new(*a + *b)
}

// before notes what an earlier start has on record.
func (f *Forecast) before(j *job) {
	if s, err := view.Status(j.Plan.Out); err == nil {
		f.OnRecord = s.Done
	}
}

// unknowns lists what is not known and would change the estimate.
func (f *Forecast) unknowns(j *job) {
	note := func(format string, args ...any) { f.Unknown = append(f.Unknown, fmt.Sprintf(format, args...)) }
	guessed := false
	for _, m := range f.Models {
		guessed = guessed || m.Measured == 0
		switch {
		case m.CostUSD == nil && m.model.Mode == plan.ModeBatch && m.model.Price != nil:
			note("the batch price of %s: money reads “at least”", m.Model)
		case m.CostUSD == nil:
			note("the price of %s: money reads “at least”", m.Model)
		case len(m.model.Price.Long) > 0 && m.largest.largestIn > m.model.Price.Long[0].Above:
			note("%s costs more for prompts above %s tokens, and some may be", m.Model, words.Short(m.model.Price.Long[0].Above))
		}
		if m.largest.uncapped {
			note("how long the answers of %s can get: nothing caps them (max_tokens)", m.Model)
		}
		if p := m.model.Price; p != nil && p.MaxInput > 0 &&
			float64(m.largest.largestIn)*plainTokens.Likely > float64(p.MaxInput) {
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
		note("how long answers are, and how the tokenizers cut: the ranges are guesses from the length of the prompts; " +
			"--calibrate 5 asks each model 5 rows and measures")
	}
	if n := j.Dataset.Info().Selected; n > lookedRows {
		note("the rows between those looked at: %d of %d were encoded", f.Models[0].largest.looked, n)
	}
}
