// Package pricing turns tokens into money: a dated [Table] of list prices,
// and exact arithmetic over a [Price] and a [nightshift.Usage].
//
// Money is counted in whole nano-dollars. A class of tokens (input, cache
// read, 5-minute and 1-hour cache write, output, searches) is priced once, and
// each class is rounded half up to a whole nano-dollar, so the parts of a cost
// add up to it exactly. What is not known is not priced at all: no function
// here returns 0 for "unknown".
package pricing

import (
	"slices"

	"nightshift"
)

// A Price is what one model costs. The zero Price is free, not unknown;
// unknown is the absence of a Price.
type Price struct {
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	Mode     string `json:"mode,omitempty"` // "chat", "responses", …; as the source says

	Rates
	// Long re-rates a whole request whose input is longer than a threshold.
	// Of those that apply the highest threshold counts.
	Long []Long `json:"long,omitempty"`
	// Services are multipliers by the service tier that the answer names
	// ("batch", "flex", "priority").
	Services map[string]Factors `json:"services,omitempty"`
	// Regions are multipliers by the region that the answer names ("us").
	Regions map[string]Factors `json:"regions,omitempty"`
	// Search is the price of one server-side tool request; nil when unknown.
	Search *nightshift.NanoUSD `json:"search_nano_usd,omitempty"`

	MaxInput  int64 `json:"max_input,omitempty"`  // context window in tokens; 0 unknown
	MaxOutput int64 `json:"max_output,omitempty"` // most output tokens of one answer; 0 unknown
}

// Rates are the base prices of the token classes.
type Rates struct {
	Input  Rate `json:"input"`
	Output Rate `json:"output"`
	// CacheRead is nil where no price is listed: cached tokens then cost what
	// uncached ones do.
	CacheRead *Rate `json:"cache_read,omitempty"`
	// CacheWrite5m and CacheWrite1h are nil or 0 where writing is not charged
	// separately: those tokens then cost what uncached ones do.
	CacheWrite5m *Rate `json:"cache_write_5m,omitempty"`
	CacheWrite1h *Rate `json:"cache_write_1h,omitempty"`
	// Sound and pictures have prices of their own. nil is not known, and such
	// tokens then have no price; it is never that of text. A model whose text
	// is free is free altogether.
	AudioInput  *Rate `json:"audio_input,omitempty"`
	AudioOutput *Rate `json:"audio_output,omitempty"`
	ImageInput  *Rate `json:"image_input,omitempty"`
	ImageOutput *Rate `json:"image_output,omitempty"`
}

// Long is a price tier for long prompts.
type Long struct {
	Above int64 `json:"above"` // input tokens, cached ones included, that must be exceeded
	Factors
}

// Factors multiply the rates of the token classes.
type Factors struct {
	Input      Factor `json:"input"`
	CacheRead  Factor `json:"cache_read"`
	CacheWrite Factor `json:"cache_write"`
	Output     Factor `json:"output"`
}

// Times returns the same factor for every class.
func Times(f Factor) Factors { return Factors{f, f, f, f} }

func inputFactor(f Factors) Factor  { return f.Input }
func readFactor(f Factors) Factor   { return f.CacheRead }
func writeFactor(f Factors) Factor  { return f.CacheWrite }
func outputFactor(f Factors) Factor { return f.Output }

func (r Rates) cacheRead() Rate {
	if r.CacheRead == nil {
		return r.Input
	}
	return *r.CacheRead
}

func (r Rates) cacheWrite5m() Rate { return writeRate(r.CacheWrite5m, r.Input) }

// cacheWrite1h falls back to the 5-minute rate only through the input rate: a
// table that lists one of the two without the other says nothing of the other.
func (r Rates) cacheWrite1h() Rate { return writeRate(r.CacheWrite1h, r.Input) }

func writeRate(r *Rate, input Rate) Rate {
	if r == nil || *r == 0 {
		return input
	}
	return *r
}

func (r Rates) free() bool { return r.Input == 0 && r.Output == 0 }

// parts is a cost by class. Reasoning tokens are inside Output, and sound and
// pictures inside Input and Output.
type parts struct {
	Input        nightshift.NanoUSD
	CacheRead    nightshift.NanoUSD
	CacheWrite5m nightshift.NanoUSD
	CacheWrite1h nightshift.NanoUSD
	Output       nightshift.NanoUSD
	Searches     nightshift.NanoUSD
}

// total is the sum of the parts.
func (p parts) total() nightshift.NanoUSD {
	return add(p.Input, p.CacheRead, p.CacheWrite5m, p.CacheWrite1h, p.Output, p.Searches)
}

