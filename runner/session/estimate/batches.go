package estimate

import (
	"fmt"
	"math"
	"strings"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/providers/pricing"
	"nightshift/runner/plan"
)

// A batchForecast is how the rows of a model in mode batch will travel.
type batchForecast struct {
	Batches     int64 `json:"batches"` // and as many create calls
	MaxRows     int64 `json:"max_rows"`
	UploadBytes int64 `json:"upload_bytes"`
	// EnqueuedTokens is how many input tokens may wait at the provider at once; 0
	// is not known. Rounds is how often batches have to wait for others then, the
	// first time included.
	EnqueuedTokens int64  `json:"enqueued_tokens,omitempty"`
	Rounds         int64  `json:"rounds"`
	Window         string `json:"window,omitempty"` // of each round, at most
	HoursAtMost    int64  `json:"hours_at_most,omitempty"`
	// LiveUSD is what the same rows cost live; null where that is not known.
	LiveUSD *span `json:"live_usd"`
	// TooLong counts the rows looked at that are larger than a batch may hold.
	TooLong       int64 `json:"rows_too_long,omitempty"`
	ResultsVanish int64 `json:"results_vanish_days,omitempty"` // after the end of a batch

	turns int64
	then  string
}

// lineOverhead is about what an input line has around the body of a request.
const lineOverhead = 140

// batched says how the rows of a model in mode batch travel.
func (f *modelForecast) batched(d *datasets.Dataset, epochs int) {
	if f.model.Mode != plan.ModeBatch {
		return
	}
	api, own, m := f.model.Endpoint.Batch, f.model.Batch, f.largest
	b := &batchForecast{Window: own.Window, then: own.Then, turns: m.turns, TooLong: m.tooLong,
		ResultsVanish: int64(api.Keep.Hours() / 24)}
	line := m.body/max(m.requests, 1) + lineOverhead
	tokens := f.Input.Likely / max(f.Requests, 1)
	b.EnqueuedTokens = lesser(own.MaxEnqueuedTokens, api.MaxEnqueued)
	b.MaxRows = lesser(int64(own.MaxRequests), int64(api.MaxRows))
	b.MaxRows = lesser(b.MaxRows, int64(float64(lesser(own.MaxBytes, api.MaxBytes))/line))
	b.MaxRows = lesser(b.MaxRows, int64(float64(b.EnqueuedTokens)/max(tokens, 1)))
	for _, c := range d.Chunks() {
		items := c.Selected * int64(max(epochs, 1))
		if b.MaxRows > 0 {
			b.Batches += (items + b.MaxRows - 1) / b.MaxRows
		} else if items > 0 {
			b.Batches++
		}
	}
	b.Batches *= b.turns
	b.UploadBytes = int64(line * f.Requests)
	b.Rounds = b.turns
	if b.EnqueuedTokens > 0 {
		b.Rounds = max(b.Rounds, int64(math.Ceil(f.Input.Likely/float64(b.EnqueuedTokens))))
	}
	b.hours(own, api.Window)
	live := f.model
	live.Mode = plan.ModeLive
	b.LiveUSD = f.costIn(f.model.Price, live.Tier())
	f.Batch = b
}

// hours bounds how long all rounds take: each may take its window.
func (b *batchForecast) hours(own plan.BatchSettings, usual time.Duration) {
	var asked plan.Span
	if own.Window != "" && asked.UnmarshalText([]byte(own.Window)) != nil {
		return // a word of the provider's
	}
	window := usual
	if asked > 0 {
		window = time.Duration(asked)
	}
	if own.Deadline > 0 && (window == 0 || own.Deadline < window) {
		window = own.Deadline
	}
	if b.Window == "" && window > 0 {
		b.Window = words.Duration(window)
	}
	b.HoursAtMost = b.Rounds * int64(math.Ceil(window.Hours()))
}

// lesser is the smaller of two limits, of which 0 is none.
func lesser(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return max(b, 0)
	}
	return a
}

