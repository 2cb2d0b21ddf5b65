package session

import (
	"context"
	"fmt"
	"io"
	"slices"

	"nightshift"
	"nightshift/runner/store/view"
)

// failedRow is what the rows to run again are found by.
type failedRow struct {
	Row     int64              `parquet:"row"`
	Outcome nightshift.Outcome `parquet:"outcome,dict"`
}

// ExportFailed writes the rows that have no answer, in the dataset's own form
// and order, each once however many models failed on it.
func ExportFailed(ctx context.Context, dir string, w io.Writer) (int64, error) {
	data, err := openIndexed(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer data.Close()
	var rows []int64
	for r, err := range view.Rows[failedRow](dir, view.ReadOptions{}) {
		if err != nil {
			return 0, err
		}
		if !r.Outcome.Answered() {
			rows = append(rows, r.Row)
		}
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	if header := data.Info().RawHeader; header != "" {
		if _, err := fmt.Fprintln(w, header); err != nil {
			return 0, err
		}
	}
	for raw, err := range data.Raw(ctx, rows) {
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(append(raw[:len(raw):len(raw)], '\n')); err != nil {
			return 0, err
		}
	}
	return int64(len(rows)), nil
}
