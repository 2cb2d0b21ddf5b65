// Package words writes numbers, money, times and foreign text the way people
// read them in a terminal.
package words

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Counted is a number of things: "1 row", "2 rows".
func Counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
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

// Dollars writes money with as many places as it takes to see something.
// Where some cost is not known it is said to be at least so much.
func Dollars(d float64, atLeast bool) string {
	s := fmt.Sprintf("$%.2f", d)
	if d > 0 && d < 1 {
		s = fmt.Sprintf("$%.4f", d)
	}
	if atLeast && d == 0 {
		return "cost unknown"
	}
	if atLeast {
		return "at least " + s
	}
	return s
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
// bidirectional characters become visible escapes.
func Visible(s string) string {
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

func hidden(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Cut shortens a text to about n bytes.
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
