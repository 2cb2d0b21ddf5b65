package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/providers/formats"
)

// What the models of a run are compared along.
const (
	AlongModels   = "models"   // models that were asked in the same way
	AlongVariants = "variants" // variants of the same model
	AlongAll      = "all"      // every model and variant with one baseline
)

// oneValue are the parameters that take one value whatever the format, so that a
// list of them can only mean: try each.
var oneValue = append([]string{
	"temperature", "top_p", "top_k", "min_p", "seed", "n", "frequency_penalty", "presence_penalty",
	"repetition_penalty", "reasoning_effort", "verbosity", "service_tier",
}, formats.CapNames()...)

// A lane is a model of the plan asked in one way: what the run has a worker pool,
// files and a line in every table for.
type lane struct {
	model   int    // in the plan's models
	name    string // in every output
	variant string // the part of it after the model's name; empty where the plan has no variants
	params  Params
	from    int // in the plan's variants, -1 for none
}

// lanes are the plan's models crossed with its variants and with the values of
// parameters that are lists.
func (p *Plan) lanes() []lane {
	var all []lane
	for i, m := range p.Models {
		if len(p.Variants) == 0 {
			l := lane{model: i, name: m.name(), params: m.Params, from: -1}
			all = append(all, l.with(Variant{}).eachValue(m.name())...)
		}
		for k, v := range p.Variants {
			l := lane{model: i, name: m.name(), variant: v.Name, params: m.Params, from: k}
			all = append(all, l.with(v).eachValue(m.name())...)
		}
	}
	return all
}

// with is the lane with a variant's parameters over those of the model.
func (l lane) with(v Variant) lane {
	if len(v.Params) == 0 && v.Tools == nil {
		return l
	}
	l.params = slices.Clone(l.params)
	for _, param := range v.Params {
		l.params.set(param.Name, param.Value)
	}
	if v.Tools != nil {
		l.params.set("tools", encode(v.Tools))
	}
	return l
}

// eachValue is a lane for every combination of the values of parameters that are
// lists, named after them.
func (l lane) eachValue(model string) []lane {
	all := []lane{l}
	for _, param := range l.params {
		values := valuesOf(param)
		if values == nil {
			continue
		}
		var next []lane
		for _, one := range all {
			for _, value := range values {
				each := one
				each.params = slices.Clone(one.params)
				each.params.set(param.Name, value)
				each.variant = strings.TrimPrefix(one.variant+"/"+param.Name+"="+unquoted(value), "/")
				next = append(next, each)
			}
		}
		all = next
	}
	for i := range all {
		if all[i].variant != "" {
			all[i].name = model + "/" + all[i].variant
		}
	}
	return all
}

// valuesOf are the values of a parameter that is a list although it takes one
// value; nil for every other.
func valuesOf(p nightshift.Param) []json.RawMessage {
	if !slices.Contains(oneValue, p.Name) {
		return nil
	}
	var values []json.RawMessage
	if json.Unmarshal(p.Value, &values) != nil || values == nil {
		return nil
	}
	return values
}

