package pricing

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"nightshift"
)

// A Rate is a price in nano-dollars per million tokens: $3 per million is
// 3,000,000,000. Prices below a nano-dollar a token (0.0028 dollars a million)
// are whole numbers too.
type Rate int64

// A Factor is a multiplier in millionths: 1,000,000 leaves a price as it is.
type Factor int64

const (
	million = 1_000_000

	// One is the Factor that changes nothing.
	One Factor = million

	maxRate   = 1_000_000 // dollars per million tokens; more is a mistake of unit
	maxFactor = 1_000
)

// ParseRate reads dollars per million tokens, exactly; digits beyond a
// nano-dollar are rounded half up.
func ParseRate(dollars string) (Rate, error) {
	n, err := scaled(dollars, 1_000_000_000, maxRate)
	if err != nil {
		return 0, fmt.Errorf("price %q: %w", dollars, err)
	}
	return Rate(n), nil
}

// ParseFactor reads a multiplier such as 0.5 or 1.25.
func ParseFactor(text string) (Factor, error) {
	n, err := scaled(text, million, maxFactor)
	if err != nil {
		return 0, fmt.Errorf("multiplier %q: %w", text, err)
	}
	return Factor(n), nil
}

// ParseUSD reads an amount in dollars.
func ParseUSD(dollars string) (nightshift.NanoUSD, error) {
	n, err := scaled(dollars, 1_000_000_000, 1_000_000_000)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", dollars, err)
	}
	return nightshift.NanoUSD(n), nil
}

// scaled is text × unit, rounded half up. The value must lie in [0, most].
func scaled(text string, unit int64, most float64) (int64, error) {
	text = strings.TrimSpace(text)
	// ParseFloat first: it bounds exponents that big.Rat would spend
	// gigabytes on.
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(f) || len(text) > 64:
		return 0, errors.New("not a number")
	case f < 0:
		return 0, errors.New("below zero")
	case f > most:
		return 0, fmt.Errorf("above %g", most)
	case f < 1e-30:
		return 0, nil
	}
	if n, ok := scaledPlain(text, unit); ok {
		return n, nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, errors.New("not a decimal number")
	}
	r.Mul(r, new(big.Rat).SetInt64(unit))
	r.Add(r, big.NewRat(1, 2))
	return new(big.Int).Quo(r.Num(), r.Denom()).Int64(), nil
}

// scaledPlain is text × unit, rounded half up, for short numbers of digits and
// at most one point. ok is false for all others. A table holds many of
// them and is read at every start: big.Rat would take most of that time.
func scaledPlain(text string, unit int64) (n int64, ok bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	digits, err := strconv.ParseUint(whole+fraction, 10, 63)
	if err != nil || whole == "" || len(fraction) > 18 {
		return 0, false
	}
	power := uint64(1)
	for range len(fraction) {
		power *= 10
	}
	hi, lo := bits.Mul64(digits, uint64(unit))
	lo, carry := bits.Add64(lo, power/2, 0)
	if hi += carry; hi >= power {
		return 0, false
	}
	quotient, _ := bits.Div64(hi, lo, power)
	return int64(quotient), quotient <= math.MaxInt64
}

// of is the cost of tokens at the rate, rounded half up.
func (r Rate) of(tokens int64) nightshift.NanoUSD {
	return nightshift.NanoUSD(mulDiv(tokens, int64(r), million/2))
}

// atMost is the cost of tokens at the rate, rounded up.
func (r Rate) atMost(tokens int64) nightshift.NanoUSD {
	return nightshift.NanoUSD(mulDiv(tokens, int64(r), million-1))
}

// times multiplies the rate, rounded half up.
func (r Rate) times(f Factor) Rate { return Rate(mulDiv(int64(r), int64(f), million/2)) }

// mulDiv is (a×b + carry) / 1,000,000 without overflow on the way, at most
// MaxInt64. A negative factor counts as 0.
func mulDiv(a, b, carry int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, c := bits.Add64(lo, uint64(carry), 0)
	hi += c
	if hi >= million {
		return math.MaxInt64
	}
	quo, _ := bits.Div64(hi, lo, million)
	return int64(min(quo, math.MaxInt64))
}

// multiply is n × each, at most MaxInt64.
func multiply(n int64, each nightshift.NanoUSD) nightshift.NanoUSD {
	if n <= 0 || each <= 0 {
		return 0
	}
	if int64(each) > math.MaxInt64/n {
		return math.MaxInt64
	}
	return nightshift.NanoUSD(n) * each
}

// add sums amounts that are not negative, at most MaxInt64.
func add(amounts ...nightshift.NanoUSD) (sum nightshift.NanoUSD) {
	for _, a := range amounts {
		if sum > math.MaxInt64-a {
			return math.MaxInt64
		}
		sum += a
	}
	return sum
}

// String is the rate in dollars per million tokens, exactly.
func (r Rate) String() string { return decimal(int64(r), 9) }

// String is the multiplier as a decimal number.
func (f Factor) String() string { return decimal(int64(f), 6) }

// decimal writes n / 10^places without trailing zeros.
func decimal(n int64, places int) string {
	s := fmt.Sprintf("%0*d", places+1, n)
	whole, frac := s[:len(s)-places], strings.TrimRight(s[len(s)-places:], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// MarshalJSON writes dollars per million tokens as a JSON number.
func (r Rate) MarshalJSON() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalJSON reads dollars per million tokens.
func (r *Rate) UnmarshalJSON(b []byte) (err error) {
	*r, err = ParseRate(string(b))
	return err
}

// MarshalJSON writes the multiplier as a JSON number.
func (f Factor) MarshalJSON() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalJSON reads a multiplier.
func (f *Factor) UnmarshalJSON(b []byte) (err error) {
	*f, err = ParseFactor(string(b))
	return err
}

// UnmarshalText reads dollars per million tokens.
func (r *Rate) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRate(string(b))
	return err
}

// UnmarshalText reads a multiplier.
func (f *Factor) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFactor(string(b))
	return err
}
