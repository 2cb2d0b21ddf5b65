package journal

import (
	"testing"

	"nightshift"
)

// An attempt that one process after the other has asked after, in vain, is one
// attempt: it may have been paid for once.
func TestAttemptsThatAreAskedAfterAgain(t *testing.T) {
	unknown := func(n int, job string) nightshift.Attempt {
		return nightshift.Attempt{N: n, Job: job, Class: nightshift.ClassUnknownOutcome, MaybeBilled: true, WorstCost: 7}
	}
	h := &History{}
	for _, a := range []nightshift.Attempt{unknown(1, ""), unknown(2, "a"), unknown(2, "a"), unknown(2, "b"),
		unknown(3, ""), unknown(3, "")} {
		h.fail(a)
	}
	if got := h.Attempts(); len(got) != 5 || got[1].Job != "a" || got[2].Job != "b" {
		t.Errorf("%d attempts: %+v", len(got), got)
	}
}
