package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nightshift/internal/words"
)

var sprintf = fmt.Sprintf

// Count writes a number with thousands separators.
func Count(n int64) string { return words.Thousands(n) }

// Known is Count; "-" when unknown.
func Known(n *int64) string {
	if n == nil {
		return "-"
	}
	return Count(*n)
}

// Money writes billionths of a dollar; atLeast marks a lower bound.
func Money(nano int64, atLeast bool) string {
	if atLeast {
		return "≥ " + words.Money(float64(nano)/1e9)
	}
	return words.Money(float64(nano) / 1e9)
}

// Seconds writes milliseconds as people say them; "-" when unknown.
func Seconds(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms >= 0 && *ms < 1:
		return "< 1 ms"
	case *ms < 1000:
		return sprintf("%.0f ms", *ms)
	case *ms < 100_000:
		return sprintf("%.2f s", *ms/1000)
	}
	return sprintf("%.0f s", *ms/1000)
}

// Counted is a number of things: "1 row", "1,200 rows".
func Counted(n int64, thing string) string { return words.Counted(n, thing) }

// Unknown is a figure of which nothing is known.
const Unknown = "unknown"

// Tally lists names with how many there are of each.
func Tally(counts map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, sprintf("%s (%s)", name, Count(counts[name])))
	}
	return strings.Join(parts, ", ")
}
