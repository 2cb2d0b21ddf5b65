package reports

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	sprintf = fmt.Sprintf
	join    = strings.Join
)

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func splitFlags(flags *string) []string {
	if flags == nil || *flags == "" {
		return nil
	}
	return strings.Split(*flags, ",")
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}

// count writes a number with thousands separators.
func count(n int64) string {
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

// money writes dollars with as many places as it takes to see the cents that
// matter.
func money(nano int64, atLeast bool) string {
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

// seconds writes milliseconds as people say them; "-" when unknown.
func seconds(ms *float64) string {
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
