package words

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Thousands writes n with commas: 1,234,567.
func Thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes writes a number of bytes in the largest unit that it fills: 1.5 MiB.
func Bytes(n int64) string {
	for _, u := range []struct {
		bytes int64
		label string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.bytes {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.bytes)), ".0") + " " + u.label
		}
	}
	return fmt.Sprint(n) + " bytes"
}

// Quote quotes a text for a message, cut where it is long.
func Quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
