package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

// near reports whether two numbers agree to so many parts of themselves.
func near(a, b, share float64) bool {
	return a == b || math.Abs(a-b) <= share*math.Max(math.Abs(a), math.Abs(b))
}

func TestDistributionsAreGonums(t *testing.T) {
	for _, p := range []float64{0.001, 0.025, 0.2, 0.5, 0.8, 0.975, 0.9999} {
		if got, want := NormalQuantile(p), distuv.UnitNormal.Quantile(p); got != want {
			t.Errorf("normal quantile of %g: %v, want %v", p, got, want)
		}
		for _, df := range []float64{1, 2, 7.5, 30, 4000} {
			got, want := TQuantile(p, df), distuv.StudentsT{Sigma: 1, Nu: df}.Quantile(p)
			if math.Abs(got-want) > 1e-12*df {
				t.Errorf("t quantile of %g with %g degrees of freedom: %v, want %v", p, df, got, want)
			}
		}
		for _, n := range []int{1, 2, 13, 200, 5000} {
			x, reference := binomial{n, p}, distuv.Binomial{N: float64(n), P: p}
			for k := -1; k <= n+1; k += 1 + n/40 {
				if got, want := x.cdf(k), reference.CDF(float64(k)); got != want {
					t.Errorf("P(X <= %d) of %d at %g: %v, want %v", k, n, p, got, want)
				}
				if k < 0 || k > n {
					continue
				}
				// Logarithms of factorials near n ln n are exact to 1e-16 of themselves.
				if got, want := x.prob(k), reference.Prob(float64(k)); !near(got, want, 1e-10) && want > 1e-300 {
					t.Errorf("P(X = %d) of %d at %g: %v, want %v", k, n, p, got, want)
				}
			}
		}
	}
	for _, p := range []float64{0, 1} {
		if got := (binomial{9, p}).prob(int(9 * p)); got != 1 {
			t.Errorf("what is certain at %g has probability %v", p, got)
		}
	}
}

// TestFactorize solves random systems as gonum does, and refuses what is singular.
func TestFactorize(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 12; n++ {
		root, b := mat.NewDense(n, n, nil), make([]float64, n)
		for i := range n {
			b[i] = random.NormFloat64()
			for j := range n {
				root.Set(i, j, random.NormFloat64())
			}
		}
		var square mat.SymDense
		square.SymOuterK(1, root)
		rows := make([][]float64, n)
		for i := range rows {
			square.SetSym(i, i, square.At(i, i)+1) // condition: far from singular
			rows[i] = mat.Row(nil, i, &square)[:i+1]
		}
		factors, ok := factorize(rows)
		if !ok {
			t.Fatalf("%d rows: not positive definite", n)
		}
		product := make([]float64, n)
		for i, x := range factors.solve(b) {
			for j := range product {
				product[j] += square.At(j, i) * x
			}
		}
		for i, v := range product {
			if math.Abs(v-b[i]) > 1e-10 {
				t.Errorf("%d rows: line %d gives %v, want %v", n, i, v, b[i])
			}
		}
	}
	for _, singular := range [][][]float64{{{0}}, {{1}, {1, 1}}, {{-1}}, {{math.NaN()}}} {
		if _, ok := factorize(singular); ok {
			t.Errorf("%v passes for positive definite", singular)
		}
	}
}
