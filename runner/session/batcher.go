package session

import (
	"net/http"

	"nightshift"
	"nightshift/providers/batch"
	"nightshift/providers/pricing"
	"nightshift/runner/plan"
)

// batcher reaches the batch API of a model's endpoint, with its first key.
func (f *clients) batcher(m plan.ResolvedModel, p *plan.Resolved) (*batch.Batcher, error) {
	e := m.Endpoint
	e.Routes = nil
	key, err := f.key(e)
	if err != nil {
		return nil, err
	}
	var transport http.RoundTripper
	if m.Simulated {
		if transport, err = f.simulator(m); err != nil {
			return nil, err
		}
	}
	c := batch.Config{
		Endpoint: e, Key: key, ReadKey: f.readKey(e.Auth), Transport: transport, Model: m.ModelID, MaxOutput: m.MaxOutput,
		NeedsTokens: p.BudgetTokens != nil, NeedsCost: p.BudgetUSD != nil,
	}
	c.Price, c.WorstPrice = batchPrices(m)
	b, err := batch.New(c)
	if err != nil {
		return nil, Usagef("model %s: %w", m.Name, err)
	}
	return b, nil
}

// batchPrices price the rows of a model's batches; nil where no price is known.
func batchPrices(m plan.ResolvedModel) (
	price func(string, nightshift.Usage) (nightshift.NanoUSD, string, bool),
	worst func(string, int64, int64, nightshift.Media) (nightshift.NanoUSD, bool),
) {
	if m.Price == nil {
		return nil, nil
	}
	rates := *m.Price
	price = func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
		cost, ok := pricing.Cost(rates, u)
		return cost, m.PriceID, ok
	}
	worst = func(_ string, in, out int64, media nightshift.Media) (nightshift.NanoUSD, bool) {
		return pricing.WorstCaseIn(rates, pricing.Batch, in, out, media)
	}
	return price, worst
}
