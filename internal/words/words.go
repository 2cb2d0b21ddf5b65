// Package words writes numbers, money, times and foreign text the way people
// read them in a terminal.
package words

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Plural is the word for n things: "row" or "rows".
func Plural(n int64, thing string) string {
	switch {
	case n == 1:
		return thing
	case strings.HasSuffix(thing, "batch"), strings.HasSuffix(thing, "prefix"):
		return thing + "es"
	}
	return thing + "s"
}

// Counted is a number of things: "1 row", "2 rows".
func Counted(n int64, thing string) string {
	return Thousands(n) + " " + Plural(n, thing)
}

// Short writes a count in three digits or so: 950, 1.2k, 34M.
func Short(n int64) string {
	f := float64(n)
	for _, unit := range []string{"", "k", "M", "G"} {
		if f < 999.5 {
			if unit == "" || f >= 99.95 {
				return fmt.Sprintf("%.0f%s", f, unit)
			}
			return fmt.Sprintf("%.1f%s", f, unit)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.0fT", f)
}

// Money writes dollars with as many places as it takes to see what matters: cents,
// below a dollar four places, and below a tenth of a cent two digits that are not zero.
func Money(usd float64) string {
	size := math.Abs(usd)
	switch {
	case size == 0 || size >= 1:
		return fmt.Sprintf("$%.2f", usd)
	case size >= 0.001:
		return fmt.Sprintf("$%.4f", usd)
	}
	places := min(1-int(math.Floor(math.Log10(size))), 9)
	text := strconv.FormatFloat(usd, 'f', places, 64)
	if places < 9 {
		return "$" + strings.TrimSuffix(text, "0")
	}
	return "$" + text
}

// Dollars is [Money]. Where some cost is not known it is said to be at least so
// much.
func Dollars(usd float64, atLeast bool) string {
	switch {
	case atLeast && usd == 0:
		return "cost unknown"
	case atLeast:
		return "at least " + Money(usd)
	}
	return Money(usd)
}

// Duration writes a time in one or two units: 40s, 12m, 3h05m.
func Duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()+0.5))
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Visible makes a text from outside safe for a terminal: control, format and
// bidirectional characters become visible escapes. Tabs stay.
func Visible(s string) string {
	return escape(s, func(r rune) bool { return r != '\t' && Hidden(r) })
}

// VisibleLine is [Visible] for one cell of a line: tabs are escaped too.
func VisibleLine(s string) string { return escape(s, Hidden) }

func escape(s string, hidden func(rune) bool) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u{%x}", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Hidden reports whether a character is a control, format or bidirectional
// one, which a terminal obeys or does not show.
func Hidden(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false // most text is ASCII, and the tables are slow
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Shorten cuts a text to at most n characters.
func Shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Cut shortens a text to about n bytes and says how long it was.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + fmt.Sprintf("… (%d bytes in all)", len(s))
}

// FromHere is a path as a person in the working directory would type it.
func FromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
