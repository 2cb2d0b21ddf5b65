package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// exactFlips is the most non-zero differences whose sign patterns are all
// tried.
const exactFlips = 16

// signFlip is the two-sided randomisation test of paired differences: under no
// difference each sign is as likely as the other, and the statistic is the
// absolute sum (R. A. Fisher, 1935). Zeros are dropped. Up to 16 differences
// it tries all patterns, beyond that Options.Resamples random ones with
// p = (1 + exceed)/(1 + resamples). It returns p and the name of the test.
// On differences of 0 and ±1 the exact test is McNemar's.
func signFlip(d []float64, opt Options) (p float64, test string) {
	sizes, observed := nonZero(d)
	if len(sizes) <= exactFlips {
		return signFlipExact(sizes, observed), "sign-flip exact"
	}
	exceed := countFlips(sizes, observed, opt.resamples(), opt.Seed^fingerprint(sizes))
	return monteCarloP(exceed, opt.resamples()), "sign-flip"
}

// monteCarloP is the p of a random test of which exceed resamples were at
// least as extreme as the data; the data count as one more, so it is never 0.
func monteCarloP(exceed, resamples int) float64 {
	return float64(1+exceed) / float64(1+resamples)
}

// nonZero returns the sizes of the non-zero differences, sorted so that the
// order of rows does not show, and the absolute sum to reach. Sums that ought
// to be equal differ in their last bits, so the bar is a hair lower.
func nonZero(d []float64) (sizes []float64, observed float64) {
	for _, v := range d {
		if math.Abs(v) > tied {
			sizes = append(sizes, math.Abs(v))
		}
	}
	slices.Sort(sizes)
	return sizes, math.Abs(Sum(d)) - 1e-12*Sum(sizes)
}

// signFlipExact tries all patterns of signs.
func signFlipExact(sizes []float64, observed float64) float64 {
	patterns := 1 << len(sizes)
	hits := 0
	for pattern := range patterns {
		sum := 0.0
		for i, s := range sizes {
			if pattern>>i&1 == 1 {
				s = -s
			}
			sum += s
		}
		if math.Abs(sum) >= observed {
			hits++
		}
	}
	return float64(hits) / float64(patterns)
}

// fingerprint makes the random patterns differ between data sets. With the same
// patterns for all, their luck would be everybody's: the level of the test
// would be off by a little, always to the same side.
func fingerprint(sizes []float64) uint64 {
	h := uint64(14695981039346656037) // FNV-1a, a word at a time
	for _, s := range sizes {
		h = (h ^ math.Float64bits(s)) * 1099511628211
		h ^= h >> 29
	}
	return h
}

// countFlips counts the random patterns whose absolute sum reaches observed.
//
// Items go eight at a time: all 256 signed sums of the eight are tabulated
// once, and each resample then picks one by a random byte. That is eight items
// for one addition, which makes a million items times 10,000 resamples a
// matter of seconds.
func countFlips(sizes []float64, observed float64, resamples int, seed uint64) int {
	sums := make([]float64, resamples)
	source := rand.NewPCG(seed, 0x5167_6e66_6c69_7073)
	var table [256]float64
	for start := 0; start < len(sizes); start += 8 {
		signedSums(&table, sizes[start:min(start+8, len(sizes))])
		var bits uint64
		for r := range sums {
			if r%8 == 0 {
				bits = source.Uint64()
			}
			sums[r] += table[byte(bits)]
			bits >>= 8
		}
	}
	hits := 0
	for _, s := range sums {
		if math.Abs(s) >= observed {
			hits++
		}
	}
	return hits
}

// signedSums fills the table with the sum of values under each sign pattern; a
// set bit is a minus.
func signedSums(table *[256]float64, values []float64) {
	table[0] = 0
	for _, v := range values {
		table[0] += v
	}
	for pattern := 1; pattern < len(table); pattern++ {
		table[pattern] = table[0]
		for i, v := range values {
			if pattern>>i&1 == 1 {
				table[pattern] -= 2 * v
			}
		}
	}
}
