package compare

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"nightshift/internal/words"
	"nightshift/reports/render"
)

// differsFrom names what one column was asked otherwise than another: model,
// templates and parameters. It is nil for two models of one run without variants:
// there all may differ.
func (c *column) differsFrom(other *column) (list []string) {
	if c.run == other.run && c.Variant == "" && other.Variant == "" {
		return nil
	}
	if c.ModelID != other.ModelID {
		list = append(list, "model "+other.ModelID+" → "+c.ModelID)
	}
	if c.asked.System != other.asked.System {
		list = append(list, "system prompt")
	}
	if c.asked.Prompt != other.asked.Prompt {
		list = append(list, "prompt")
	}
	before, now := paramsOf(other.Params), paramsOf(c.Params)
	names := slices.Collect(maps.Keys(now))
	for name := range before {
		if now[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if a, b := before[name], now[name]; !bytes.Equal(a, b) {
			list = append(list, name+" "+valueText(a)+" → "+valueText(b))
		}
	}
	return list
}

func paramsOf(raw json.RawMessage) map[string]json.RawMessage {
	params := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &params) != nil {
		return nil
	}
	return params
}

// valueText is the value of a parameter, for people; long ones are not shown.
func valueText(v json.RawMessage) string {
	switch {
	case v == nil:
		return "(none)"
	case len(v) > 40:
		return "(" + words.Bytes(int64(len(v))) + ")"
	}
	return string(v)
}

// variantGrids show the scores of models with variants once more: a variant a
// line, a model a column.
func (c *Comparison) variantGrids(r *scorerResult) []render.Grid {
	var variants, models []string
	cells := map[[2]string]string{}
	for i, m := range c.Models {
		if m.Variant == "" || i >= len(r.Models) || m.Earlier {
			continue
		}
		if !slices.Contains(variants, m.Variant) {
			variants = append(variants, m.Variant)
		}
		if !slices.Contains(models, m.VariantOf) {
			models = append(models, m.VariantOf)
		}
		cells[[2]string{m.Variant, m.VariantOf}] = shownAs(r.Models[i].Mean, asScore) + r.Models[i].Interval.half(1)
	}
	if len(models) < 2 || len(variants) < 2 || c.differentRuns() {
		return nil
	}
	g := newGrid("Variants: "+r.Name, append([]string{r.Name + " by variant"}, models...)...)
	for _, v := range variants {
		line := []string{v}
		for _, m := range models {
			line = append(line, cells[[2]string{v, m}])
		}
		g.Add(line...)
	}
	return []render.Grid{g}
}

// split gives models and the variants in which they were asked a column each. Where
// runs are put side by side, names have the run's before them and stay whole.
func (c *Comparison) split(grids []render.Grid) []render.Grid {
	parts := map[string][2]string{}
	for _, m := range c.Models {
		if m.Variant != "" && m.Label == m.Model {
			parts[m.Label] = [2]string{m.VariantOf, m.Variant}
		}
	}
	for i := range grids {
		grids[i].SplitNames(parts, "variant")
	}
	return grids
}
