package estimate

import (
	"fmt"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/pricing"
	"nightshift/runner/plan"
	"nightshift/runner/prefix"
)

// A cacheForecast is what the prompts of a model share, and what a prompt cache
// makes of that.
type cacheForecast struct {
	Mode     string  `json:"mode"`           // the plan's cache:
	Style    string  `json:"style"`          // automatic or marker
	Known    bool    `json:"known"`          // false where the format of the requests is all that says it
	Minimum  int64   `json:"minimum_tokens"` // of a prefix that is cached
	Source   string  `json:"source,omitempty"`
	Prefixes int64   `json:"prefixes"`    // that two rows or more share, of the rows looked at
	Rows     int64   `json:"rows"`        // that share one, of the rows looked at
	Read     float64 `json:"read_tokens"` // that can be read from the cache, of all rows; an estimate
	Written  float64 `json:"written_tokens"`
	// SavedUSD is against the same tokens without a cache; null when no price is known.
	SavedUSD *float64 `json:"saved_usd"`
}

// shares reports whether the prompts of a model can share a prefix in a cache.
func (e *encoder) shares() bool {
	return formats.Writes(e.model.Endpoint.Protocol) && e.model.Mode != plan.ModeBatch &&
		e.model.Likelihoods == (plan.ResolvedModel{}).Likelihoods
}

// caching works out what rows rows can read from the cache; nil where they share
// nothing that is long enough.
func (m *measured) caching(model plan.ResolvedModel, rows float64) *cacheForecast {
	c := model.Cache
	f := &cacheForecast{Mode: c.Mode, Style: c.Style, Known: c.Known, Minimum: c.Minimum, Source: c.Source}
	minimum, step := c.Bytes()
	var shared, written int64
	seen := map[*prefix.Prefix]bool{}
	for _, p := range m.prompts.Find(prefix.Rule{Minimum: minimum, Step: step, Pays: c.Pays}) {
		if p == nil {
			continue
		}
		f.Rows++
		shared += p.Bytes
		for ; p != nil && !seen[p]; p = p.Parent {
			seen[p] = true
			written += p.Bytes
			if p.Parent != nil {
				written -= p.Parent.Bytes
			}
		}
	}
	if f.Rows == 0 {
		return nil
	}
	f.Prefixes = int64(len(seen))
	scale := providers.TokensPerByte * rows / float64(max(m.looked, 1))
	f.Read, f.Written = float64(shared-written)*scale, float64(written)*scale
	f.save(model.Price)
	return f
}

func (f *cacheForecast) save(p *pricing.Price) {
	if p == nil {
		return
	}
	u := nightshift.Usage{Input: nightshift.Tokens(0), Output: nightshift.Tokens(0),
		CacheRead: nightshift.Tokens(int64(f.Read))}
	if f.Style == providers.CacheMarker {
		u.CacheWrite5m = nightshift.Tokens(int64(f.Written))
		if f.Mode == plan.Cache1h {
			u.CacheWrite5m, u.CacheWrite1h = u.CacheWrite1h, u.CacheWrite5m
		}
	}
	if saved, ok := pricing.Saved(*p, u); ok {
		f.SavedUSD = new(saved.Dollars())
	}
}

// printCaching says what the rows of each model share.
func (f *Forecast) printCaching(p *printer) {
	title := "\nprompt cache"
	for _, m := range f.Models {
		if m.Caching == nil {
			continue
		}
		if title != "" {
			p.line("%s", title)
			title = ""
		}
		p.line("  %s: %s", words.Visible(m.Model), m.Caching.words())
	}
}

func (f *cacheForecast) words() string {
	saves := "what that saves is not known: there is no price"
	if f.SavedUSD != nil {
		saves = "which saves about " + words.Dollars(*f.SavedUSD, false)
	}
	how := "the provider caches by itself"
	if f.Style == providers.CacheMarker {
		how = "the provider caches where a marker stands"
	}
	if !f.Known {
		how += ", as far as its format tells"
	}
	text := fmt.Sprintf("%s of those looked at share %s; about %s input tokens can be read from the cache, %s; "+
		"%s, from %s tokens on; cache: %s", words.Counted(f.Rows, "row"), words.Counted(f.Prefixes, "prefix"),
		words.Short(int64(f.Read)), saves, how, words.Thousands(f.Minimum), f.Mode)
	switch {
	case f.Mode == plan.CacheOff && f.Style == providers.CacheMarker:
		text += " (auto adds the markers)"
	case f.Mode == plan.CacheOff:
		text += " (order or auto sends them together)"
	case f.Mode == plan.CacheOrder && f.Style == providers.CacheMarker:
		text += ": no markers are added"
	}
	return text
}
