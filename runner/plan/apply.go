package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/providers/formats"
)

// Apply lays the values of flags over the plan, by the Flag of [Options]; only
// a list may have several. A plan can be made of nothing else: start with
// &Plan{}. The error is an [*Errors] that names the flags.
func (p *Plan) Apply(flags map[string][]string) error {
	return p.apply(flags, func(o Option) string { return "--" + o.Flag })
}

// ApplyEnvironment lays the NIGHTSHIFT_… variables over the plan, those of the named
// flags alone where any are named. Flags go before them, so apply those afterwards.
func (p *Plan) ApplyEnvironment(getenv func(string) string, flags ...string) error {
	values := environment(getenv)
	maps.DeleteFunc(values, func(flag string, _ []string) bool { return len(flags) > 0 && !slices.Contains(flags, flag) })
	return p.apply(values, func(o Option) string { return o.variable })
}

// Given are the options that the environment and flags give together, as values
// of flags that mean the same in any directory. Flags go before the environment.
// Those that may hold a secret are left out.
func Given(getenv func(string) string, flags map[string][]string) map[string][]string {
	values := environment(getenv)
	for _, o := range Options() {
		if o.secret {
			delete(values, o.Flag)
			continue
		}
		if given := flags[o.Flag]; len(given) > 0 {
			values[o.Flag] = slices.Clone(given)
		}
		for i, text := range values[o.Flag] {
			if o.read != nil {
				values[o.Flag][i] = o.read(text)
			}
		}
	}
	return values
}

// environment are the values of the NIGHTSHIFT_… variables, by flag.
func environment(getenv func(string) string) map[string][]string {
	values := map[string][]string{}
	for _, o := range Options() {
		if o.variable == "" {
			continue
		}
		if text := strings.TrimSpace(getenv(o.variable)); text != "" && o.Kind == List {
			values[o.Flag] = strings.Fields(text)
		} else if text != "" {
			values[o.Flag] = []string{text}
		}
	}
	return values
}

func (p *Plan) apply(values map[string][]string, label func(Option) string) error {
	if p.source == nil {
		p.source = newSource("", nil)
	}
	a := &applier{report: report{source: p.source}, plan: p, given: values, label: label}
	for _, o := range Options() {
		if len(values[o.Flag]) > 0 {
			a.option(o, slices.Clone(values[o.Flag]))
		}
	}
	p.source.known = append(p.source.known, a.problems...)
	return a.err()
}

// An applier lays values of options over a plan.
type applier struct {
	report
	plan  *Plan
	given map[string][]string
	label func(Option) string // what messages call an option
}

func (a *applier) option(o Option, values []string) {
	for i, text := range values {
		if !o.Kind.holds(text) {
			a.wrong(o, "", "%q is not a number", text)
			return
		}
		if o.read != nil {
			values[i] = o.read(text)
		}
	}
	if o.apply == nil {
		o.apply = (*applier).plain
	}
	o.apply(a, o, values)
}

// holds reports whether a text can be a value of the kind.
func (k Kind) holds(text string) bool {
	var err error
	switch k {
	case Integer:
		_, err = strconv.ParseInt(text, 10, 64)
	case Number:
		_, err = strconv.ParseFloat(text, 64)
	}
	return err == nil
}

// by notes which flag set a field, for messages about it.
func (a *applier) by(o Option, path string) { a.source.flags[path] = a.label(o) }

func (a *applier) wrong(o Option, hint, format string, args ...any) {
	a.problems = append(a.problems, Problem{
		Flag: a.label(o), Path: o.path, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// set decodes values into the field at the option's path.
func (a *applier) set(field reflect.Value, o Option, values []string) {
	d := &decoder{report: report{source: newSource("", nil)}}
	value := reflect.New(field.Type()).Elem()
	d.decode(o.node(values), value, o.path)
	a.by(o, o.path)
	for _, p := range d.problems {
		a.wrong(o, o.hint, "%s", strings.TrimPrefix(p.Message, o.path+": "))
	}
	if len(d.problems) == 0 {
		field.Set(value)
	}
}

// node is the option's value in YAML.
func (o Option) node(values []string) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range values {
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v})
	}
	if o.Kind != List {
		return list.Content[0]
	}
	return list
}

