package nightshift

import (
	"bytes"
	"fmt"
	"strconv"
)

// A Count is a number of tokens, or unknown. The zero value is unknown, which
// is not zero.
type Count struct {
	// bits are the number with its sign bit turned over: an unknown one takes no
	// room of its own, and a usage is half as large.
	bits uint64
}

const signBit = 1 << 63

// Tokens returns a known count.
func Tokens(n int64) Count { return Count{uint64(n) ^ signBit} }

// Get returns the count and whether it is known; 0 when it is not.
func (c Count) Get() (n int64, known bool) { return c.N(), c.Known() }

// N returns the count, 0 when it is unknown.
func (c Count) N() int64 {
	if !c.Known() {
		return 0
	}
	return int64(c.bits ^ signBit)
}

// Known reports whether the count was reported.
func (c Count) Known() bool { return c.bits != 0 }

// IsZero reports whether the count is unknown; it makes `omitzero` drop it.
func (c Count) IsZero() bool { return !c.Known() }

// Pointer returns the count for a nullable column.
func (c Count) Pointer() *int64 {
	if !c.Known() {
		return nil
	}
	n := c.N()
	return &n
}

// Add sums two counts. An unknown part leaves the other as it is; two unknown
// counts stay unknown.
func (c Count) Add(d Count) Count {
	if !c.Known() && !d.Known() {
		return c
	}
	return Tokens(c.N() + d.N())
}

func (c Count) String() string {
	if !c.Known() {
		return "unknown"
	}
	return strconv.FormatInt(c.N(), 10)
}

func (c Count) MarshalJSON() ([]byte, error) {
	if !c.Known() {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, c.N(), 10), nil
}

func (c *Count) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*c = Count{}
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("token count: %w", err)
	}
	*c = Tokens(n)
	return nil
}

// Usage is what one answer used, in disjoint classes. Input counts the tokens
// that were neither read from nor written to a cache. Reasoning is a sub-count:
// it lies inside Output. Counts are unknown where the server did
// not report them.
type Usage struct {
	Input        Count `json:"input,omitzero"`
	CacheRead    Count `json:"cache_read,omitzero"`
	CacheWrite5m Count `json:"cache_write_5m,omitzero"`
	CacheWrite1h Count `json:"cache_write_1h,omitzero"`
	Output       Count `json:"output,omitzero"`
	Reasoning    Count `json:"reasoning,omitzero"`

	// AudioInput and ImageInput are the part of all input that was not text,
	// AudioOutput and ImageOutput that of Output: sub-counts too, with prices
	// of their own. They are unknown, not 0, where there was none.
	AudioInput  Count `json:"audio_input,omitzero"`
	ImageInput  Count `json:"image_input,omitzero"`
	AudioOutput Count `json:"audio_output,omitzero"`
	ImageOutput Count `json:"image_output,omitzero"`

	// Searches are server-side tool requests that are billed apiece.
	Searches Count `json:"searches,omitzero"`
	// ServiceTier and Region are the server's words where they change the
	// price ("batch", "priority", "flex"; "us").
	ServiceTier string `json:"service_tier,omitempty"`
	Region      string `json:"region,omitempty"`
	// Reported is the cost that the provider itself stated.
	Reported *NanoUSD `json:"reported_cost,omitempty"`
}

// Media says which kinds of tokens besides text a request can use.
type Media struct {
	AudioInput, AudioOutput bool
	ImageInput, ImageOutput bool
}

// InputTotal is all input, cached tokens included.
func (u Usage) InputTotal() Count {
	return u.Input.Add(u.CacheRead).Add(u.CacheWrite5m).Add(u.CacheWrite1h)
}

// Total is all input and output.
func (u Usage) Total() Count { return u.InputTotal().Add(u.Output) }

// Known reports whether the server reported input or output at all.
func (u Usage) Known() bool { return u.Total().Known() }

// Add sums two usages class by class; an unknown class leaves the other as it
// is. Tier and region are kept where both agree.
func (u Usage) Add(v Usage) Usage {
	sum := Usage{
		Input:        u.Input.Add(v.Input),
		CacheRead:    u.CacheRead.Add(v.CacheRead),
		CacheWrite5m: u.CacheWrite5m.Add(v.CacheWrite5m),
		CacheWrite1h: u.CacheWrite1h.Add(v.CacheWrite1h),
		Output:       u.Output.Add(v.Output),
		Reasoning:    u.Reasoning.Add(v.Reasoning),
		AudioInput:   u.AudioInput.Add(v.AudioInput),
		ImageInput:   u.ImageInput.Add(v.ImageInput),
		AudioOutput:  u.AudioOutput.Add(v.AudioOutput),
		ImageOutput:  u.ImageOutput.Add(v.ImageOutput),
		Searches:     u.Searches.Add(v.Searches),
		Reported:     addCosts(u.Reported, v.Reported),
	}
	if u.ServiceTier == v.ServiceTier {
		sum.ServiceTier = u.ServiceTier
	}
	if u.Region == v.Region {
		sum.Region = u.Region
	}
	return sum
}

func addCosts(a, b *NanoUSD) *NanoUSD {
	if a == nil && b == nil {
		return nil
	}
	var sum NanoUSD
	for _, c := range []*NanoUSD{a, b} {
		if c != nil {
			sum += *c
		}
	}
	return &sum
}

// NanoUSD is money in billionths of a US dollar. A price of $3 per million
// tokens is 3,000 of them a token, so the costs of whole tokens are whole
// numbers and sums do not depend on their order.
type NanoUSD int64

// Dollars returns the amount in dollars.
func (n NanoUSD) Dollars() float64 { return float64(n) / 1e9 }
