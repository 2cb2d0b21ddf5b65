package datasets

import (
	"context"
	"errors"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/source"
	"nightshift/internal/words"
)

// Templates are the texts that make requests of rows; empty is none.
type Templates struct {
	System, Prompt string
	// Written says for messages where they are written, by what they are: see [Spec].
	Written map[string]Place
}

// Variant is the dataset with other templates of system prompt and prompt: the
// same rows in the same chunks, which are not indexed again. name is for messages.
// The error is a *Problems when the templates do not fit the rows; with OnBadRow
// "record" only when they fit none of those that are tried. d closes it. texts are
// those of each of several datasets, else one.
func (d *Dataset) Variant(ctx context.Context, name string, texts []Templates) (*Dataset, error) {
	if d.parts != nil {
		return d.joinedVariant(ctx, name, texts)
	}
	v := &Dataset{spec: d.spec, files: d.files, chunks: d.chunks, info: d.info, picked: d.picked,
		reader: source.Reader{Options: d.reader.Options}}
	v.spec.System, v.spec.Prompt, v.spec.Written = texts[0].System, texts[0].Prompt, texts[0].Written
	d.variants = append(d.variants, v)
	var p problem.Problems
	if v.decide(&p); p.Total == 0 {
		v.rules.SeenTarget = d.rules.SeenTarget
		v.rules.SetStamps(d.rules.Stamps())
		v.describe()
		if err := v.try(ctx, d, &p); err != nil {
			return nil, err
		}
	}
	for i := range p.List {
		p.List[i].What = "variant " + words.Quote(name) + ": " + p.List[i].What
	}
	return v, p.Err()
}

// try renders the templates on the first rows. Rows that are bad in the dataset
// itself are told there.
func (d *Dataset) try(ctx context.Context, of *Dataset, p *problem.Problems) error {
	tried, failed := 0, problem.Problems{}
	var why []problem.Reason // of rows that a template failed on
	known := map[int64]bool{}
	for s, err := range of.First(ctx, triedRows) {
		if bad := new(RowError); errors.As(err, &bad) {
			known[s.Index] = true
		}
	}
	for s, err := range d.First(ctx, triedRows) {
		bad := new(RowError)
		switch {
		case err != nil && !errors.As(err, &bad):
			return err
		case known[s.Index]:
			continue
		case err != nil:
			failed.Add(problem.Problem{File: bad.File, Line: bad.Line, Row: bad.Index, What: bad.What, Hint: bad.Hint})
			if bad.why.Template != "" {
				why = append(why, bad.why)
			}
		}
		tried++
	}
	if tried > 0 && len(why) == tried { // then the mistake is the template's, not the rows'
		p.Add(d.ofTemplate(why[0]))
		return nil
	}
	if d.spec.OnBadRow == "record" && failed.Total < int64(tried) {
		return nil
	}
	for _, one := range failed.List {
		p.Add(one)
	}
	p.Total += failed.Total - int64(len(failed.List))
	return nil
}
