package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"nightshift/internal/pattern"
	"nightshift/providers/pricing"
)

// A Size is a number of bytes: 100MB, 64MiB or 5000.
type Size int64

var sizeForm = pattern.Late(`(?i)^([0-9]+(?:\.[0-9]+)?) ?([kmg]?)(i?)b?$`)

// UnmarshalText reads bytes; MB is a million of them, MiB is 1,048,576.
func (s *Size) UnmarshalText(b []byte) error {
	m := sizeForm().FindStringSubmatch(strings.TrimSpace(string(b)))
	if m == nil {
		return fmt.Errorf("%q is not a size; write 100MB, 64MiB or a number of bytes", b)
	}
	unit := 1000.0
	if m[3] != "" {
		unit = 1024
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n *= math.Pow(unit, float64(strings.Index(" kmg", strings.ToLower(m[2] + " ")[:1])))
	if err != nil || n > 1<<50 {
		return fmt.Errorf("%q is too large a size", b)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes the number of bytes.
func (s Size) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// A Span is a duration that may be 0 and may be written in days: 36h, 2d.
type Span time.Duration

// UnmarshalText reads a duration; a bare number is seconds.
func (t *Span) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	if text == "0" {
		*t = 0
		return nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || math.IsNaN(n) || n <= 0 || n > 3650 {
			return fmt.Errorf("%q is not a duration; write 36h or 2d", text)
		}
		*t = Span(n * float64(24*time.Hour))
		return nil
	}
	return (*Duration)(t).UnmarshalText(b)
}

// MarshalText writes the duration as Go does.
func (t Span) MarshalText() ([]byte, error) { return Duration(t).MarshalText() }

// A Window is how long a provider may take for a batch, in the provider's own
// words: 24h, 7d, or a word such as background.
type Window string

var windowWord = pattern.Late(`^[a-z][a-z_-]{2,30}$`)

// UnmarshalText reads a duration or a word.
func (w *Window) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	var span Span
	if err := span.UnmarshalText(b); err == nil && span == 0 || err != nil && !windowWord().MatchString(text) {
		return fmt.Errorf("%q is not a window; write 24h, 7d or the provider's word", text)
	}
	*w = Window(text)
	return nil
}

// A Poll is how often batches are looked at: one duration, or the first and the
// longest, as 10s..5m.
type Poll struct{ First, Most time.Duration }

// UnmarshalText reads 60s or 10s..5m.
func (p *Poll) UnmarshalText(b []byte) error {
	first, most, ranged := strings.Cut(string(b), "..")
	if !ranged {
		most = first
	}
	var from, to Duration
	if err := from.UnmarshalText([]byte(first)); err != nil {
		return err
	}
	if err := to.UnmarshalText([]byte(most)); err != nil {
		return err
	}
	if to < from {
		return fmt.Errorf("%q: the longest time comes second, as in 10s..5m", b)
	}
	*p = Poll{time.Duration(from), time.Duration(to)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p Poll) MarshalText() ([]byte, error) {
	return []byte(p.First.String() + ".." + p.Most.String()), nil
}

// IsZero reports whether it was left out.
func (p Poll) IsZero() bool { return p == Poll{} }

// A Multiplier of a price: one number for all classes of tokens, or
// INPUT:OUTPUT, or INPUT:OUTPUT:CACHE_READ:CACHE_WRITE.
type Multiplier pricing.Factors

// UnmarshalText reads 0.5 or 0.5:0.5:1:0.5.
func (m *Multiplier) UnmarshalText(b []byte) error {
	f, err := pricing.ParseFactors(strings.TrimSpace(string(b)))
	*m = Multiplier(f)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (m Multiplier) MarshalText() ([]byte, error) { return []byte(pricing.Factors(m).String()), nil }
