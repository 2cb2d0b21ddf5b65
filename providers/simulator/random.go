package simulator

import "math"

// A seed is the state from which everything random is drawn. It is extended
// with what the draw depends on, so that equal circumstances give equal draws
// in every process. It is FNV-1a underneath; draws go through a finalizer.
type seed uint64

const (
	fnvOffset seed = 14695981039346656037
	fnvPrime  seed = 1099511628211
)

// with extends the seed with a text.
func (s seed) with(text string) seed {
	for i := 0; i < len(text); i++ {
		s = (s ^ seed(text[i])) * fnvPrime
	}
	return (s ^ 0xff) * fnvPrime // 0xff is in no UTF-8 text: "ab","c" differs from "a","bc"
}

// withInt extends the seed with a number.
func (s seed) withInt(n uint64) seed {
	for range 8 {
		s = (s ^ seed(n&0xff)) * fnvPrime
		n >>= 8
	}
	return s
}

// bits returns 64 well-mixed bits (the finalizer of SplitMix64).
func (s seed) bits() uint64 {
	z := uint64(s) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// roll draws a number in [0, 1) for the named purpose.
func (s seed) roll(purpose string) float64 {
	return float64(s.with(purpose).bits()>>11) / (1 << 53)
}

// below draws a number in [0, n) for the named purpose; 0 when n < 2.
func (s seed) below(purpose string, n int) int {
	if n < 2 {
		return 0
	}
	return int(s.with(purpose).bits() % uint64(n))
}

// normal draws from the standard normal distribution (Box-Muller).
func (s seed) normal(purpose string) float64 {
	u := 1 - s.roll(purpose+" u")
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*s.roll(purpose+" v"))
}

// pick draws one of several.
func pick[T any](s seed, purpose string, from []T) T {
	return from[s.below(purpose, len(from))]
}
