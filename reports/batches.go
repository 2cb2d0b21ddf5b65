package reports

import (
	"nightshift/internal/attemptlog"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// A batchSummary is what travelled in batches, of one model.
type batchSummary struct {
	Batches  int64 `json:"batches"`   // that were collected
	Rows     int64 `json:"rows"`      // on record as a batch brought them home
	LiveRows int64 `json:"live_rows"` // on record as they were sent live
	// What the attempts of both have cost, and what batches saved against the live
	// price where both prices are known.
	CostNanoUSD     int64 `json:"cost_nano_usd"`
	LiveCostNanoUSD int64 `json:"live_cost_nano_usd"`
	SavedNanoUSD    int64 `json:"saved_nano_usd"`
	// Extras are answers beyond the first of a row: paid for, and in no record.
	Extras       int64 `json:"extras,omitempty"`
	ExtraNanoUSD int64 `json:"extra_cost_nano_usd,omitempty"`
	Expired      int64 `json:"expired,omitempty"` // trips of rows that a batch had ended without
	Missing      int64 `json:"missing,omitempty"` // rows that were in no result file
	Foreign      int64 `json:"foreign,omitempty"` // lines of results that were not the run's
	// Differences say where counts or usage of a batch are not those of its rows.
	Differences []string `json:"differences,omitempty"`
}

// byBatch adds a row that an attempt of travelled in a batch.
func (m *modelTally) byBatch(row *summaryRow, e *entry) {
	log, err := attemptlog.Parse(*row.AttemptLog)
	if err != nil || len(log) == 0 {
		return
	}
	if m.Batch == nil {
		m.Batch = &batchSummary{}
	}
	for _, a := range log {
		if a.Batch != "" && a.Cost != nil {
			m.Batch.CostNanoUSD += int64(*a.Cost)
		}
	}
	if log[len(log)-1].Batch != "" {
		m.Batch.Rows++
	}
	m.Batch.SavedNanoUSD += e.BatchSavedNanoUSD
}

// batches adds what the log of batches says beside the rows.
func (s *Summary) batches(dir string) error {
	list, err := view.Batches(dir)
	if err != nil {
		return err
	}
	for i := range s.Models {
		m := &s.Models[i]
		for j := range list {
			if list[j].Model == m.Model {
				m.addBatch(&list[j])
			}
		}
		if b := m.Batch; b != nil {
			b.LiveRows = max(m.Rows-b.Rows-m.neverSent(), 0)
			b.LiveCostNanoUSD = m.Bill.CostNanoUSD - b.CostNanoUSD
		}
	}
	return nil
}

// neverSent is how many rows on record were not sent at all.
func (m *modelSummary) neverSent() int64 { return m.Outcomes["input_error"] }

func (m *modelSummary) addBatch(b *view.Batch) {
	if b.Creates == 0 {
		return // it never was at the provider
	}
	if m.Batch == nil {
		m.Batch = &batchSummary{}
	}
	t := m.Batch
	t.Batches++
	t.Extras += b.Sums.Extras
	t.ExtraNanoUSD += int64(b.Sums.ExtraCost)
	t.Expired += b.Sums.Expired
	t.Missing += b.Sums.Missing
	t.Foreign += b.Sums.Foreign
	if b.Sums.Note != "" {
		t.Differences = append(t.Differences, sprintf("batch %d (%s): %s", b.N, b.Lead().ID, b.Sums.Note))
	}
}

// byBatch is the table of what travelled in batches; it has no rows where
// nothing did.
func (s *Summary) byBatch() render.Grid {
	g := render.Grid{Title: "Batches",
		Head: []string{"by batch", "batches", "rows", "rows live", "cost", "cost live", "saved"},
		Note: "Saved is against the live price. Rows of batches are in no figure of latency."}
	for _, m := range s.Models {
		if b := m.Batch; b != nil {
			g.Rows = append(g.Rows, []string{m.Model, render.Count(b.Batches), render.Count(b.Rows),
				render.Count(b.LiveRows), render.Money(b.CostNanoUSD, m.Bill.NoPrice > 0),
				render.Money(b.LiveCostNanoUSD, false), render.Money(b.SavedNanoUSD, m.Bill.NoPrice > 0)})
		}
	}
	return g
}

// batchWarnings are what is to know of a model's batches.
func (m *modelSummary) batchWarnings() []string {
	b := m.Batch
	if b == nil {
		return nil
	}
	var w []string
	if b.LiveRows > 0 && b.Rows > 0 {
		w = append(w, sprintf("%s: %s were sent live, at the live price, and %s in batches", m.Model,
			render.Counted(b.LiveRows, "row"), render.Count(b.Rows)))
	}
	if b.Extras > 0 {
		w = append(w, sprintf("%s: %s for rows that had one already, paid for as well (%s): in the total, in no row",
			m.Model, render.Counted(b.Extras, "answer"), render.Money(b.ExtraNanoUSD, false)))
	}
	if b.Missing > 0 {
		w = append(w, sprintf("%s: no result file of their batch had %s", m.Model, render.Counted(b.Missing, "row")))
	}
	for _, d := range b.Differences {
		w = append(w, m.Model+": "+d)
	}
	return w
}
