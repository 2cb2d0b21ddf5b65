package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"nightshift/datasets"
	"nightshift/reports"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// indexFile keeps in the run directory what the first pass over the dataset
// found.
const indexFile = "dataset.idx"

// openDataset reads the dataset once, or takes up the index that an earlier
// start left in the run directory. Standard input is copied there.
func (a *app) openDataset(ctx context.Context, p *plan.Resolved) (*datasets.Dataset, error) {
	spec := p.Dataset
	spec.Stdin, spec.Spool = a.in, p.Out
	index := filepath.Join(p.Out, indexFile)
	if _, err := os.Stat(index); err == nil {
		return datasets.Resume(ctx, index, spec)
	}
	return datasets.Open(ctx, spec)
}

// source is the part of a plan that finds the dataset's files again. It is
// kept in run.json beside what identifies the run.
type source struct {
	Paths  []string          `json:"paths"`
	Dir    string            `json:"dir"`
	Format string            `json:"format,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	System string            `json:"system,omitempty"`
	Prompt string            `json:"prompt,omitempty"`
	Target string            `json:"target,omitempty"`
}

// planAsRun is run.json's plan: what identifies the run, and where its rows
// came from, which may change.
type planAsRun struct {
	Plan   json.RawMessage `json:"plan"`
	Source source          `json:"source"`
	// Prices by model, so that a bill can be explained from the run alone.
	Prices map[string]reports.RunPrice `json:"prices,omitempty"`
}

func (j *job) planAsRun(canonical json.RawMessage) json.RawMessage {
	s := j.plan.Dataset
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		dir = s.Dir
	}
	b, err := json.Marshal(planAsRun{canonical, source{s.Paths, dir, s.Format, s.Fields, s.System, s.Prompt, s.Target}, runPrices(j.plan)})
	if err != nil {
		return canonical
	}
	return b
}

func runPrices(p *plan.Resolved) map[string]reports.RunPrice {
	prices := map[string]reports.RunPrice{}
	for _, m := range p.Models {
		prices[m.Name] = reports.RunPrice{List: m.PriceList, ID: m.PriceID, Price: m.Price}
	}
	return prices
}

// openIndexed takes up the dataset of a run by its index.
func openIndexed(ctx context.Context, dir string) (*datasets.Dataset, error) {
	info, err := store.ReadInfo(dir)
	if err != nil {
		return nil, usageError("%w", err)
	}
	var p planAsRun
	if err := json.Unmarshal(info.Plan, &p); err != nil {
		return nil, fmt.Errorf("%s/run.json: %w", dir, err)
	}
	s := p.Source
	return datasets.LoadIndex(ctx, filepath.Join(dir, indexFile), datasets.Spec{
		Paths: s.Paths, Dir: s.Dir, Format: s.Format, Fields: s.Fields, System: s.System, Prompt: s.Prompt, Target: s.Target, Spool: dir,
	})
}
