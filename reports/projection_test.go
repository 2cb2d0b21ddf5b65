package reports

import (
	"math/big"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestProjectionOrder: units of a run are billed side by side and come together in any
// order, which must not show in what the remaining rows will cost.
func TestProjectionOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	var parts []*biller
	exact := new(big.Int)
	for range 50 {
		b := newBiller([]string{"model"}, nil)
		for range 20 {
			cost := r.Int64N(50_000_000_000) // fifty dollars, whose square has more than 64 bits
			b.spread("m", &entry{CostNanoUSD: cost})
			exact.Add(exact, new(big.Int).Mul(big.NewInt(cost), big.NewInt(cost)))
		}
		parts = append(parts, b)
	}
	var first []projection
	for range 20 {
		all := newBiller([]string{"model"}, nil)
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		for _, b := range parts {
			own := *b.models["m"]
			all.merge(&biller{models: map[string]*costSpread{"m": &own}})
		}
		s := all.models["m"].squares
		sum := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(s.high), 64), new(big.Int).SetUint64(s.low))
		if sum.Cmp(exact) != 0 {
			t.Fatalf("squares add up to %s, want %s", sum, exact)
		}
		got := all.project([]string{"m"}, 3000)
		if first == nil {
			first = got
		}
		if len(got) != 1 || !reflect.DeepEqual(got, first) {
			t.Fatalf("projection %+v, in another order %+v", got, first)
		}
	}
}