// Cost is the price of one answer's usage. ok is false when it cannot be
// known: input or output was not reported, searches, sound or pictures have no
// price, the answer names a service tier that changes prices by an unknown
// amount, or sound or pictures stand beside a cache, and which of them were in
// it is not said.
func Cost(p Price, u nightshift.Usage) (cost nightshift.NanoUSD, ok bool) {
	each, ok := split(p, u)
	return each.total(), ok
}

// split is Cost by class. When ok is false the parts are zero.
func split(p Price, u nightshift.Usage) (each parts, ok bool) {
	factors, ok := p.factors(u)
	if !ok || !u.InputTotal().Known() || !u.Output.Known() {
		return parts{}, false
	}
	searches, ok := p.searches(u.Searches.N())
	if !ok {
		return parts{}, false
	}
	in := mixture{u.Input.N(), p.Input, []medium{
		{u.AudioInput.N(), p.AudioInput}, {u.ImageInput.N(), p.ImageInput},
	}}
	out := mixture{u.Output.N(), p.Output, []medium{
		{u.AudioOutput.N(), p.AudioOutput}, {u.ImageOutput.N(), p.ImageOutput},
	}}
	cached := u.InputTotal().N() > u.Input.N()
	input, known := in.cost(inputFactor, factors)
	output, ok := out.cost(outputFactor, factors)
	if !p.free() && (!known || !ok || cached && !in.plain()) {
		return parts{}, false
	}
	return parts{
		Input:        input,
		CacheRead:    cost(u.CacheRead.N(), p.cacheRead(), readFactor, factors),
		CacheWrite5m: cost(u.CacheWrite5m.N(), p.cacheWrite5m(), writeFactor, factors),
		CacheWrite1h: cost(u.CacheWrite1h.N(), p.cacheWrite1h(), writeFactor, factors),
		Output:       output,
		Searches:     searches,
	}, true
}

// A mixture is tokens of text, and within them media with rates of their own.
type mixture struct {
	tokens int64
	text   Rate
	media  []medium
}

// A medium is sound or pictures; the rate is nil when it is not known.
type medium struct {
	tokens int64
	rate   *Rate
}

// asText reports whether the medium needs no rate of its own.
func (m medium) asText(text Rate) bool { return m.tokens <= 0 || m.rate != nil && *m.rate == text }

func (m mixture) plain() bool {
	return !slices.ContainsFunc(m.media, func(part medium) bool { return !part.asText(m.text) })
}

// cost prices the mixture. ok is false when a rate is not known, or the media
// are more than the whole.
func (m mixture) cost(factor func(Factors) Factor, factors []Factors) (sum nightshift.NanoUSD, ok bool) {
	rest := m.tokens
	for _, part := range m.media {
		if part.asText(m.text) {
			continue
		}
		if part.rate == nil || part.tokens > rest {
			return cost(m.tokens, m.text, factor, factors), false
		}
		rest -= part.tokens
		sum = add(sum, cost(part.tokens, *part.rate, factor, factors))
	}
	return add(sum, cost(rest, m.text, factor, factors)), true
}

// cost applies the factors one after another to the rate and prices the
// tokens. Negative counts, which no server means, cost nothing.
func cost(tokens int64, rate Rate, factor func(Factors) Factor, factors []Factors) nightshift.NanoUSD {
	for _, f := range factors {
		rate = rate.times(factor(f))
	}
	return rate.of(tokens)
}

// factors lists the multipliers that apply to an answer. ok is false when one
// must apply and is not known.
func (p Price) factors(u nightshift.Usage) (factors []Factors, ok bool) {
	if f, long := p.longFactor(u.InputTotal().N()); long {
		factors = append(factors, f)
	}
	switch f, listed := p.Services[u.ServiceTier]; {
	case listed:
		factors = append(factors, f)
	case !p.Covers(u.ServiceTier):
		return nil, false
	}
	if f, listed := p.Regions[u.Region]; listed {
		factors = append(factors, f)
	}
	return factors, true
}

// repriced reports whether a service tier is known to change prices. Words
// that are not known to (standard, default, a gateway's own) change nothing.
func repriced(tier string) bool {
	switch tier {
	case Batch, "flex", "priority", "fast":
		return true
	}
	return false
}

// Batch is the service tier of requests that are sent through a batch API.
const Batch = "batch"

// BatchTier is the service tier that an answer of a batch is priced by.
// answered is the one that it names: providers write default, their own words
// or nothing there, so a batch's answer is priced as one whatever it says,
// unless it names another tier that is known to change prices.
func BatchTier(answered string) string {
	if repriced(answered) {
		return answered
	}
	return Batch
}

