// Package random draws numbers that depend on nothing but named circumstances.
package random

import (
	"fmt"
	"math"
)

// A Seed is the state from which everything random is drawn. It is extended
// with what the draw depends on, so that equal circumstances give equal draws
// in every process. It is FNV-1a underneath; draws go through a finalizer.
type Seed uint64

// Start is the seed that has not been extended yet.
const Start Seed = 14695981039346656037

const fnvPrime Seed = 1099511628211

// With extends the seed with a text.
func (s Seed) With(text string) Seed {
	for i := 0; i < len(text); i++ {
		s = (s ^ Seed(text[i])) * fnvPrime
	}
	return (s ^ 0xff) * fnvPrime // 0xff is in no UTF-8 text: "ab","c" differs from "a","bc"
}

// WithInt extends the seed with a number.
func (s Seed) WithInt(n uint64) Seed {
	for range 8 {
		s = (s ^ Seed(n&0xff)) * fnvPrime
		n >>= 8
	}
	return s
}

// Bits returns 64 well-mixed bits (the finalizer of SplitMix64).
func (s Seed) Bits() uint64 {
	z := uint64(s) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Roll draws a number in [0, 1) for the named purpose.
func (s Seed) Roll(purpose string) float64 {
	return float64(s.With(purpose).Bits()>>11) / (1 << 53)
}

// Below draws a number in [0, n) for the named purpose; 0 when n < 2.
func (s Seed) Below(purpose string, n int) int {
	if n < 2 {
		return 0
	}
	return int(s.With(purpose).Bits() % uint64(n))
}

// Normal draws from the standard normal distribution (Box-Muller).
func (s Seed) Normal(purpose string) float64 {
	u := 1 - s.Roll(purpose+" u")
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*s.Roll(purpose+" v"))
}

// Pick draws one of several for the named purpose.
func Pick[T any](s Seed, purpose string, from []T) T {
	return from[s.Below(purpose, len(from))]
}

// Text is the seed as 16 hexadecimal digits.
func (s Seed) Text() string { return fmt.Sprintf("%016x", uint64(s)) }
