package numbers

import (
	"math/big"
	"strings"
	"testing"
)

// TestDecimals: equality is exact where floats are not, and tolerances stay
// cheap for absurd exponents.
func TestDecimals(t *testing.T) {
	for _, tc := range []struct {
		a, b  string
		equal bool
	}{
		{"1", "1.000", true}, {"-0", "0", true}, {"1e3", "1000", true}, {"0.001e3", "1", true},
		{"1,000", "1000", true}, {"100000000000000000001", "100000000000000000000", false},
		{"1e-999999999", "0", false}, {"1e999999999", "1e999999999", true},
	} {
		a, okA := Parse(tc.a)
		b, okB := Parse(tc.b)
		if !okA || !okB || (a == b) != tc.equal {
			t.Errorf("%s = %s: %v %v", tc.a, tc.b, a, b)
		}
		loose := Tolerance{Abs: big.NewRat(1, 10)}
		if tc.equal && !loose.Equal(a, b) {
			t.Errorf("%s and %s differ with a tolerance", tc.a, tc.b)
		}
	}
	for _, bad := range []string{"", "-", ".", "1.", "1e", "0x1", "inf", "nan", "1,00", ",100", "1,000,00", "1 2",
		"60%", "१", "1e1.5", "--1", "1_000"} {
		if d, ok := Parse(bad); ok {
			t.Errorf("parseNumber(%q) = %v", bad, d)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"A: 18", "-$1,234.50.", "1e400", "60 %", "1.2.3.4", "x_1", "0x", "−.5", "1,2,3", "$$$",
		"5e", "9_9", "\xff5", "1.2 × 10^{6}", `-2\frac{3}{4}`, "2 1/3", "1/2/3", "2^10", "１２，３４５", "12,34,567", "1'234",
		"10⁻¹²", "3½%", "٣٫٥", "5月-6月"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := Parse(s); ok {
			again, ok := Parse(d.String())
			if !ok || again != d {
				t.Errorf("%q is %v, but %q is %v", s, d, d.String(), again)
			}
			sameAsRational(t, s, d)
		}
		for _, find := range []func(string) (Found, bool){First, Last} {
			n, ok := find(s)
			if !ok {
				continue
			}
			again, ok := find(n.Text)
			if !ok || again.Value.String() != n.Value.String() || again.Percent != n.Percent {
				t.Errorf("%q: found %q as %v, read again as %v", s, n.Text, n.Value, again.Value)
			}
		}
	})
}

// sameAsRational checks a decimal against math/big's idea of the same text.
func sameAsRational(t *testing.T, s string, d Decimal) {
	if d.exp > 300 || d.exp < -300 || len(s) > 300 {
		return
	}
	plain := strings.NewReplacer(",", "", "\u2212", "-").Replace(s)
	want, ok := new(big.Rat).SetString(plain)
	got, _ := d.rational()
	if !ok || want.Cmp(got) != 0 {
		t.Errorf("%q = %v, math/big says %v", s, got, want)
	}
}
