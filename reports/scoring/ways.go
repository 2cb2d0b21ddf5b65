package scoring

import (
	"cmp"
	"encoding/json"
	"slices"

	"nightshift/runner/store/view"
)

// A Way is a model of a run and how it was asked. Name is both, and what the run's
// files call it. Without variants Variant is empty and VariantOf is Name.
type Way struct{ Name, Variant, VariantOf string }

// Ways are the models of a run, in its order.
func Ways(info view.Info) []Way {
	var run struct {
		Plan struct {
			Models []struct {
				Name      string `json:"name"`
				Variant   string `json:"variant"`
				VariantOf string `json:"variant_of"`
			} `json:"models"`
		} `json:"plan"`
	}
	_ = json.Unmarshal(info.Plan, &run) // runs by other tools have another plan: names then do
	var ways []Way
	for _, name := range info.Models {
		way := Way{Name: name, VariantOf: name}
		for _, m := range run.Plan.Models {
			if m.Name == name {
				way.Variant, way.VariantOf = m.Variant, cmp.Or(m.VariantOf, name)
			}
		}
		ways = append(ways, way)
	}
	return ways
}

// Opponents are, for each way, which other it is compared with: its place, or -1 for
// one that others are compared with. Along variants that is the same model in the
// baseline's variant, along models the baseline's model asked in the same way; where
// there is none, the first of the group. Along everything it is the baseline.
func Opponents(ways []Way, baseline int, along string) []int {
	base := ways[baseline]
	group := func(w Way) string { return "" }
	best := func(w Way) bool { return w.Name == base.Name }
	switch along {
	case "variants":
		group = func(w Way) string { return w.VariantOf }
		best = func(w Way) bool { return w.Variant == base.Variant }
	case "models":
		group = func(w Way) string { return w.Variant }
		best = func(w Way) bool { return w.VariantOf == base.VariantOf }
	}
	opponents := make([]int, len(ways))
	for i, way := range ways {
		same := func(w Way) bool { return group(w) == group(way) }
		at := slices.IndexFunc(ways, func(w Way) bool { return same(w) && best(w) })
		if at < 0 {
			at = slices.IndexFunc(ways, same)
		}
		if opponents[i] = at; at == i {
			opponents[i] = -1
		}
	}
	return opponents
}
