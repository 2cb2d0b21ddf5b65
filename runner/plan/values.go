package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nightshift"
	"nightshift/providers/pricing"
)

// Strings is one text or a list of texts.
type Strings []string

func (s *Strings) decodeNode(d *decoder, n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.ScalarNode:
		*s = Strings{n.Value}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			item, ok := d.enter(item, path)
			if !ok {
				return
			}
			itemPath := fmt.Sprintf("%s[%d]", path, i)
			d.source.nodes[itemPath] = item
			if text, ok := d.scalar(item, itemPath, "a text"); ok {
				*s = append(*s, text)
			}
			d.leave()
		}
	default:
		d.wrong(n, path, "a text or a list of texts")
	}
}

// A Duration is written as 500ms, 60s, 10m, 2h or 1h30m; a bare number is
// seconds.
type Duration time.Duration

// UnmarshalText reads a duration.
func (t *Duration) UnmarshalText(b []byte) error {
	text := strings.ReplaceAll(string(b), " ", "")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(seconds) && math.Abs(seconds) < 1e9 {
		*t = Duration(seconds * float64(time.Second))
		return t.positive(text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write 500ms, 60s, 10m or 2h", text)
	}
	*t = Duration(d)
	return t.positive(text)
}

func (t Duration) positive(text string) error {
	if t <= 0 {
		return fmt.Errorf("%q: a duration must be above zero; leave it out for the default", text)
	}
	return nil
}

// MarshalText writes the duration as Go does.
func (t Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(t).String()), nil }

// IsZero reports whether the duration was left out.
func (t Duration) IsZero() bool { return t == 0 }

// USD is an amount of dollars, exact to the nano-dollar.
type USD nightshift.NanoUSD

// UnmarshalText reads dollars, with or without a dollar sign.
func (u *USD) UnmarshalText(b []byte) error {
	n, err := pricing.ParseUSD(strings.TrimPrefix(strings.TrimSpace(string(b)), "$"))
	*u = USD(n)
	return err
}

// MarshalJSON writes dollars as a number.
func (u USD) MarshalJSON() ([]byte, error) {
	return []byte(strconv.FormatFloat(nightshift.NanoUSD(u).Dollars(), 'f', -1, 64)), nil
}

// A Tolerance is a number of rows or a share of them.
type Tolerance struct {
	Count int64   // rows; counts when Share is 0
	Share float64 // 0 to 1
}

// UnmarshalText reads "3", "1%" or "0.01". A number below 1 that is not 0 is
// a share.
func (t *Tolerance) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, percent := strings.CutSuffix(text, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || math.IsNaN(f) || f < 0 || math.IsInf(f, 0):
		return fmt.Errorf("%q is neither a number of rows (3) nor a share (1%%)", text)
	case percent && f > 100:
		return fmt.Errorf("%q is more than all rows", text)
	case percent:
		*t = Tolerance{Share: f / 100}
	case f > 0 && f < 1:
		*t = Tolerance{Share: f}
	case f != math.Trunc(f) || f > 1<<53:
		return fmt.Errorf("%q is not a whole number of rows", text)
	default:
		*t = Tolerance{Count: int64(f)}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (t Tolerance) MarshalText() ([]byte, error) {
	if t.Share > 0 {
		return []byte(strconv.FormatFloat(t.Share*100, 'g', -1, 64) + "%"), nil
	}
	return strconv.AppendInt(nil, t.Count, 10), nil
}

// Points is a difference of scores, written as "1.5 points": 0.015.
type Points float64

// UnmarshalText reads a number of points. A bare number is refused: 1.5 and 0.015 could
// both be meant.
func (p *Points) UnmarshalText(b []byte) error {
	number, ok := strings.CutSuffix(strings.TrimSuffix(strings.TrimSpace(string(b)), "s"), "point")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(f > 0 && f < 100) {
		return fmt.Errorf("%q is no difference of scores; write \"1.5 points\", which is 0.015 of a score", b)
	}
	*p = Points(f / 100)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p Points) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(math.Round(float64(p)*1e8)/1e6, 'g', -1, 64) + " points"), nil
}

// IsZero reports whether the difference was left out.
func (p Points) IsZero() bool { return p == 0 }

// IsZero reports whether no failed row is tolerated.
func (t Tolerance) IsZero() bool { return t == Tolerance{} }

// Exceeded reports whether so many failed rows of so many are too many.
func (t Tolerance) Exceeded(failed, rows int64) bool {
	if t.Share > 0 {
		return float64(failed) > t.Share*float64(rows)
	}
	return failed > t.Count
}