// at is the option for the field at another path.
func (o Option) at(path string) Option {
	o.path = path
	return o
}

// fieldAt is the field at a path, such as limits.concurrency, of the struct
// that target points to. Structs behind pointers are copied on the way, since
// others may share them.
func fieldAt(target any, path string) reflect.Value {
	v := reflect.ValueOf(target).Elem()
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			own := reflect.New(v.Type().Elem())
			if !v.IsNil() {
				own.Elem().Set(v.Elem())
			}
			v.Set(own)
			v = own.Elem()
		}
		fields, _ := fieldsOf(v.Type())
		v = v.FieldByIndex(fields[slices.IndexFunc(fields, func(f field) bool { return f.name == name })].index)
	}
	return v
}

// plain sets a field of the plan itself; one of the dataset is set for each of
// several.
func (a *applier) plain(o Option, values []string) {
	inner, ofDataset := strings.CutPrefix(o.path, "dataset.")
	if !ofDataset || a.plan.Datasets == nil {
		a.set(fieldAt(a.plan, o.path), o, values)
		return
	}
	a.plan.Datasets = slices.Clone(a.plan.Datasets)
	for i := range a.plan.Datasets {
		a.set(fieldAt(&a.plan.Datasets[i], inner), o.at(fmt.Sprintf("datasets[%d].%s", i, inner)), values)
	}
}

// abs makes a path of the command line independent of the plan's folder.
func abs(path string) string {
	if path == "-" || path == "" || inBucket(path) || datasets.IsRemote(path) {
		return path
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// template is a template of the command line; "file:" names a file there.
func template(text string) string {
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		return "file:" + abs(strings.TrimSpace(name))
	}
	return text
}

// unsigned is a seed as the plan has it; a negative one wraps around.
func unsigned(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatUint(uint64(n), 10)
	}
	return text
}

// dataset sets the paths. Without a dataset in the plan, the flag is at fault
// for whatever the dataset lacks.
func (a *applier) dataset(o Option, values []string) {
	if a.plan.Datasets != nil {
		a.wrong(o, "change their paths in the plan", "the plan has several datasets, each with its own path")
		return
	}
	a.plain(o, values)
	if a.source.nodes["dataset"] == nil {
		a.by(o, "dataset")
	}
}

// fields adds ROLE=FIELD to the mapping of fields.
func (a *applier) fields(o Option, values []string) {
	for _, text := range values {
		role, name, ok := strings.Cut(text, "=")
		if !ok || role == "" || name == "" {
			a.wrong(o, "write --field id=ticket", "%q is not ROLE=FIELD", text)
			continue
		}
		a.eachDataset(func(path string, d *Dataset) {
			d.Fields = with(d.Fields, role, name)
			a.by(o, path+".fields."+role)
		})
	}
}

// eachDataset changes the plan's dataset, or each of several.
func (a *applier) eachDataset(change func(path string, d *Dataset)) {
	if a.plan.Datasets == nil {
		change("dataset", &a.plan.Dataset)
		return
	}
	a.plan.Datasets = slices.Clone(a.plan.Datasets)
	for i := range a.plan.Datasets {
		change(fmt.Sprintf("datasets[%d]", i), &a.plan.Datasets[i].Dataset)
	}
}

// with is a copy of a map with one more entry.
func with[V any](m map[string]V, key string, value V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, m)
	out[key] = value
	return out
}

