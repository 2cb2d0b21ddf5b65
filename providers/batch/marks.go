package batch

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
)

const (
	maxListPages = 500
	// maxMarks is how many batches are looked into whose marks the list does not
	// show.
	maxMarks = 300
)

// List returns the batches of the account that were created since a time,
// newest first, with our marks. Where lists have none, the name of a batch's
// input file tells, or the first of its results.
func (b *Batcher) List(ctx context.Context, since time.Time) ([]nightshift.Batch, error) {
	if b.list == "" {
		return nil, nil
	}
	var all []nightshift.Batch
	seen := map[string]bool{}
	err := b.each(ctx, maxListPages, func(p page) bool {
		for _, batch := range p.batches {
			if old := !batch.CreatedAt.IsZero() && batch.CreatedAt.Before(since); !old && !seen[batch.ID] {
				seen[batch.ID] = true
				all = append(all, batch)
			}
		}
		newest := p.newest()
		return !newest.IsZero() && newest.Before(since)
	})
	if err != nil {
		return nil, err
	}
	for i, looked := 0, 0; i < len(all) && looked < maxMarks; i++ {
		if all[i].Run != "" {
			continue
		}
		looked++
		if err := b.mark(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(x, y nightshift.Batch) int { return y.CreatedAt.Compare(x.CreatedAt) })
	return all, nil
}

// mark looks for our marks on a batch outside the list. Errors of what is asked
// for are no marks; that of ctx ends the search.
func (b *Batcher) mark(ctx context.Context, batch *nightshift.Batch) error {
	name := ""
	switch {
	case b.sizes && batch.FileID != "":
		if reply, err := b.getJSON(ctx, b.file, place{file: batch.FileID}); err == nil {
			if root, err := rawjson.Scan(reply.Body); err == nil {
				name = root.Get("filename").String()
			}
		}
	case b.inline() && len(batch.Results) > 0:
		first := &firstLine{}
		_ = b.Fetch(ctx, *batch, batch.Results[0], first)
		name = b.ResultID(first.line)
	}
	batch.Run, batch.Name = marksIn(name)
	return context.Cause(ctx)
}

// marksIn reads the run, and the name of a batch, off the name of its file or
// the id of one of its rows; both are empty where it is none of ours.
func marksIn(name string) (run, batch string) {
	parts := strings.Split(strings.TrimSuffix(name, ".jsonl"), "-")
	if len(parts) < 4 || parts[0] != "ns1" || !strings.HasPrefix(parts[3], "b") {
		return "", ""
	}
	return parts[1], strings.Join(parts[:4], "-")
}

// firstLine keeps the first line of what is written to it, and wants no more.
type firstLine struct{ line []byte }

var errEnough = errors.New("the first line is enough")

func (f *firstLine) Write(p []byte) (int, error) {
	line, _, ended := bytes.Cut(p, []byte("\n"))
	if f.line = append(f.line, line...); ended || len(f.line) > maxLine {
		return 0, errEnough
	}
	return len(p), nil
}
