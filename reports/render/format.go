package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var sprintf = fmt.Sprintf

// Count writes a number with thousands separators.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Money writes dollars with as many places as it takes to see the cents that
// matter.
func Money(nano int64, atLeast bool) string {
	usd := float64(nano) / 1e9
	s := sprintf("$%.2f", usd)
	if usd != 0 && usd < 1 && usd > -1 {
		s = sprintf("$%.4f", usd)
	}
	if atLeast {
		return "≥ " + s
	}
	return s
}

// Seconds writes milliseconds as people say them; "-" when unknown.
func Seconds(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 1000:
		return sprintf("%.0f ms", *ms)
	case *ms < 100_000:
		return sprintf("%.2f s", *ms/1000)
	}
	return sprintf("%.0f s", *ms/1000)
}

// Counted is a number of things: "1 row", "1,200 rows".
func Counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Count(n) + " " + thing
}

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