// cannotBatch are the fields of a request that batch APIs do not take.
func (f *modelForecast) cannotBatch() (fields []string) {
	if f.model.Stream {
		fields = append(fields, "stream")
	}
	for _, p := range f.model.Params {
		if p.Name == "background" || p.Name == "service_tier" {
			fields = append(fields, p.Name)
		}
	}
	return fields
}

func (f *Forecast) printBatches(p *printer) {
	first := true
	for _, m := range f.Models {
		if m.Batch == nil {
			continue
		}
		if first {
			p.line("\nbatches (mode batch)")
			first = false
		}
		for i, text := range m.batchLines() {
			if i == 0 {
				text = words.Visible(m.Model) + ": " + text
			}
			p.line("  %s", text)
		}
	}
}

// batchLines say in words how a model's rows travel.
func (f *modelForecast) batchLines() []string {
	b := f.Batch
	size := "in all"
	if b.MaxRows > 0 {
		size = "of at most " + words.Counted(b.MaxRows, "row")
	}
	lines := []string{fmt.Sprintf("%s %s, %s to upload, %s", words.Counted(b.Batches, "batch"), size,
		words.Bytes(b.UploadBytes), words.Counted(b.Batches, "create call"))}
	if f.CostUSD == nil {
		lines = append(lines, fmt.Sprintf("  cost: no batch price of %s is known", words.Visible(f.ModelID)))
	} else if b.LiveUSD != nil {
		lines = append(lines, fmt.Sprintf("  cost: %s by batch, %s live", money(f.CostUSD, false), money(b.LiveUSD, false)))
	}
	lines = append(lines, "  time: "+b.timeWords())
	if b.TooLong > 0 {
		lines = append(lines, fmt.Sprintf("  ! %d of the %d rows looked at are longer than a row of a batch may be, and fail",
			b.TooLong, f.largest.looked))
	}
	if fields := f.cannotBatch(); len(fields) > 0 {
		lines = append(lines, "  not possible in batches: "+strings.Join(fields, ", "))
	}
	if b.ResultsVanish > 0 {
		lines = append(lines, fmt.Sprintf("  the provider deletes results after %s: collect them before",
			words.Counted(b.ResultsVanish, "day")))
	}
	return lines
}

func (b *batchForecast) timeWords() string {
	var parts []string
	if b.Rounds > 1 && b.EnqueuedTokens > 0 {
		parts = append(parts, fmt.Sprintf("%s tokens may wait at once, so %d rounds one after the other",
			words.Short(b.EnqueuedTokens), b.Rounds))
	} else if b.Rounds > 1 {
		parts = append(parts, fmt.Sprintf("%d rounds, one for each turn", b.Rounds))
	}
	switch {
	case b.HoursAtMost > 0:
		parts = append(parts, fmt.Sprintf("at most %s, mostly much sooner", words.Counted(b.HoursAtMost, "hour")))
	case b.Window != "":
		parts = append(parts, "within "+b.Window)
	default:
		parts = append(parts, "not known")
	}
	if b.EnqueuedTokens == 0 {
		parts = append(parts, "how many tokens may wait at once is not known (max_enqueued_tokens)")
	}
	switch b.then {
	case plan.ThenLive:
		parts = append(parts, "what a batch ends without goes live, at the live price")
	case plan.ThenNext:
		parts = append(parts, "what a batch ends without goes into the next")
	}
	return strings.Join(parts, "; ")
}

// worstCost bounds what a request costs, in the tier in which it is sent.
func worstCost(m plan.ResolvedModel, in, out int64, media nightshift.Media) float64 {
	if m.Mode == plan.ModeBatch {
		cost, _ := pricing.WorstCaseIn(*m.Price, pricing.Batch, in, out, media)
		return cost.Dollars()
	}
	cost, _ := pricing.WorstCase(*m.Price, in, out, media)
	return cost.Dollars()
}
