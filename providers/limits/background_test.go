package limits

import (
	"math/rand/v2"
	"testing"
)

// feed tells b of n requests, a share of them refused at random, and returns
// how many of the refusals it did not explain.
func feed(b *background, rng *rand.Rand, n int, share, perMinute float64) (unexplained int) {
	for range n {
		number := b.sent()
		if rng.Float64() < share && !b.explains(0, number, 1, perMinute) {
			unexplained++
		}
	}
	return unexplained
}

func TestBackgroundExplainsItsShareAndNoMore(t *testing.T) {
	for _, share := range []float64{0.001, 0.005, 0.02, 0.05} {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 1))
			b := newBackground()
			b.share, b.found, b.seen = share, 1.5*share, 1/share
			if n := feed(&b, rng, 20_000, share, 20_000); n > 2 {
				t.Errorf("%v of all, seed %d: %d alarms in a minute of what is expected", share, seed, n)
			}
			if n := feed(&b, rng, 100, 0.9, 20_000); n == 0 {
				t.Errorf("%v of all, seed %d: a limit that refuses nine of ten raises no alarm", share, seed)
			}
		}
	}
}

func TestShareOfBackgroundDoesNotGrow(t *testing.T) {
	b := newBackground()
	b.share, b.found, b.seen = 0.01, 0.01, 1000
	feed(&b, rand.New(rand.NewPCG(1, 1)), 100_000, 0.2, 1000)
	if b.share > 0.01 {
		t.Errorf("the share expected grew from 0.01 to %v by what it explained", b.share)
	}
}

// A refusal at a rate far below what passed before was not about the rate; one
// at the rate that was measured says nothing.
func TestJudge(t *testing.T) {
	for name, tc := range map[string]struct {
		later float64 // requests a second sent before the third refusal
		want  judgement
	}{
		"at the same rate":  {10, aboutRate},
		"at half of it":     {5, aboutNone},
		"at a little below": {9, aboutRate},
	} {
		b := newBackground()
		send := func(n int) (number float64) {
			for range n {
				number = b.sent()
			}
			return number
		}
		b.judge(10, refusalContext{number: send(100), rate: 10})
		b.paused(b.number)
		b.judge(20, refusalContext{number: send(100), rate: 10, inFlight: 20})
		b.paused(b.number)
		got := b.judge(30, refusalContext{number: send(50), rate: tc.later, inFlight: 20})
		if (got == aboutNone) != (tc.want == aboutNone) {
			t.Errorf("a refusal %s is judged %d, want %d", name, got, tc.want)
		}
	}
}

func TestExperimentWithoutRefusalsWithdraws(t *testing.T) {
	b := newBackground()
	b.share, b.found, b.seen = 0.05, 0.05, 1000
	b.advance(10)
	b.begin(10, 100, 50)
	if b.hold.rate != 70 || b.hold.most != 35 {
		t.Fatalf("the experiment holds %v a second and %d in flight, want 70 and 35", b.hold.rate, b.hold.most)
	}
	for range 1000 {
		b.sent()
	}
	if !b.advance(b.hold.until + 1) {
		t.Fatal("the experiment does not end")
	}
	if b.share != 0 || b.need != 2 {
		t.Errorf("share %v, need %d after a thousand requests without a refusal; want 0 and 2", b.share, b.need)
	}
}

// A share that is firstGuess after one refusal is believed when the same share is
// refused at a lower rate, and withdrawn when nothing is, or when many are
// refused in a row.
func TestGuess(t *testing.T) {
	const refusedBefore = 0.05
	for name, tc := range map[string]struct {
		during float64 // share refused at the lower rate
		share  bool    // believed in the end
	}{
		"random refusals": {0.05, true},
		"a limit":         {0, false},
	} {
		rng := rand.New(rand.NewPCG(1, 1))
		b := newBackground()
		for range 100 {
			b.sent()
		}
		if !b.guess(1, b.number) {
			t.Fatal("no guess after a hundred requests that passed")
		}
		for now, n := 1.0, 0; n < 5000 && (b.isGuess || b.share == 0 && n == 0); n++ {
			now += 0.001
			b.advance(now)
			share := refusedBefore
			if b.hold.rate > 0 {
				share = tc.during
			}
			if number := b.sent(); rng.Float64() < share && b.explains(now, number, 1, 60_000) {
				b.confirm(now, 1000, 64)
			}
		}
		if b.isGuess || (b.share > 0) != tc.share {
			t.Errorf("%s: isGuess %v, share %v", name, b.isGuess, b.share)
		}
	}
	b := newBackground()
	for range 100 {
		b.sent()
	}
	b.guess(1, b.number)
	if feed(&b, rand.New(rand.NewPCG(1, 1)), 20, 1, 60_000) == 0 || b.share > 0 {
		t.Errorf("twenty refusals in a row leave a share of %v", b.share)
	}
}
