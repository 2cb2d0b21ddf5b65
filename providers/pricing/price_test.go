package pricing

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nightshift"
)

func usd(t testing.TB, text string) Rate {
	t.Helper()
	r, err := ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rate(t testing.TB, text string) *Rate {
	r := usd(t, text)
	return &r
}

// sonnet is a price with whole nano-dollars a token.
func sonnet(t testing.TB) Price {
	search := nightshift.NanoUSD(10_000_000)
	return Price{
		Rates: Rates{
			Input: usd(t, "3"), Output: usd(t, "15"), CacheRead: rate(t, "0.3"),
			CacheWrite5m: rate(t, "3.75"), CacheWrite1h: rate(t, "6"),
		},
		Long:     []Long{{200_000, Factors{2 * One, 2 * One, 2 * One, 3 * One / 2}}},
		Services: map[string]Factors{"batch": Times(One / 2)},
		Regions:  map[string]Factors{"us": Times(11 * One / 10)},
		Search:   &search,
	}
}

func tokens(in, read, write5m, write1h, out int64) nightshift.Usage {
	n := nightshift.Tokens
	return nightshift.Usage{Input: n(in), CacheRead: n(read), CacheWrite5m: n(write5m), CacheWrite1h: n(write1h),
		Output: n(out)}
}

// all is a request that holds and asks for everything.
var all = nightshift.Media{AudioInput: true, AudioOutput: true, ImageInput: true, ImageOutput: true}

func TestCost(t *testing.T) {
	n := nightshift.Tokens
	with := func(u nightshift.Usage, change func(*nightshift.Usage)) nightshift.Usage {
		change(&u)
		return u
	}
	unlisted := Price{Rates: Rates{Input: usd(t, "3"), Output: usd(t, "15")}}
	zeroWrite := unlisted
	zeroWrite.CacheWrite5m, zeroWrite.CacheWrite1h = rate(t, "0"), rate(t, "0")
	audio := Price{Rates: Rates{
		Input: usd(t, "2.5"), Output: usd(t, "10"), AudioInput: rate(t, "32"), AudioOutput: rate(t, "64"),
		ImageInput: rate(t, "5"), ImageOutput: rate(t, "40"),
	}}
	flat := Price{
		Rates: Rates{Input: usd(t, "2.5"), Output: usd(t, "10"), CacheRead: rate(t, "0.25"), AudioInput: rate(t, "2.5")}}
	fraction := Price{Rates: Rates{Input: usd(t, "0.0028"), Output: usd(t, "0.87"), CacheRead: rate(t, "0.003625")}}

	cases := []struct {
		name  string
		price Price
		usage nightshift.Usage
		want  nightshift.NanoUSD
		ok    bool
	}{
		{"input and output", sonnet(t), nightshift.Usage{Input: n(1000), Output: n(100)}, 3_000_000 + 1_500_000, true},
		{"every class once", sonnet(t), tokens(10, 20, 30, 40, 50), 30_000 + 6_000 + 112_500 + 240_000 + 750_000, true},
		{"no tokens cost nothing", sonnet(t), tokens(0, 0, 0, 0, 0), 0, true},
		{"reasoning lies inside output", sonnet(t), with(tokens(0, 0, 0, 0, 10), func(u *nightshift.Usage) {
			u.Reasoning = n(9)
		}), 150_000, true},
		{"unlisted cache classes at the input rate", unlisted, tokens(0, 1, 1, 1, 0), 9_000, true},
		{"cache writes at 0 at the input rate", zeroWrite, tokens(0, 0, 1, 1, 0), 6_000, true},
		{"threshold itself is not above", sonnet(t), tokens(200_000, 0, 0, 0, 1), 600_000_000 + 15_000, true},
		{"above the threshold the whole request", sonnet(t), tokens(200_001, 0, 0, 0, 1), 1_200_006_000 + 22_500, true},
		{"cached input counts towards the threshold", sonnet(t), tokens(1, 200_000, 0, 0, 0), 6_000 + 120_000_000, true},
		{"batch halves every class", sonnet(t), with(tokens(10, 20, 30, 40, 50), func(u *nightshift.Usage) {
			u.ServiceTier = "batch"
		}), 569_250, true},
		{"batch in the us", sonnet(t), with(tokens(100, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.ServiceTier, u.Region = "batch", "us"
		}), 165_000, true},
		{"an ordinary tier", sonnet(t), with(tokens(1, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.ServiceTier = "standard"
		}), 3_000, true},
		{"a region without a factor", sonnet(t), with(tokens(1, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.Region = "global"
		}), 3_000, true},
		{"searches come on top", sonnet(t), with(tokens(1, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.Searches = n(3)
		}), 30_003_000, true},
		{"below a nano-dollar a token", fraction, tokens(1, 1, 0, 0, 1), 3 + 4 + 870, true}, // 2.8, 3.625, 870
		{"half up", fraction, tokens(0, 0, 0, 0, 0), 0, true},

		{"audio at its own rate", audio, with(tokens(1020, 0, 0, 0, 600), func(u *nightshift.Usage) {
			u.AudioInput, u.AudioOutput = n(1000), n(500)
		}), 20*2500 + 1000*32_000 + 100*10_000 + 500*64_000, true},
		{"pictures at their own rate", audio, with(tokens(100, 0, 0, 0, 10), func(u *nightshift.Usage) {
			u.ImageInput, u.ImageOutput = n(100), n(10)
		}), 100*5000 + 10*40_000, true},
		{"no audio among the tokens", audio, with(tokens(10, 20, 0, 0, 1), func(u *nightshift.Usage) {
			u.AudioInput = n(0)
		}), 30*2500 + 10_000, true},
		{"audio at the rate of text beside a cache", flat, with(tokens(10, 20, 0, 0, 1), func(u *nightshift.Usage) {
			u.AudioInput = n(25)
		}), 10*2500 + 20*250 + 10_000, true},
		{"audio from a model that is free", Price{}, with(tokens(10, 0, 0, 0, 5), func(u *nightshift.Usage) {
			u.AudioInput, u.AudioOutput = n(10), n(5)
		}), 0, true},

		{"audio of unknown price", sonnet(t), with(tokens(1020, 0, 0, 0, 600), func(u *nightshift.Usage) {
			u.AudioInput = n(1000)
		}), 0, false},
		{"audio output of unknown price", sonnet(t), with(tokens(1020, 0, 0, 0, 600), func(u *nightshift.Usage) {
			u.AudioOutput = n(1)
		}), 0, false},
		{"pictures of unknown price", sonnet(t), with(tokens(1020, 0, 0, 0, 600), func(u *nightshift.Usage) {
			u.ImageInput = n(1000)
		}), 0, false},
		{"audio beside a cache: which was in it is not said", audio, with(tokens(10, 20, 0, 0, 1), func(u *nightshift.Usage) {
			u.AudioInput = n(5)
		}), 0, false},
		{"more audio than output", audio, with(tokens(10, 0, 0, 0, 1), func(u *nightshift.Usage) {
			u.AudioOutput = n(5)
		}), 0, false},
		{"nothing reported", sonnet(t), nightshift.Usage{}, 0, false},
		{"output not reported", sonnet(t), nightshift.Usage{Input: n(5)}, 0, false},
		{"input not reported", sonnet(t), nightshift.Usage{Output: n(5)}, 0, false},
		{"a tier of unknown price", sonnet(t), with(tokens(1, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.ServiceTier = "priority"
		}), 0, false},
		{"searches of unknown price", unlisted, with(tokens(1, 0, 0, 0, 0), func(u *nightshift.Usage) {
			u.Searches = n(1)
		}), 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Cost(c.price, c.usage)
			if got != c.want || ok != c.ok {
				t.Errorf("Cost = %d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// random prices and usages, many of them with fractions of a nano-dollar,
// thresholds within reach and odd multipliers.
func random(r *rand.Rand) (Price, nightshift.Usage) {
	some := func(n int64) Rate { return Rate(r.Int64N(n)) }
	optional := func() *Rate {
		if r.IntN(3) == 0 {
			return nil
		}
		v := some(20e9)
		return &v
	}
	factor := func() Factor { return Factor(r.Int64N(3 * million)) }
	factors := func() Factors { return Factors{factor(), factor(), factor(), factor()} }
	p := Price{Rates: Rates{some(20e9), some(100e9), optional(), optional(), optional(), optional(), optional(),
		optional(), optional()}}
	for range r.IntN(3) {
		p.Long = append(p.Long, Long{r.Int64N(50_000), factors()})
	}
	if r.IntN(2) == 0 {
		p.Services = map[string]Factors{"batch": factors(), "priority": factors()}
	}
	if r.IntN(2) == 0 {
		p.Regions = map[string]Factors{"us": factors()}
	}
	u := tokens(r.Int64N(20_000), r.Int64N(20_000), r.Int64N(20_000), r.Int64N(20_000), r.Int64N(20_000))
	if p.Services != nil {
		u.ServiceTier = []string{"", "batch", "priority"}[r.IntN(3)]
	}
	if p.Regions != nil {
		u.Region = []string{"", "us"}[r.IntN(2)]
	}
	return p, u
}

// withMedia makes a part of the tokens sound and pictures, where they have a
// price.
func withMedia(r *rand.Rand, p Price, u nightshift.Usage) nightshift.Usage {
	u.CacheRead, u.CacheWrite5m, u.CacheWrite1h = nightshift.Count{}, nightshift.Count{}, nightshift.Count{}
	some := func(rate *Rate, of nightshift.Count) nightshift.Count {
		if rate == nil {
			return nightshift.Count{}
		}
		return nightshift.Tokens(r.Int64N(of.N()/2 + 1))
	}
	u.AudioInput, u.ImageInput = some(p.AudioInput, u.Input), some(p.ImageInput, u.Input)
	u.AudioOutput, u.ImageOutput = some(p.AudioOutput, u.Output), some(p.ImageOutput, u.Output)
	return u
}

func TestWorstCaseIsNeverBelowACost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		p, u := random(r)
		media := nightshift.Media{}
		if r.IntN(2) == 0 {
			u = withMedia(r, p, u)
			media = nightshift.Media{AudioInput: p.AudioInput != nil, AudioOutput: p.AudioOutput != nil,
				ImageInput: true, ImageOutput: p.ImageOutput != nil}
		}
		cost, ok := Cost(p, u)
		if !ok {
			t.Fatalf("no cost of %+v at %+v", u, p)
		}
		// The bound is asked with what is known beforehand: at least as much.
		in, out := u.InputTotal().N()+r.Int64N(3), u.Output.N()+r.Int64N(3)
		worst, bounded := WorstCase(p, in, out, media)
		if !bounded || worst < cost {
			t.Fatalf("WorstCase = %d below the cost %d\nprice %+v\nusage %+v", worst, cost, p, u)
		}
	}
}

// The bound of one tier holds for the answers of that tier, is never above the
// bound of all, and is not there where the tier has no price.
func TestWorstCaseInOneTier(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	below := 0
	for range 100_000 {
		p, u := random(r)
		in, out := u.InputTotal().N()+r.Int64N(3), u.Output.N()+r.Int64N(3)
		worst, ok := WorstCaseIn(p, u.ServiceTier, in, out, nightshift.Media{})
		cost, _ := Cost(p, u)
		all, _ := WorstCase(p, in, out, nightshift.Media{})
		if !ok || worst < cost || worst > all {
			t.Fatalf("WorstCaseIn = %d, %v; the cost is %d, the bound of all tiers %d\nprice %+v\nusage %+v",
				worst, ok, cost, all, p, u)
		}
		if worst < all {
			below++
		}
	}
	if below < 1000 {
		t.Errorf("only %d bounds are below those of all tiers", below)
	}
	plain := Price{Rates: Rates{Input: usd(t, "3"), Output: usd(t, "15")}}
	if got, ok := WorstCaseIn(plain, Batch, 1000, 500, nightshift.Media{}); ok {
		t.Errorf("a batch without a batch price is bounded by %d", got)
	}
	if got, ok := WorstCaseIn(sonnet(t), Batch, 1000, 500, nightshift.Media{}); !ok || got > 7_500_000 {
		t.Errorf("a batch at half the price is bounded by %d, %v", got, ok)
	}
	if got, ok := WorstCaseIn(Price{}, Batch, 1000, 500, all); got != 0 || !ok {
		t.Errorf("a free model in a batch: %d, %v", got, ok)
	}
}

// The batch price comes from the way a row was sent: no word of the answer makes
// it the live one.
func TestBatchTier(t *testing.T) {
	for answered, want := range map[string]string{
		"": Batch, "default": Batch, "standard": Batch, "auto": Batch, "batch": Batch, "on_demand": Batch,
		"provisioned": Batch, "flex": "flex", "priority": "priority",
	} {
		if got := BatchTier(answered); got != want {
			t.Errorf("BatchTier(%q) = %q, want %q", answered, got, want)
		}
	}
	u := tokens(1000, 0, 0, 0, 100)
	u.ServiceTier = BatchTier("default")
	unlisted := Price{Rates: Rates{Input: usd(t, "3"), Output: usd(t, "15")}}
	if got, ok := Cost(unlisted, u); ok {
		t.Errorf("a batch without a batch price costs %d", got)
	}
	if got, ok := Cost(Price{}, u); got != 0 || !ok {
		t.Errorf("a free model in a batch costs %d, %v", got, ok)
	}
	u.Searches = nightshift.Tokens(2)
	search := nightshift.NanoUSD(10_000_000)
	half := unlisted
	half.Services, half.Search = map[string]Factors{Batch: Times(One / 2)}, &search
	if got, ok := Cost(half, u); !ok || got != 1_500_000+750_000+20_000_000 {
		t.Errorf("searches of a batch are not multiplied: %d, %v", got, ok)
	}
}

func TestWorstCaseIsTight(t *testing.T) {
	// Without tiers and cache classes the bound is the cost, give or take the
	// allowance for rounding.
	p := Price{Rates: Rates{Input: usd(t, "3"), Output: usd(t, "15"), CacheRead: rate(t, "0.3")}}
	cost, _ := Cost(p, tokens(1000, 0, 0, 0, 500))
	if worst, _ := WorstCase(p, 1000, 500, nightshift.Media{}); worst < cost || worst > cost+2*rounding {
		t.Errorf("WorstCase = %d, the cost is %d", worst, cost)
	}
	if got, ok := WorstCase(Price{}, 1000, 500, all); got != 0 || !ok {
		t.Errorf("a free model may cost %d", got)
	}
	// A tier that the input cannot reach is left out.
	got, _ := WorstCase(sonnet(t), 1000, 1, nightshift.Media{})
	if high, _ := WorstCase(sonnet(t), 300_000, 1, nightshift.Media{}); got >= high/300 {
		t.Errorf("1,000 tokens at the long-prompt rate: %d", got)
	}
}

func TestPartsAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		p, u := random(r)
		parts, _ := split(p, u)
		cost, _ := Cost(p, u)
		sum := parts.Input + parts.CacheRead + parts.CacheWrite5m + parts.CacheWrite1h + parts.Output + parts.Searches
		if sum != cost {
			t.Fatalf("parts sum to %d, the cost is %d", sum, cost)
		}
	}
}

// More tokens of any class never cost less, as long as no long-prompt tier
// makes the whole request cheaper.
func TestMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		p, u := random(r)
		p.Long = nil
		before, _ := Cost(p, u)
		more := nightshift.Tokens(r.Int64N(1000))
		for i, c := range []*nightshift.Count{&u.Input, &u.CacheRead, &u.CacheWrite5m, &u.CacheWrite1h, &u.Output} {
			was := *c
			*c = c.Add(more)
			if after, _ := Cost(p, u); after < before {
				t.Fatalf("class %d: %d tokens more cost %d instead of %d", i, more.N(), after, before)
			}
			*c = was
		}
	}
}

