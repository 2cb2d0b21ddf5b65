package compare

import (
	"nightshift/reports/render"
)

// A Block is what a comparison of the models adds to a report: all
// renderings show it as it is. It is made elsewhere and put into a Summary
// before that is rendered.
type Block struct {
	Verdicts []render.Finding `json:"verdicts,omitempty"` // shown at the top, most important first
	Warnings []string         `json:"warnings,omitempty"` // what to know before trusting them
	// Tables are pairs against the baseline, categories, gates …
	Tables []render.Grid `json:"tables,omitempty"`
	// Points are cost against score; nil leaves the chart to the plain scores.
	Points []CostPoint `json:"points,omitempty"`
	// Different are the rows that models score differently, largest difference first.
	Different []ItemKey `json:"different,omitempty"`
	// Data is the comparison itself, for programs.
	Data any `json:"data,omitempty"`
}

// A CostPoint is one model on the chart of cost against score.
type CostPoint struct {
	Model    string   `json:"model"`
	USD      float64  `json:"usd_per_1000"` // rows
	AtLeast  bool     `json:"at_least,omitempty"`
	Score    float64  `json:"score"`
	Lower    *float64 `json:"lower,omitempty"`
	Upper    *float64 `json:"upper,omitempty"`
	Frontier bool     `json:"frontier,omitempty"` // nothing is both cheaper and better
}

// An ItemKey names one prompt of the run.
type ItemKey struct {
	Row   int64 `json:"row"`
	Epoch int32 `json:"epoch"`
}