// Covers reports whether the price of an answer of this service tier is known.
// A model that is free is free in every tier.
func (p Price) Covers(tier string) bool {
	_, listed := p.Services[tier]
	return listed || p.free() || !repriced(tier)
}

// longFactor finds the tier of the highest threshold below the input.
func (p Price) longFactor(input int64) (f Factors, ok bool) {
	best := int64(-1)
	for _, l := range p.Long {
		if input > l.Above && l.Above > best {
			best, f, ok = l.Above, l.Factors, true
		}
	}
	return f, ok
}

func (p Price) searches(n int64) (nightshift.NanoUSD, bool) {
	switch {
	case n <= 0:
		return 0, true
	case p.Search == nil:
		return 0, false
	}
	return multiply(n, *p.Search), true
}

// WorstCase bounds from above what an answer with at most in input tokens
// (cached ones included) and out output tokens can cost: over every long-prompt
// tier that such an input can reach, every service tier and region of the
// price, every cache class, and the media that a request holds or asks for. ok
// is false when those have no price that is known; pictures in the input, which
// most vendors count as text, are allowed. Server-side searches, which no
// token count bounds, are not in it.
func WorstCase(p Price, in, out int64, media nightshift.Media) (worst nightshift.NanoUSD, ok bool) {
	return p.worst(in, out, media, p.highest)
}

// WorstCaseIn is [WorstCase] of a request whose service tier is certain, as
// that of a batch is. ok is false also where the price of the tier is not known.
func WorstCaseIn(p Price, tier string, in, out int64, media nightshift.Media) (worst nightshift.NanoUSD, ok bool) {
	if !p.Covers(tier) {
		return 0, false
	}
	return p.worst(in, out, media, func(rate Rate, factor func(Factors) Factor, in int64) Rate {
		rate = p.highestLong(rate, factor, in)
		if f, listed := p.Services[tier]; listed {
			rate = rate.times(factor(f))
		}
		return raised(rate, factor, p.Regions)
	})
}

// worst is WorstCase with what makes a rate its highest.
func (p Price) worst(in, out int64, media nightshift.Media, highest func(Rate, func(Factors) Factor, int64) Rate) (
	worst nightshift.NanoUSD, ok bool) {
	if p.free() {
		return 0, true
	}
	input := max(
		highest(p.Input, inputFactor, in),
		highest(p.cacheRead(), readFactor, in),
		highest(p.cacheWrite5m(), writeFactor, in),
		highest(p.cacheWrite1h(), writeFactor, in),
	)
	output := highest(p.Output, outputFactor, in)
	for _, m := range []struct {
		asked  bool
		rate   *Rate
		side   *Rate
		factor func(Factors) Factor
		pass   bool // without a price
	}{
		{media.AudioInput, p.AudioInput, &input, inputFactor, false},
		{media.ImageInput, p.ImageInput, &input, inputFactor, true},
		{media.AudioOutput, p.AudioOutput, &output, outputFactor, false},
		{media.ImageOutput, p.ImageOutput, &output, outputFactor, false},
	} {
		switch {
		case !m.asked, m.rate == nil && m.pass:
		case m.rate == nil:
			return 0, false
		default:
			*m.side = max(*m.side, highest(*m.rate, m.factor, in))
		}
	}
	return add(bound(input, in), bound(output, out)), true
}

// highest is the highest rate that any multiplier leads to when the input has
// at most in tokens.
func (p Price) highest(rate Rate, factor func(Factors) Factor, in int64) Rate {
	return raised(raised(p.highestLong(rate, factor, in), factor, p.Services), factor, p.Regions)
}

// highestLong is the highest rate in any tier for long prompts that such an
// input can reach.
func (p Price) highestLong(rate Rate, factor func(Factors) Factor, in int64) Rate {
	worst := rate
	for _, l := range p.Long {
		if in > l.Above {
			worst = max(worst, rate.times(factor(l.Factors)))
		}
	}
	return worst
}

// raised is the highest rate that one of the factors, or none, leads to.
func raised(rate Rate, factor func(Factors) Factor, factors map[string]Factors) Rate {
	worst := rate
	for _, f := range factors {
		worst = max(worst, rate.times(factor(f)))
	}
	return worst
}

// rounding covers what rounding six input classes half up, one by one, can
// add to a bound that rounds their sum.
const rounding = 3

func bound(rate Rate, tokens int64) nightshift.NanoUSD {
	if tokens <= 0 || rate == 0 {
		return 0
	}
	return add(rate.atMost(tokens), rounding)
}