// models replaces the plan's models. A word without a slash picks one of the
// plan's by its name.
func (a *applier) models(o Option, words []string) {
	var models []Model
	for _, word := range words {
		if i := slices.IndexFunc(a.plan.Models, func(m Model) bool { return m.name() == word }); i >= 0 {
			models = append(models, a.plan.Models[i])
			continue
		}
		endpoint, id, ok := strings.Cut(word, "/")
		if !ok || endpoint == "" || id == "" {
			a.wrong(o, a.modelHint(word), "%q is not ENDPOINT/MODEL-ID", word)
			continue
		}
		models = append(models, Model{Endpoint: endpoint, Model: id})
		if _, described := a.plan.Endpoints[endpoint]; endpoint == customEndpoint && !described {
			a.plan.Endpoints = with(a.plan.Endpoints, endpoint, Endpoint{})
			a.by(o, "endpoints."+endpoint)
		}
	}
	distinct(models)
	a.plan.Models = models
	a.replaced(o)
	for i := range models {
		a.by(o, fmt.Sprintf("models[%d]", i))
	}
	// A baseline of the plan may be none of the models any more.
	if names := a.plan.comparedNames(); a.given["baseline"] == nil &&
		!slices.Contains(names, a.plan.Compare.Baseline) {
		a.plan.Compare.Baseline = ""
	}
}

func (a *applier) modelHint(word string) string {
	if n := words.Near(word, (&checker{plan: a.plan}).modelNames()); n != "" {
		return "did you mean " + n + ", a model of the plan?"
	}
	return "write it as anthropic/claude-sonnet-4-6; `nightshift presets` lists endpoints"
}

// distinct names models of one id by their endpoint too.
func distinct(models []Model) {
	count := map[string]int{}
	for _, m := range models {
		count[m.name()]++
	}
	for i, m := range models {
		if m.Name == "" && count[m.Model] > 1 {
			models[i].Name = m.Endpoint + "/" + m.Model
		}
	}
}

// replaced forgets the lines of a list that a flag has replaced.
func (a *applier) replaced(o Option) {
	maps.DeleteFunc(a.source.nodes, func(path string, _ *yaml.Node) bool {
		return path == o.path || within(path, o.path)
	})
	a.by(o, o.path)
}

// everyModel sets a field of all models.
func (a *applier) everyModel(o Option, values []string) {
	for i := range a.plan.Models {
		a.set(fieldAt(&a.plan.Models[i], o.path), o.at(fmt.Sprintf("models[%d].%s", i, o.path)), values)
	}
}

// batchMode is the mode that --batch stands for; false takes a plan's away.
func batchMode(text string) string {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return ModeBatch
	case "false", "no", "off", "0":
		return ModeLive
	}
	return text
}

// everyMode sets the mode of all models and judges, those too that later flags
// name.
func (a *applier) everyMode(o Option, values []string) {
	if values[0] != ModeBatch && values[0] != ModeLive {
		a.wrong(o, "write true or false", "%q is neither", values[0])
		return
	}
	a.plan.allModes = values[0]
	a.by(o, o.path)
}

// maxTokens sets the parameter that caps an answer.
func (a *applier) maxTokens(o Option, values []string) {
	for i, m := range a.plan.Models {
		a.param(i, o, a.capName(m), json.RawMessage(values[0]))
	}
}

// capName is the parameter that caps an answer: the one the plan uses, else
// what the endpoint calls it.
func (a *applier) capName(m Model) string {
	for _, name := range formats.CapNames() {
		if m.Params.get(name) != nil {
			return name
		}
	}
	e, ok := a.plan.merge(m.Endpoint, nil)
	if name := presetCap(e.preset, e.Protocol); ok && name != "" && !e.ownURL {
		return name
	}
	if f, ok := formats.Of(e.Protocol); ok {
		return f.CapNames()[0]
	}
	return "max_tokens"
}

// params reads KEY=JSON. What is not JSON is a text, so that
// reasoning_effort=low needs no quotes inside quotes.
func (a *applier) params(o Option, values []string) {
	for _, text := range values {
		name, value, ok := strings.Cut(text, "=")
		parsed := json.RawMessage(strings.TrimSpace(value))
		switch {
		case !ok || name == "":
			a.wrong(o, "write --param temperature=0", "%q is not KEY=JSON", text)
			continue
		case json.Valid(parsed):
		case value == "" || strings.ContainsAny(value[:1], "{[\"-0123456789"):
			a.wrong(o, "", "the value of %s is not JSON: %s", name, words.Shorten(value, 60))
			continue
		default:
			parsed = quote(value)
		}
		for i := range a.plan.Models {
			a.param(i, o, name, parsed)
		}
	}
}

