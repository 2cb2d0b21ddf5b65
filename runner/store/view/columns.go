package view

import "time"

// Value is what a nullable column holds, the zero value for null.
func Value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Earlier returns the earlier of two times; null is none.
func Earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

// Later returns the later of two times; null is none.
func Later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
