package words

import "testing"

func TestMoney(t *testing.T) {
	for usd, want := range map[float64]string{
		0: "$0.00", 1234.5: "$1234.50", 1: "$1.00", 0.5: "$0.5000", -0.25: "$-0.2500", 0.0123: "$0.0123", 0.00123: "$0.0012",
		0.000042: "$0.000042", 0.00099: "$0.00099", 4e-9: "$0.000000004", 1e-12: "$0.000000000",
	} {
		if got := Money(usd); got != want {
			t.Errorf("%g: %s, want %s", usd, got, want)
		}
	}
}
