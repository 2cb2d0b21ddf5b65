package estimate

import (
	"context"

	"nightshift/datasets"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// A sectionForecast is one of several datasets: what all models together read, write
// and cost for it.
type sectionForecast struct {
	Name string `json:"name"`
	datasetForecast
	Input       span  `json:"input_tokens"`
	Output      span  `json:"output_tokens"`
	CostUSD     *span `json:"cost_usd"` // null when no price is known
	CostAtLeast bool  `json:"cost_at_least,omitempty"`
}

// answersOf is how many answers a model is to give to a dataset.
func (j *job) answersOf(i datasets.Info) float64 {
	return float64(i.Selected-i.Bad) * float64(j.Plan.Epochs)
}

// answers is how many answers of a model a scorer is to score.
func (j *job) answers(s plan.ResolvedScorer) (n float64) {
	sections := j.Dataset.Sections()
	if sections == nil {
		return j.answersOf(j.Dataset.Info())
	}
	for _, one := range sections {
		if s.Scores(one.Name) {
			n += j.answersOf(one.Info)
		}
	}
	return n
}

// sections adds what each of several datasets takes.
func (f *Forecast) sections(ctx context.Context, j *job, encoders []*encoder) error {
	for k, section := range j.Dataset.Sections() {
		one := sectionForecast{Name: section.Name, datasetForecast: describeDataset(section.Info)}
		for _, e := range encoders {
			found, err := look(ctx, j.RowsOf(e.model.Name).Only(k), []*encoder{e})
			if err != nil {
				return err
			}
			m := forecastModel(e, found[0], f.Calibration[e.model.Name], j.answersOf(section.Info))
			one.Input, one.Output = one.Input.plus(m.Input), one.Output.plus(m.Output)
			if m.CostUSD == nil {
				one.CostAtLeast = true
			} else {
				one.CostUSD = new(view.Value(one.CostUSD).plus(*m.CostUSD))
			}
		}
		f.Datasets = append(f.Datasets, one)
	}
	return nil
}
