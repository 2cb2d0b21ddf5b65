package batching

import (
	"math/bits"

	"nightshift"
)

// splitter returns a func that gives the share of item i in a total, by the
// length of the texts. The shares of all items add up to the total.
func splitter(items []*item) func(total int64, i int) int64 {
	ends := make([]uint64, len(items)) // bytes up to the end of each text
	sum := uint64(0)
	for i, it := range items {
		sum += uint64(len(it.text))
		ends[i] = sum
	}
	upTo := func(total int64, i int) int64 {
		if i < 0 || sum == 0 {
			return 0
		}
		high, low := bits.Mul64(uint64(total), ends[i])
		part, _ := bits.Div64(high, low, sum) // ends[i] is at most sum, so it fits
		return int64(part)
	}
	return func(total int64, i int) int64 {
		if total <= 0 {
			return 0
		}
		return upTo(total, i) - upTo(total, i-1)
	}
}

// shares divides an attempt among the rows that it was made for.
func shares(a nightshift.Attempt, items []*item) []nightshift.Attempt {
	split, usage := splitter(items), shareOf(a.Usage, items)
	all := make([]nightshift.Attempt, len(items))
	for i := range items {
		own := a
		own.Usage = usage(i)
		own.WorstTokens = split(a.WorstTokens, i)
		own.WorstCost = nightshift.NanoUSD(split(int64(a.WorstCost), i))
		own.Cost = shareOfCost(a.Cost, split, i)
		all[i] = own
	}
	return all
}

// shareOf divides a usage. What is unknown stays so.
func shareOf(u nightshift.Usage, items []*item) func(i int) nightshift.Usage {
	split := splitter(items)
	return func(i int) nightshift.Usage {
		own := u
		for _, c := range []*nightshift.Count{
			&own.Input, &own.CacheRead, &own.CacheWrite5m, &own.CacheWrite1h, &own.Output, &own.Reasoning,
			&own.AudioInput, &own.ImageInput, &own.AudioOutput, &own.ImageOutput, &own.Searches,
		} {
			if n, known := c.Get(); known {
				*c = nightshift.Tokens(split(n, i))
			}
		}
		own.Reported = shareOfCost(u.Reported, split, i)
		return own
	}
}

func shareOfCost(cost *nightshift.NanoUSD, split func(int64, int) int64, i int) *nightshift.NanoUSD {
	if cost == nil {
		return nil
	}
	own := nightshift.NanoUSD(split(int64(*cost), i))
	return &own
}