// unquoted is a JSON value without quotes.
func unquoted(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// variants checks the variants, and the names that they give with the models.
func (c *checker) variants() {
	seen := map[string]int{}
	for i, v := range c.plan.Variants {
		path := fmt.Sprintf("variants[%d]", i)
		c.label(path+".name", v.Name)
		if first, twice := seen[v.Name]; twice && v.Name != "" {
			c.at(path+".name", "give each a name of its own", "variants[%d] and variants[%d] are both called %s", first, i,
				v.Name)
		}
		seen[v.Name] = i
		c.params(path+".params", v.Params)
		if v.Tools != nil && v.Params.get("tools") != nil {
			c.at(path+".tools", "leave one of them out", "%s has tools twice: in tools: and in params:", path)
		}
	}
	if len(c.problems) == 0 {
		c.laneNames()
	}
}

// label checks the name of a variant, which becomes a part of names and stands in
// gates.
func (c *checker) label(path, name string) {
	switch {
	case name == "":
		c.at(path, "add name: terse, for example", "a variant needs a name")
	case strings.ContainsAny(name, "(),"):
		c.at(path, "", "the name of a variant has no brackets and no commas")
	default:
		c.name(path, name)
	}
}

// laneNames refuses names that two pairs of model and variant would share.
func (c *checker) laneNames() {
	seen := map[string]bool{}
	for _, l := range c.plan.lanes() {
		if seen[l.name] {
			path, hint := fmt.Sprintf("models[%d]", l.model), "write each value once, and give each a name of its own"
			if l.from >= 0 {
				path = fmt.Sprintf("variants[%d]", l.from)
			}
			c.at(path, hint, "two variants would be called %s", words.Shorten(l.name, 80))
		}
		seen[l.name] = true
	}
}

// values checks a list of values to try.
func (c *checker) values(path string, p nightshift.Param) (values []json.RawMessage) {
	if values = valuesOf(p); values == nil {
		return []json.RawMessage{p.Value}
	}
	if len(values) == 0 {
		c.at(path, "write the values to try, or leave it out", "%s is an empty list", p.Name)
	}
	for _, v := range values {
		if strings.ContainsAny(string(v[:1]), "[{") {
			c.at(path, "write numbers or words: temperature: [0, 0.7]", "%s takes one value, and %s is none", p.Name,
				words.Shorten(string(v), 40))
		}
	}
	return values
}

// along checks what the models are compared along, and the baseline's name.
func (c *checker) along() {
	k, names := c.plan.Compare, c.plan.comparedNames()
	c.oneOf("compare.along", k.Along, AlongModels, AlongVariants, AlongAll)
	if k.Along == AlongVariants && !c.plan.varied() {
		c.at("compare.along", "add variants: [{name: …, prompt: …}]", "the plan has no variants")
	}
	if k.Baseline != "" && len(c.plan.Models) > 0 && !slices.Contains(names, k.Baseline) {
		c.at("compare.baseline", suggest(k.Baseline, names), "no model is called %q", k.Baseline)
	}
}

// varied reports whether some model is asked in several ways.
func (p *Plan) varied() bool {
	return slices.ContainsFunc(p.lanes(), func(l lane) bool { return l.variant != "" })
}

// comparedNames are what gates and the baseline may name: models, variants, and the
// pairs of them.
func (p *Plan) comparedNames() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, m := range p.Models {
		add(m.name())
	}
	for _, l := range p.lanes() {
		add(l.name)
		add(l.variant)
	}
	return names
}

// baseline is the name of the model, with its variant, that others are compared
// with: the plan's, else the first. A model stands for its first variant, a variant
// for that of the first model.
func (p *Plan) baseline() string {
	lanes, wanted := p.lanes(), p.Compare.Baseline
	fits := []func(lane) bool{
		func(l lane) bool { return l.name == wanted },
		func(l lane) bool { return p.Models[l.model].name() == wanted },
		func(l lane) bool { return l.variant == wanted },
	}
	for _, fit := range fits {
		if i := slices.IndexFunc(lanes, fit); wanted != "" && i >= 0 {
			return lanes[i].name
		}
	}
	if wanted == "" && len(lanes) > 0 {
		return lanes[0].name
	}
	return wanted
}

// along is what models are compared along; empty where no model has variants.
func (p *Plan) along() string {
	switch {
	case !p.varied():
		return ""
	case p.Compare.Along != "":
		return p.Compare.Along
	}
	return AlongVariants
}

// laneTexts are the templates of a lane for the dataset at a path of the plan, the
// variant's over the dataset's. Those that stand in files are read.
func (r *resolver) laneTexts(path string, d Dataset, l lane) datasets.Templates {
	systemAt, system, promptAt, prompt := r.laneFields(path, d, l)
	written := r.places(map[string]string{"system": systemAt, "prompt": promptAt},
		map[string]string{"system": system, "prompt": prompt})
	return datasets.Templates{System: r.fromFile(systemAt, system), Prompt: r.fromFile(promptAt, prompt), Written: written}
}

// laneFields are the fields of the plan that have the templates of laneTexts, and
// what stands in them.
func (r *resolver) laneFields(path string, d Dataset, l lane) (systemAt, system, promptAt, prompt string) {
	var v Variant
	if l.from >= 0 {
		v = r.plan.Variants[l.from]
	}
	field := func(name, usual string, own *string) (at, text string) {
		if own == nil {
			return path + "." + name, usual
		}
		return fmt.Sprintf("variants[%d].%s", l.from, name), *own
	}
	systemAt, system = field("system", d.System, v.System)
	promptAt, prompt = field("prompt", d.Prompt, v.Prompt)
	return systemAt, system, promptAt, prompt
}
