package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/internal/words"
	"nightshift/reports/scorers"
)

// isJudge reports whether the scorer sends requests to a model.
func (s Scorer) isJudge() bool {
	info, err := scorers.Lookup(s.Type)
	return err == nil && (info.Kind == scorers.Judged || info.Kind == scorers.Embedded)
}

// Embeds reports whether the scorer asks its model for vectors.
func (s ResolvedScorer) Embeds() bool { return embeds(s.Spec.Type) }

func embeds(scorer string) bool {
	info, err := scorers.Lookup(scorer)
	return err == nil && info.Kind == scorers.Embedded
}

// spec is the scorer as its package reads it, with the text of a judge's
// template.
func (s Scorer) spec(template string) scorers.Spec {
	params := map[string]any{}
	for name, text := range map[string]string{"model": s.Model, "endpoint": s.Endpoint, "template": template} {
		if text != "" {
			params[name] = text
		}
	}
	if s.Request != nil {
		params["params"] = decoded(encode(s.Request))
	}
	for _, p := range s.Params {
		params[p.Name] = decoded(p.Value)
	}
	return scorers.Spec{Type: s.Type, Name: s.name(), Params: params}
}

// decoded is a JSON value with its numbers as they are written.
func decoded(b json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil // what the decoder wrote itself is JSON
	}
	return v
}

func scorerTypes() []string {
	var names []string
	for _, t := range scorers.Types() {
		names = append(names, t.Type)
	}
	return names
}

// name is the scorer's name in the score tables.
func (s Scorer) name() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Type
}

func (c *checker) scorers() {
	seen := map[string]string{}
	if c.plan.unused() {
		c.at("scorers", "leave them out, or a dataset's own", "every dataset has scorers of its own, so these score nothing")
	}
	for _, s := range c.plan.placedScorers() {
		c.name(s.path+".name", s.Name)
		c.scorer(s.path, s.Scorer)
		if s.name() == "" {
			continue
		}
		if first, twice := seen[s.name()]; twice {
			c.at(s.path+".name", "give each a name of its own", "%s and %s are both called %s", first, s.path, s.name())
			continue
		}
		if c.plan.Datasets != nil && (s.name() == scorers.Average || strings.Contains(s.name(), "/")) {
			c.at(s.path+".name", "", "a scorer of several datasets is not called %s, and has no slash in its name",
				scorers.Average)
		}
		seen[s.name()] = s.path
	}
}

func (c *checker) scorer(path string, s Scorer) {
	switch {
	case s.Type == "":
		c.at(path+".type", "add type: exact, number, judge_grade, …", "a scorer needs a type")
		return
	case !slices.Contains(scorerTypes(), s.Type):
		c.at(path+".type", suggest(s.Type, scorerTypes()), "unknown scorer %q", redact(words.Shorten(s.Type, 40)))
		return
	}
	judge := s.isJudge()
	if judge {
		c.judge(path, s)
	}
	c.textsPerRequest(path+".rows_per_request", s.RowsPerRequest)
	if s.RowsPerRequest > 1 && !embeds(s.Type) {
		c.at(path+".rows_per_request", "", "rows_per_request is for scorers of type embedding")
		return
	}
	for name, given := range map[string]bool{
		"model": s.Model != "", "endpoint": s.Endpoint != "", "template": s.Template != "",
		"params": s.Request != nil, "price": s.Price != nil, "stream": s.Stream,
		"mode": s.Mode != "",
	} {
		if given && !judge {
			c.at(path+"."+name, "",
				"%s is for scorers that ask a model; %s does not (its own parameters stand beside type)", name, s.Type)
			return
		}
	}
	text := ""
	if inline(s.Template) {
		text = s.Template
	}
	if err := scorers.Check(s.spec(text)); err != nil {
		c.at(path, "", "%s", redact(err.Error()))
	}
}

// inline reports whether a template is the text itself and not a file's name.
func inline(template string) bool { return strings.ContainsAny(template, "{\n") }

func (c *checker) judge(path string, s Scorer) {
	c.mode(path+".mode", s.Mode)
	c.params(path+".params", s.Request)
	c.price(path+".price", s.Price)
	switch {
	case s.Model == "":
		c.at(path+".model", "add model: NAME of an entry of models, or endpoint: and model:", "a judge needs a model")
	case s.Endpoint != "":
		c.reference(path, s.Endpoint)
	case !slices.Contains(c.modelNames(), s.Model):
		hint := "add endpoint: for a model that is not among models"
		if n := words.Near(s.Model, c.modelNames()); n != "" {
			hint = "did you mean " + n + "? " + hint
		}
		c.at(path+".model", hint, "no model is called %q", s.Model)
	}
}

// The form of a gate: NAME, NAME(ARGUMENTS) or NAME:ARGUMENT, then perhaps a
// comparison.
var gateForm = pattern.Late(`^\s*([a-z_][a-z0-9_]*)\s*(?:\(([^()]*)\))?\s*(?::\s*[0-9.]+%?)?\s*` +
	`(?:(<=|>=|<|>|==|!=)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(%|ms|s|m|h)?)?\s*$`)

// gates checks their form, and names that look like misspelt models; what
// they measure is checked where they are judged.
func (c *checker) gates() {
	for i, gate := range c.plan.Gates {
		path := fmt.Sprintf("gates[%d]", i)
		m := gateForm().FindStringSubmatch(gate)
		if m == nil {
			c.at(path, `write "error_rate < 1%", "score(MODEL) >= 0.9" or "no_regression(MODEL)"`,
				"%q is not a condition", words.Shorten(gate, 60))
			continue
		}
		for arg := range strings.SplitSeq(m[2], ",") {
			c.gateArgument(path, strings.TrimSpace(arg))
		}
	}
}

// GatePlace is where a gate stands, for the beginning of a message: "plan.yaml:7:3: "
// or "--gate: ".
func (p *Plan) GatePlace(i int) string {
	if p.source == nil {
		return ""
	}
	r := report{source: p.source}
	r.at(fmt.Sprintf("gates[%d]", i), "", "")
	return r.problems[0].place()
}

func (c *checker) gateArgument(path, arg string) {
	known := c.plan.comparedNames()
	for _, s := range c.plan.placedScorers() {
		known = append(known, s.name())
	}
	for _, d := range c.plan.Datasets {
		known = append(known, d.Name)
	}
	if arg == "" || slices.Contains(known, arg) || strings.ContainsAny(arg[:1], "0123456789.-+\"'") {
		return
	}
	if n := words.Near(arg, known); n != "" {
		c.at(path, "did you mean "+n+"?", "%q is neither a model nor a scorer of this plan", words.Shorten(arg, 60))
	}
}