func TestHugeCountsSaturate(t *testing.T) {
	const most = 1<<63 - 1
	p := Price{Rates: Rates{Input: usd(t, "1000000"), Output: usd(t, "1000000")}}
	if got, _ := WorstCase(p, most, most, nightshift.Media{}); got != most {
		t.Errorf("WorstCase overflows to %d", got)
	}
	if got, ok := Cost(p, tokens(most, 0, 0, 0, most)); !ok || got != most {
		t.Errorf("Cost overflows to %d, %v", got, ok)
	}
	if got, ok := Cost(p, tokens(-5, 0, 0, 0, -5)); !ok || got != 0 {
		t.Errorf("negative counts cost %d, %v", got, ok)
	}
}

func TestPriceSurvivesJSON(t *testing.T) {
	for _, p := range append(Embedded().All(), sonnet(t)) {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Price
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if d := cmp.Diff(p, back); d != "" {
			t.Errorf("%s changed on its way through JSON:\n%s", p.Model, d)
		}
	}
}

// The short way to read a number gives what fractions give.
func TestScaledPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 20_000 {
		text := strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)
		if at := rng.IntN(len(text) + 1); at > 0 && rng.IntN(4) > 0 {
			text = text[:at] + "." + text[at:]
		}
		unit := []int64{1, 1000, 1_000_000, 1_000_000_000}[rng.IntN(4)]
		got, ok := scaledPlain(text, unit)
		if !ok {
			continue
		}
		plain++
		r, _ := new(big.Rat).SetString(text)
		r.Mul(r, new(big.Rat).SetInt64(unit)).Add(r, big.NewRat(1, 2))
		if want := new(big.Int).Quo(r.Num(), r.Denom()); want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("%s × %d = %d, want %d", text, unit, got, want)
		}
	}
	if plain < 10_000 {
		t.Errorf("only %d numbers were read the short way", plain)
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"3": 3e9, "0.0028": 2_800_000, "0.003625": 3_625_000, "1e-3": 1_000_000, "0": 0, " 15 ": 15e9,
		"0.0000000005": 1, "0.0000000004": 0, "1E2": 100e9, "0.1": 100_000_000,
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "three", "-1", "NaN", "Inf", "1e300", "1e999999999", "1000001", "0x10p4000", "1/3"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %d without an error", text, got)
		}
	}
	if got := usd(t, "0.003625").String(); got != "0.003625" {
		t.Errorf("String = %s", got)
	}
}

