package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"nightshift/datasets"
	"nightshift/reports"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// indexFile keeps in the run directory what the first pass over the dataset
// found.
const indexFile = "dataset.idx"

// openDataset reads the dataset once, or takes up the index that an earlier
// start left in the run directory. Standard input is copied there.
func (s *Session) openDataset(ctx context.Context) (*datasets.Dataset, error) {
	spec, rows := s.Plan.Dataset, s.rows
	extensions, err := view.Extensions(s.Plan.Out)
	if err != nil {
		return nil, err
	}
	folder := versionDir(s.Plan.Out, len(extensions))
	spec.Stdin, spec.Spool, spec.Versions = s.Stdin, folder, versionsOf(extensions)
	spec.Notice = func(text string) { s.Log.Info(text) }
	if rows != nil {
		spec.SelectRows, spec.Versions = rows.has, rows.Versions
	}
	open := datasets.Open
	index := filepath.Join(folder, indexFile)
	if _, err := os.Stat(index); err == nil {
		open = func(ctx context.Context, s datasets.Spec) (*datasets.Dataset, error) {
			return datasets.Resume(ctx, index, s)
		}
	}
	d, err := open(ctx, spec)
	if err != nil {
		return nil, errors.Join(toExtend(err, s.Plan.Out), d.Close())
	}
	if err := rows.fits(d.Info()); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// openVariants makes the dataset with the templates of every variant. Models that
// share templates share it.
func (s *Session) openVariants(ctx context.Context) error {
	made := map[string]*datasets.Dataset{}
	var problems []error
	for i, m := range s.Plan.Models {
		own := ""
		for _, t := range m.Templates {
			own += fmt.Sprintf("%q %q ", t.System, t.Prompt)
		}
		if i == 0 { // the dataset has them
			made[own] = nil
		}
		if m.Variant == "" {
			continue
		}
		d, ok := made[own]
		if !ok {
			var err error
			if d, err = s.Dataset.Variant(ctx, m.Variant, m.Templates); err != nil {
				problems = append(problems, err)
			}
			made[own] = d
		}
		if d != nil {
			s.variants[m.Name] = d
		}
	}
	if err := errors.Join(problems...); err != nil {
		return errors.Join(err, s.Dataset.Close())
	}
	return nil
}

// RowsOf is the dataset with a model's templates.
func (s *Session) RowsOf(model string) *datasets.Dataset {
	if d := s.variants[model]; d != nil {
		return d
	}
	return s.Dataset
}

// source is the part of a plan that finds the dataset's rows again. It is kept
// in run.json beside what identifies the run.
type source struct {
	Paths             []string          `json:"paths"`
	Dir               string            `json:"dir"`
	Format            string            `json:"format,omitempty"`
	Fields            map[string]string `json:"fields,omitempty"`
	System            string            `json:"system,omitempty"`
	Prompt            string            `json:"prompt,omitempty"`
	Target            string            `json:"target,omitempty"`
	Cluster           string            `json:"cluster,omitempty"`
	Category          string            `json:"category,omitempty"`
	Filter            string            `json:"filter,omitempty"`
	Sample            int64             `json:"sample,omitempty"`
	Offset            int64             `json:"offset,omitempty"`
	Limit             int64             `json:"limit,omitempty"`
	Seed              uint64            `json:"seed,omitempty"`
	OnBadRow          string            `json:"on_bad_row,omitempty"`
	MaxLine           int64             `json:"max_line,omitempty"`
	AllowDuplicateIDs bool              `json:"allow_duplicate_ids,omitempty"`
	RepairUTF8        bool              `json:"repair_utf8,omitempty"`
	// Downloaded are the files that came from the Hugging Face hub, each with the
	// revision that the run reads.
	Downloaded []string `json:"downloaded,omitempty"`
	// Parts are the several datasets of the run; the fields above are then empty.
	Parts []sourcePart `json:"datasets,omitempty"`
}

// A sourcePart is one of several datasets, with how many rows it had.
type sourcePart struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	source
}

