package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/pricing"
	"nightshift/reports/render"
)

// TestMissed: what is paid for tokens that should have been in the cache, by what was
// expected and what was read.
func TestMissed(t *testing.T) {
	rate := func(n int64) *pricing.Rate { return new(pricing.Rate(n * 1_000_000)) }
	price := pricing.Price{Rates: pricing.Rates{Input: *rate(3000), Output: *rate(15000), CacheRead: rate(300),
		CacheWrite5m: rate(3750)}}
	for _, tc := range []struct {
		name               string
		expected           int64
		input, read, write int64
		missed, cost       int64
	}{
		{"read", 4000, 10, 4000, 0, 0, 0},
		{"read in blocks of 128", 4100, 138, 3968, 0, 0, 0},
		{"nothing expected", 0, 4010, 0, 0, 0, 0},
		{"sent in full", 4000, 4010, 0, 0, 1, 4000 * (3000 - 300)},
		{"written again", 4000, 10, 0, 4000, 1, 4000 * (3750 - 300)},
		{"a shorter prefix alone", 4000, 10, 1500, 2500, 1, 2500 * (3750 - 300)},
	} {
		a := nightshift.Attempt{Usage: nightshift.Usage{Input: nightshift.Tokens(tc.input),
			CacheRead: nightshift.Tokens(tc.read), CacheWrite5m: nightshift.Tokens(tc.write), Output: nightshift.Tokens(5)},
			Cache: &nightshift.Caching{Prefix: "a", Tokens: 4000, Expected: tc.expected}}
		var e entry
		(&biller{}).countMiss(&price, &a, &e)
		if e.CacheMisses != tc.missed || e.MissedNanoUSD != tc.cost {
			t.Errorf("%s: %d misses for %d, want %d for %d", tc.name, e.CacheMisses, e.MissedNanoUSD, tc.missed, tc.cost)
		}
		log := `[{"n":1,"cache":{"prefix":"a","tokens":4000}}]`
		if tc.expected > 0 {
			log = fmt.Sprintf(`[{"n":1,"cache":{"prefix":"a","tokens":4000,"expected_read":%d}}]`, tc.expected)
		}
		row := billedRow{AttemptLog: &log, CacheReadTokens: &tc.read}
		if row.missed() != (tc.missed == 1) || row.says().prefix != "a" {
			t.Errorf("%s: the row says missed %v, prefix %q", tc.name, row.missed(), row.says().prefix)
		}
	}
}

// TestPrefixesAreBounded: a summary names the prefixes with the most input, and adds up
// the others.
func TestPrefixesAreBounded(t *testing.T) {
	var m modelTally
	for i := range 100 {
		log := fmt.Sprintf(`[{"n":1,"cache":{"prefix":"p%d","tokens":4000}}]`, i)
		m.byPrefix(&summaryRow{billedRow: billedRow{AttemptLog: &log}},
			&entry{Rows: 1, Input: int64(i), AtMostNanoUSD: new(int64)})
	}
	m.byPrefix(&summaryRow{}, &entry{Rows: 1, AtMostNanoUSD: new(int64)})
	m.closePrefixes()
	if len(m.Prefixes) != mostPrefixes || m.Prefixes[0].Prefix != "p99" || m.PrefixesLeft.Count != 100-mostPrefixes ||
		m.PrefixesLeft.Rows != 100-mostPrefixes {
		t.Errorf("%d prefixes, the first %+v, and %+v", len(m.Prefixes), m.Prefixes[0], m.PrefixesLeft)
	}
}

// TestCacheGrid: what was missed is told where something was.
func TestCacheGrid(t *testing.T) {
	model := func(misses, nano int64) modelSummary {
		e := entry{CacheRead: 4000, CacheMisses: misses, MissedNanoUSD: nano}
		return modelSummary{Model: "m", Bill: e, Prefixes: []prefixSummary{{"p", 1, e}, {"q", 1, e}}}
	}
	for name, tc := range map[string]struct {
		models []modelSummary
		shown  bool
	}{
		"none missed": {[]modelSummary{model(0, 0)}, false},
		"one missed":  {[]modelSummary{model(0, 0), model(3, 900)}, true},
	} {
		s := &Summary{Models: tc.models}
		for _, g := range []render.Grid{s.caching(), s.byPrefix()} {
			if head := g.Shown().Head; slices.Contains(head, "missed") != tc.shown {
				t.Errorf("%s: %q", name, head)
			}
		}
		if strings.Contains(s.caching().Note, "Missed") != tc.shown {
			t.Errorf("%s: %q", name, s.caching().Note)
		}
	}
}