// A budget reserves what sound and pictures can cost, and only where a request
// has to do with them.
func TestWorstCaseOfMedia(t *testing.T) {
	known := Price{
		Rates: Rates{Input: usd(t, "2"), Output: usd(t, "10"), AudioInput: rate(t, "32"), AudioOutput: rate(t, "64"),
			ImageInput: rate(t, "4"), ImageOutput: rate(t, "40")}}
	unknown := Price{Rates: Rates{Input: usd(t, "2"), Output: usd(t, "10")}}
	for _, c := range []struct {
		name    string
		price   Price
		media   nightshift.Media
		in, out int64 // nano-dollars a token; 0 where no bound is known
	}{
		{"text", known, nightshift.Media{}, 2000, 10_000},
		{"audio in", known, nightshift.Media{AudioInput: true}, 32_000, 10_000},
		{"audio out", known, nightshift.Media{AudioOutput: true}, 2000, 64_000},
		{"all", known, all, 32_000, 64_000},
		{"pictures in", known, nightshift.Media{ImageInput: true}, 4000, 10_000},
		{"pictures in, as text", unknown, nightshift.Media{ImageInput: true}, 2000, 10_000},
		{"audio in, unknown", unknown, nightshift.Media{AudioInput: true}, 0, 0},
		{"audio out, unknown", unknown, nightshift.Media{AudioOutput: true}, 0, 0},
		{"pictures out, unknown", unknown, nightshift.Media{ImageOutput: true}, 0, 0},
	} {
		got, ok := WorstCase(c.price, 1000, 100, c.media)
		want := nightshift.NanoUSD(1000*c.in + 100*c.out)
		if ok != (c.in > 0) || ok && (got < want || got > want+2*rounding) {
			t.Errorf("%s: %d, %v; want %d", c.name, got, ok, want)
		}
	}
}