// param sets a request parameter of a model.
func (a *applier) param(i int, o Option, name string, value json.RawMessage) {
	m := &a.plan.Models[i]
	m.Params = slices.Clone(m.Params)
	m.Params.set(name, value)
	a.by(o, fmt.Sprintf("models[%d].params.%s", i, name))
}

// everyEndpoint sets a field of the known endpoints of all models.
func (a *applier) everyEndpoint(o Option, values []string) {
	for _, m := range a.plan.Models {
		if _, ok := a.plan.merge(m.Endpoint, nil); ok {
			a.endpoint(m.Endpoint, o, values)
		}
	}
}

// onlyEndpoint sets a field of the endpoint of the only model.
func (a *applier) onlyEndpoint(o Option, values []string) {
	if n := len(a.plan.Models); n != 1 {
		a.wrong(o.at(""), "describe endpoints in a plan for more than one model",
			"needs exactly one --model; there are %d", n)
		return
	}
	a.endpoint(a.plan.Models[0].Endpoint, o, values)
}

// endpoint sets a field of an endpoint; a preset becomes an entry of the plan.
func (a *applier) endpoint(name string, o Option, values []string) {
	entry := a.plan.Endpoints[name]
	a.set(fieldAt(&entry, o.path), o.at("endpoints."+name+"."+o.path), values)
	a.plan.Endpoints = with(a.plan.Endpoints, name, entry)
}

// auth reads --auth SCHEME or header:NAME.
func (a *applier) auth(o Option, values []string) {
	scheme, header, _ := strings.Cut(values[0], ":")
	a.onlyEndpoint(o.at("auth.scheme"), []string{scheme})
	a.onlyEndpoint(o.at("auth.name"), []string{header})
	if len(a.plan.Models) == 1 {
		a.by(o, "endpoints."+a.plan.Models[0].Endpoint+".auth")
	}
}

// keyVariable names where the key is, in place of a variable or file of the plan.
func (a *applier) keyVariable(o Option, values []string) {
	a.onlyEndpoint(o.at("auth.env"), values)
	a.onlyEndpoint(o.at("auth.file"), []string{""})
}

// scorers replaces the plan's scorers, those of its datasets too.
func (a *applier) scorers(o Option, values []string) {
	a.plan.Scorers = nil
	a.plan.Datasets = slices.Clone(a.plan.Datasets)
	for i := range a.plan.Datasets {
		a.plan.Datasets[i].Scorers = nil
	}
	a.replaced(o)
	for _, text := range values {
		if s, ok := a.scorer(o, text); ok {
			a.plan.Scorers = append(a.plan.Scorers, s)
		}
	}
}

// scorer reads one --scorer: a type, a type with parameters, or the mapping
// that a plan would have.
func (a *applier) scorer(o Option, text string) (s Scorer, ok bool) {
	source := text
	if kind, params, found := strings.Cut(text, ":"); found && !strings.HasPrefix(text, "{") {
		source = "{type: " + kind + ", " + strings.ReplaceAll(params, "=", ": ") + "}"
	}
	d := &decoder{report: report{source: newSource("", []byte(source))}}
	var node yaml.Node
	err := yaml.Load([]byte(source), &node)
	if err == nil && len(node.Content) == 1 {
		d.decode(node.Content[0], reflect.ValueOf(&s).Elem(), "scorer")
	}
	if err == nil && len(d.problems) == 0 && s.Type != "" {
		return s, true
	}
	why := "it is not a scorer"
	if len(d.problems) > 0 {
		why = d.problems[0].Message
	}
	a.wrong(o, "write --scorer exact, --scorer number:style=last or --scorer '{type: regex, pattern: …}'",
		"%q: %s", text, why)
	return s, false
}
