package reports

import (
	"nightshift"
	"nightshift/reports/render"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeText(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	boundsOne = `{"through":"2026-01-02T03:04:05Z","models":{"a":{"output token limit":60,"concurrency":30},` +
		`"b":{"budget":5}}}`
	liveOne = `{"started":"2026-01-02T03:04:05Z","endpoints":[{"models":["a"],"active_seconds":90,` +
		`"bound_by":[{"what":"concurrency","share":1}]}]}`
	liveTwo = `{"started":"2026-01-02T04:00:00Z","endpoints":[
		{"models":["a","b"],"active_seconds":20,
			"bound_by":[{"what":"output token limit","share":0.75},{"what":"budget","share":0.25}]},
		{"models":["a"],"active_seconds":40,"bound_by":[{"what":"concurrency","share":0.5}]}]}`
)

func TestReadBounds(t *testing.T) {
	for _, tc := range []struct {
		name, bounds, live string
		a                  map[string]float64
		through            string
	}{
		{"nothing said", "", "", nil, "0001-01-01T00:00:00Z"},
		{"ended: its own last word is in the sum", boundsOne, liveOne,
			map[string]float64{"output token limit": 60, "concurrency": 30}, "2026-01-02T03:04:05Z"},
		{"a later start goes on or was killed", boundsOne, liveTwo,
			map[string]float64{"output token limit": 75, "concurrency": 50, "budget": 5}, "2026-01-02T04:00:00Z"},
		{"the first start was killed", "", liveTwo,
			map[string]float64{"output token limit": 15, "concurrency": 20, "budget": 5}, "2026-01-02T04:00:00Z"},
		{"power failed while it was written", boundsOne, "{",
			map[string]float64{"output token limit": 60, "concurrency": 30}, "2026-01-02T03:04:05Z"},
	} {
		dir := t.TempDir()
		if tc.bounds != "" {
			writeText(t, dir, BoundsFile, tc.bounds)
		}
		if tc.live != "" {
			writeText(t, dir, LiveFile, tc.live)
		}
		b, err := ReadBounds(dir)
		if err != nil || b.Through.Format(time.RFC3339) != tc.through {
			t.Errorf("%s: %v, through %v", tc.name, err, b.Through)
		}
		for what, want := range tc.a {
			if got := b.Models["a"][what]; got != want {
				t.Errorf("%s: %s %v s, want %v", tc.name, what, got, want)
			}
		}
		if len(b.Models["a"]) != len(tc.a) {
			t.Errorf("%s: %v, want %v", tc.name, b.Models["a"], tc.a)
		}
	}
	dir := t.TempDir()
	writeText(t, dir, BoundsFile, "{")
	if _, err := ReadBounds(dir); err == nil || !strings.Contains(err.Error(), BoundsFile) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestBoundShares(t *testing.T) {
	b := Bounds{Models: map[string]map[string]float64{"a": {"x": 10, "y": 30}}}
	if s := b.Shares("a"); len(s) != 2 || s[0] != (LimitShare{"y", 0.75, 30}) || s[1] != (LimitShare{"x", 0.25, 10}) {
		t.Errorf("%v", s)
	}
	if s := b.Shares("none"); s != nil {
		t.Errorf("%v", s)
	}
}

func TestBoundGrid(t *testing.T) {
	s := &Summary{Models: []modelSummary{
		{Model: "a",
			LimitedBy: []LimitShare{{"output token limit", 0.92, 92}, {FreeRunning, 0.075, 7.5}, {"budget", 0.005, 0.5}}},
		{Model: "b"},
		{Model: "c", LimitedBy: []LimitShare{{FreeRunning, 0.6, 6}, {"concurrency", 0.4, 4}}},
	}}
	got := s.bounds().Text(render.Screen{})
	want := `limited by  output token rate  concurrency  not limited
─────────────────────────────────────────────────────────
a                        92 %            -          8 %
c                           -         40 %         60 %
`
	if strings.TrimRight(strings.Join(strings.Fields(got), " "), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if g := (&Summary{Models: []modelSummary{{Model: "a"}}}).grids(); len(g) > 0 && g[len(g)-1].Title == "Limited by" {
		t.Error("a table of nothing is shown")
	}
}

// TestTablesThatSayNothing: usual ends, runs that nothing limited and a single prefix
// have no table and no chart of their own; the first line counts models and variants.
func TestTablesThatSayNothing(t *testing.T) {
	m := modelSummary{Model: "m", Rows: 3, Outcomes: map[nightshift.Outcome]int64{nightshift.OutcomeOK: 3},
		StopReasons: map[string]int64{"end": 3}, LimitedBy: []LimitShare{{What: FreeRunning, Share: 1}},
		Prefixes: []prefixSummary{{"p", 1, entry{CacheRead: 10}}}}
	s := &Summary{Models: []modelSummary{m}}
	for _, g := range []render.Grid{s.stops(), s.bounds(), s.byPrefix()} {
		if len(g.Rows) != 0 {
			t.Errorf("%s: %q", g.Title, g.Rows)
		}
	}
	if c := s.stopsChart(); !c.Empty() {
		t.Errorf("a chart: %+v", c)
	}
	s.Models[0].StopReasons = map[string]int64{"end": 2, "max_tokens": 1}
	s.Models[0].Prefixes = append(m.Prefixes, prefixSummary{"q", 1, entry{CacheRead: 10}})
	if len(s.stops().Rows) != 1 || s.stopsChart().Empty() || len(s.byPrefix().Rows) != 2 {
		t.Errorf("%+v", s.stops())
	}
	for want, bases := range map[string][]string{"1 model": {""}, "2 models": {"a", "b"}, "3 models": {"a", "a", "b"},
		"2 models × 3 variants": {"a", "a", "a", "b", "b", "b"}, "1 model × 2 variants": {"a", "a"}} {
		if got := Asked(bases); got != want {
			t.Errorf("%v: %s, want %s", bases, got, want)
		}
	}
}