func sourceOf(s datasets.Spec) source {
	if s.Parts != nil {
		var whole source
		for _, p := range s.Parts {
			whole.Parts = append(whole.Parts, sourcePart{Name: p.Name, source: sourceOf(p.Spec)})
		}
		return whole
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		dir = s.Dir
	}
	return source{
		s.Paths, dir, s.Format, s.Fields, s.System, s.Prompt, s.Target, s.Cluster, s.Category, s.Filter,
		s.Sample, s.Offset, s.Limit, s.Seed, s.OnBadRow, s.MaxLine, s.AllowDuplicateIDs, s.RepairUTF8, nil, nil,
	}
}

func (s source) spec() datasets.Spec {
	if s.Parts != nil {
		var whole datasets.Spec
		for _, p := range s.Parts {
			whole.Parts = append(whole.Parts, datasets.Part{Name: p.Name, Spec: p.spec()})
		}
		return whole
	}
	return datasets.Spec{
		Paths: s.Paths, Dir: s.Dir, Format: s.Format, Fields: s.Fields, System: s.System, Prompt: s.Prompt, Target: s.Target,
		Cluster: s.Cluster, Category: s.Category, Filter: s.Filter, Sample: s.Sample, Offset: s.Offset, Limit: s.Limit,
		Seed:     s.Seed,
		OnBadRow: s.OnBadRow, MaxLine: s.MaxLine, AllowDuplicateIDs: s.AllowDuplicateIDs, RepairUTF8: s.RepairUTF8,
	}
}

// planAsRun is run.json's plan: what identifies the run, and where its rows
// came from, which may change.
type planAsRun struct {
	Plan   json.RawMessage `json:"plan"`
	Rows   *chosenRows     `json:"rows,omitempty"`
	Source source          `json:"source"`
	// Prices by model, so that a bill can be explained from the run alone.
	Prices map[string]reports.RunPrice `json:"prices,omitempty"`
}

func (s *Session) planAsRun(canonical json.RawMessage) json.RawMessage {
	from := sourceOf(s.Plan.Dataset)
	from.downloaded(s.Dataset.Info())
	for i, section := range s.Dataset.Sections() {
		from.Parts[i].Rows = section.Info.Rows
	}
	b, err := json.Marshal(planAsRun{canonical, s.rows, from, runPrices(s.Plan)})
	if err != nil {
		return canonical
	}
	return b
}

// downloaded notes which files came from the hub.
func (s *source) downloaded(info datasets.Info) {
	for _, file := range info.Files {
		if datasets.IsRemote(file) {
			s.Downloaded = append(s.Downloaded, file)
		}
	}
}

func runPrices(p *plan.Resolved) map[string]reports.RunPrice {
	prices := map[string]reports.RunPrice{}
	for _, m := range p.Models {
		prices[m.Name] = reports.RunPrice{List: m.PriceList, ID: m.PriceID, Price: m.Price}
	}
	return prices
}

// openIndexed takes up the dataset of a run by its index. Rows that the run
// left out are left out here, except by choice of an earlier run's rows.
func openIndexed(ctx context.Context, dir string) (*datasets.Dataset, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return nil, Usagef("%w", err)
	}
	var p planAsRun
	if err := json.Unmarshal(info.Plan, &p); err != nil {
		return nil, fmt.Errorf("%s/run.json: %w", dir, err)
	}
	spec := p.Source.spec()
	folder := versionDir(dir, len(info.Extensions))
	spec.Spool, spec.Versions = folder, versionsOf(info.Extensions)
	if p.Rows != nil {
		spec.Versions = p.Rows.Versions
	}
	d, err := datasets.LoadIndex(ctx, filepath.Join(folder, indexFile), spec)
	if !errors.Is(err, datasets.ErrStale) {
		return d, err
	}
	if d, err = datasets.Open(ctx, spec); err != nil { // it was copied or touched
		return nil, err
	}
	if d.Info().Hash != info.DatasetHash {
		err := &datasets.ChangedError{File: d.Info().Files[0], What: "it is not the dataset of " + dir, Chunk: -1}
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}
