package reports

import (
	"cmp"
	"slices"
	"strings"

	"nightshift/reports/render"
)

// mostPrefixes is how many prefixes of a model a summary tells apart.
const mostPrefixes = 20

// A prefixSummary is what the prompt cache had of a prefix, or of several: the bill
// of all attempts of the rows that share it.
type prefixSummary struct {
	Prefix string `json:"prefix,omitempty"` // as in the attempt log
	Count  int    `json:"prefixes"`         // 1 but for the rest
	entry
}

// byPrefix counts a row, which cost e, with those that share its prefix.
func (m *modelTally) byPrefix(row *summaryRow, e *entry) {
	name := row.says().prefix
	if name == "" {
		return
	}
	if m.prefixes == nil {
		m.prefixes = map[string]*entry{}
	}
	if m.prefixes[name] == nil {
		m.prefixes[strings.Clone(name)] = newEntry() // the log's text may not last
	}
	m.prefixes[name].add(e)
}

// closePrefixes puts the prefixes into the summary.
func (m *modelTally) closePrefixes() {
	for name, e := range m.prefixes {
		m.Prefixes = append(m.Prefixes, prefixSummary{name, 1, e.closed()})
	}
	input := func(p prefixSummary) int64 { return p.Input + p.CacheRead + p.CacheWrite }
	slices.SortFunc(m.Prefixes, func(a, b prefixSummary) int {
		return cmp.Or(cmp.Compare(input(b), input(a)), cmp.Compare(a.Prefix, b.Prefix))
	})
	if len(m.Prefixes) <= mostPrefixes {
		return
	}
	rest := newEntry()
	for _, p := range m.Prefixes[mostPrefixes:] {
		rest.add(&p.entry)
	}
	m.PrefixesLeft = &prefixSummary{"", len(m.Prefixes) - mostPrefixes, rest.closed()}
	m.Prefixes = slices.Clip(m.Prefixes[:mostPrefixes])
}

// byPrefix is what the prompt cache had of each prefix, where a model has several:
// of one, the table of models says all.
func (s *Summary) byPrefix() render.Grid {
	g := render.Grid{Title: "Prompt cache by prefix", Texts: 2, Of: "prefix",
		Head: []string{"prefix", "model", "rows", "read", "of input", "written", "saved", "missed", "misses"},
		Note: "A prefix is a beginning that rows share; the attempt log names it under cache."}
	add := func(model, name string, e entry) {
		g.Add(name, model, render.Count(e.Rows), render.Count(e.CacheRead), e.cacheHit(), render.Count(e.CacheWrite),
			render.Money(e.SavedNanoUSD, false), e.missed(), render.Count(e.CacheMisses))
	}
	if !s.any(func(m modelSummary) bool { return len(m.Prefixes) > 1 }) {
		return g
	}
	for _, m := range s.Models {
		for _, p := range m.Prefixes {
			add(m.Model, p.Prefix, p.entry)
		}
		if p := m.PrefixesLeft; p != nil {
			add(m.Model, sprintf("%d others", p.Count), p.entry)
		}
	}
	return g
}
