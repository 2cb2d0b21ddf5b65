package limits

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// An answer that ended while a request was under way may be why it was
// refused: the guess that had room when it was sent was not wrong.
func TestNoPredictionErrorForAnswersThatEndedMeanwhile(t *testing.T) {
	for _, ended := range []bool{false, true} {
		d := newDimension(dimOutput, 6000, ChargeActual)
		c := Cost{Output: 50, MaxOutput: 100}
		before, s := d.spend(c), d.spend(c)
		if ended {
			d.settle(before, c, 10, 6050)
		}
		expected := d.refused(s, c)
		blamed := d.bucketModels[0].predictionError > 0
		if expected != ended || blamed == ended {
			t.Errorf("answer ended meanwhile: %v; expected %v, blamed %v", ended, expected, blamed)
		}
	}
}

// Refusals that nothing predicted lower the share, others do not.
func TestOnlySurprisesLowerTheShare(t *testing.T) {
	for _, ended := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Config{OutputTokens: 6000, Charge: ChargeActual})
			c := Cost{Output: 50, MaxOutput: 100}
			before := take(t, l, "m", c)
			time.Sleep(time.Second)
			p := take(t, l, "m", c)
			if ended {
				before.Success(used(10, 6050), Report{})
			}
			p.Refused(Report{})
			if lowered := l.State().Share < 1; lowered == ended {
				t.Errorf("answer ended meanwhile: %v; share lowered: %v", ended, lowered)
			}
		})
	}
}

// Who is refused again and again, and never first, is being starved by
// another: it asks for less, and the share it comes back to is that before.
func TestARowOfRefusalsLowersTheShareEachTime(t *testing.T) {
	s := share{now: 1, last: 1}
	s.refused(0, true)
	s.refused(10, false)
	s.refused(20, false)
	if want := math.Pow(0.96, 3); math.Abs(s.now-want) > 1e-9 || s.last != 1 {
		t.Errorf("share = %v, back to %v; want %v, 1", s.now, s.last, want)
	}
}

// What a refusal says of the bucket is as of now, and no guess may hold more.
func TestARefusalIsTakenAtItsWord(t *testing.T) {
	d := newDimension(dimRequests, 600, "")
	d.holds(3)
	for i, m := range d.bucketModels {
		if m.level > 3 {
			t.Errorf("bucket model %d holds %v, want 3 at most", i, m.level)
		}
	}
}

// Another rule explains what a ceiling was found by, so the ceiling goes.
func TestACeilingGoesWithTheRuleItWasFoundUnder(t *testing.T) {
	l := New(Config{OutputTokens: 6000})
	l.window.ceiling, l.window.size = 3, 3
	l.reconsider()
	if math.IsInf(l.window.ceiling, 1) {
		t.Error("the ceiling went although nothing had changed")
	}
	d := &l.dims[dimOutput]
	for i := range d.bucketModels {
		if d.bucketModels[i].rule == atStart {
			d.believe(i)
			break
		}
	}
	l.reconsider()
	if !math.IsInf(l.window.ceiling, 1) || !l.window.slow {
		t.Errorf("window = %+v, want no ceiling and quick growth", l.window)
	}
}

// Large requests are sent apart, small ones need not be, and none waits for
// longer than half of what it costs.
func TestLargeRequestsGoInOrder(t *testing.T) {
	for _, tc := range []struct {
		perMinute float64
		cost      Cost
		want      float64
	}{
		{6000, Cost{Output: 300, MaxOutput: 1000}, 0.1},      // ten seconds of the rate at most
		{60_000, Cost{Output: 300, MaxOutput: 1000}, 0.02},   // one second
		{1_200_000, Cost{Output: 300, MaxOutput: 1000}, 0},   // too little to wait for
		{60_000, Cost{Output: 10, MaxOutput: 32_000}, 0.005}, // half of what it will use
	} {
		d := newDimension(dimOutput, tc.perMinute, "")
		d.spend(tc.cost)
		if got := d.inOrder(tc.cost); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%v a minute, %+v: %v s apart, want %v", tc.perMinute, tc.cost, got, tc.want)
		}
	}
}

// The same seed gives the same jitter.
func TestSeed(t *testing.T) {
	a, b, c := New(Config{}), New(Config{}), New(Config{})
	a.Seed(1)
	b.Seed(1)
	c.Seed(2)
	x, y, z := a.Random(), b.Random(), c.Random()
	if x != y || x == z || x < 0 || x >= 1 {
		t.Errorf("%v, %v with one seed, %v with another", x, y, z)
	}
}
