package reports

import (
	"fmt"
	"strings"
	"time"
)

var sprintf = fmt.Sprintf

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
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
