package render

import "testing"

// TestSeconds: no latency that was measured reads as none.
func TestSeconds(t *testing.T) {
	for ms, want := range map[float64]string{0: "< 1 ms", 0.4: "< 1 ms", 0.99: "< 1 ms", 1: "1 ms", 999.4: "999 ms",
		1000: "1.00 s", 99_990: "99.99 s", 100_000: "100 s"} {
		if got := Seconds(&ms); got != want {
			t.Errorf("%v ms: %q, want %q", ms, got, want)
		}
	}
	if got := Seconds(nil); got != "-" {
		t.Errorf("unknown: %q", got)
	}
}
