package plan

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"nightshift"
	"nightshift/providers/pricing"
)

// Overrides are what flags or the environment say; each that is set takes the
// place of the plan's. Nil and empty are not set.
type Overrides struct {
	Name    *string
	Dataset []string // paths, relative to the working directory
	Format  *string
	Models  []string // ENDPOINT/MODEL-ID, or the name of a model of the plan
	Out     *string  // relative to the working directory
	System  *string
	Prompt  *string
	Target  *string
	Limit   *int64
	Offset  *int64
	Sample  *int64
	Seed    *int64
	Filter  *string
	Fields  []string // ROLE=FIELD

	OnBadRow                      *string
	AllowDuplicateIDs, RepairUTF8 *bool

	Epochs    *int
	MaxTokens *int64
	Params    []string // KEY=JSON
	Stream    *bool

	// These concern the endpoints of all models of the plan.
	Concurrency *int
	RPM, TPM    *float64

	// These concern the endpoint of a single model.
	BaseURL, Protocol, Auth, APIKeyEnv *string

	BudgetUSD    *string
	BudgetTokens *int64
	Scorers      []string // TYPE, TYPE:key=value,key=value or {type: …}
	Gates        []string
	Baseline     *string
	Prices       *string // relative to the working directory
	Raw          *string
	OnUnknown    *string
	Durability   *string
	Metrics      *string
	Attempts     *int
	Tolerate     *string // a number of rows or a share

	// Label turns the name of a flag ("budget-usd") into what messages call
	// it. Nil means "--budget-usd".
	Label func(flag string) string
}

// FromEnvironment reads the NIGHTSHIFT_… variables. Apply it before the flags.
func FromEnvironment(getenv func(string) string) (Overrides, error) {
	o := Overrides{Label: variable}
	e := &environment{getenv: getenv}
	o.Name = e.text("name")
	o.Dataset = e.list("dataset")
	o.Models = e.list("model")
	o.Out = e.text("out")
	o.Prices = e.text("prices")
	o.BudgetUSD = e.text("budget-usd")
	o.Metrics = e.text("metrics")
	o.Raw = e.text("raw")
	o.BudgetTokens = number[int64](e, "budget-tokens")
	o.Limit = number[int64](e, "limit")
	o.Epochs = number[int](e, "epochs")
	o.MaxTokens = number[int64](e, "max-tokens")
	o.Concurrency = number[int](e, "concurrency")
	o.RPM = number[float64](e, "rpm")
	o.TPM = number[float64](e, "tpm")
	if len(e.problems) > 0 {
		return o, &Errors{e.problems}
	}
	return o, nil
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "NIGHTSHIFT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

type environment struct {
	getenv   func(string) string
	problems []Problem
}

func (e *environment) text(flag string) *string {
	if v := e.getenv(variable(flag)); v != "" {
		return &v
	}
	return nil
}

func (e *environment) list(flag string) []string {
	if v := e.text(flag); v != nil {
		return strings.Fields(*v)
	}
	return nil
}

func number[T int | int64 | float64](e *environment, flag string) *T {
	text := e.text(flag)
	if text == nil {
		return nil
	}
	var n T
	if err := json.Unmarshal([]byte(*text), &n); err != nil {
		e.problems = append(e.problems, Problem{Flag: variable(flag), Message: fmt.Sprintf("%q is no number", *text)})
		return nil
	}
	return &n
}

// Apply lays overrides over the plan. A plan can be made of nothing else:
// start with &Plan{}. The error is an [*Errors] that names the flags.
func (p *Plan) Apply(o Overrides) error {
	if p.source == nil {
		p.source = newSource("", nil)
	}
	if o.Label == nil {
		o.Label = func(flag string) string { return "--" + flag }
	}
	a := &applier{report: report{source: p.source}, plan: p, o: o}
	a.dataset()
	a.run()
	a.models()
	a.requests()
	a.limits()
	a.endpoint()
	a.scorers()
	p.source.known = append(p.source.known, a.problems...)
	return a.err()
}

// An applier lays overrides over a plan.
type applier struct {
	report
	plan *Plan
	o    Overrides
}

// by notes which flag set a field, for messages about it.
func (a *applier) by(flag, path string) { a.source.flags[path] = a.o.Label(flag) }

func (a *applier) wrong(flag, hint, format string, args ...any) {
	a.problems = append(a.problems, Problem{Flag: a.o.Label(flag), Path: flagPaths[flag], Message: fmt.Sprintf(format, args...), Hint: hint})
}

// flagPaths says what part of a plan cannot be judged when a flag is wrong.
var flagPaths = map[string]string{"model": "models", "budget-usd": "budget.usd", "scorer": "scorers"}

// over replaces a field by a flag's value, where it was given.
func over[T any](a *applier, to *T, value *T, flag, path string) {
	if value != nil {
		*to = *value
		a.by(flag, path)
	}
}

// abs makes a flag's path independent of the plan's folder.
func abs(path string) string {
	if path == "-" || path == "" {
		return path
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

func (a *applier) file(to *string, value *string, flag, path string) {
	if value != nil {
		*to = abs(*value)
		a.by(flag, path)
	}
}

// text is a template on the command line; "file:" names a file there.
func (a *applier) text(to *string, value *string, flag, path string) {
	if value == nil {
		return
	}
	*to = *value
	if name, ok := strings.CutPrefix(*value, "file:"); ok {
		*to = "file:" + abs(strings.TrimSpace(name))
	}
	a.by(flag, path)
}

func (a *applier) dataset() {
	o, d := a.o, &a.plan.Dataset
	if len(o.Dataset) > 0 {
		d.Path = nil
		for _, path := range o.Dataset {
			d.Path = append(d.Path, abs(path))
		}
		a.by("dataset", "dataset.path")
		if a.source.nodes["dataset"] == nil {
			a.by("dataset", "dataset")
		}
	}
	over(a, &d.Format, o.Format, "format", "dataset.format")
	a.text(&d.System, o.System, "system", "dataset.system")
	a.text(&d.Prompt, o.Prompt, "prompt", "dataset.prompt")
	a.text(&d.Target, o.Target, "target", "dataset.target")
	over(a, &d.Limit, o.Limit, "limit", "dataset.limit")
	over(a, &d.Offset, o.Offset, "offset", "dataset.offset")
	over(a, &d.Sample, o.Sample, "sample", "dataset.sample")
	if o.Seed != nil {
		d.Seed = uint64(*o.Seed)
		a.by("seed", "dataset.seed")
	}
	over(a, &d.Filter, o.Filter, "filter", "dataset.filter")
	a.fields()
	over(a, &d.OnBadRow, o.OnBadRow, "on-bad-row", "dataset.on_bad_row")
	over(a, &d.AllowDuplicateIDs, o.AllowDuplicateIDs, "allow-duplicate-ids", "dataset.allow_duplicate_ids")
	over(a, &d.RepairUTF8, o.RepairUTF8, "repair-utf8", "dataset.repair_utf8")
}

// fields reads ROLE=FIELD into the mapping of fields; the others stay.
func (a *applier) fields() {
	d := &a.plan.Dataset
	for _, text := range a.o.Fields {
		role, name, ok := strings.Cut(text, "=")
		if !ok || role == "" || name == "" {
			a.wrong("field", "write --field id=ticket", "%q is not ROLE=FIELD", text)
			continue
		}
		fields := map[string]string{}
		for r, n := range d.Fields {
			fields[r] = n
		}
		fields[role] = name
		d.Fields = fields
		a.by("field", "dataset.fields."+role)
	}
}

func (a *applier) run() {
	o, p := a.o, a.plan
	over(a, &p.Name, o.Name, "name", "name")
	a.file(&p.Out, o.Out, "out", "out")
	a.file(&p.Prices, o.Prices, "prices", "prices")
	over(a, &p.Epochs, o.Epochs, "epochs", "epochs")
	over(a, &p.Raw, o.Raw, "raw", "raw")
	over(a, &p.OnUnknown, o.OnUnknown, "on-unknown", "on_unknown")
	over(a, &p.Durability, o.Durability, "durability", "durability")
	over(a, &p.Metrics, o.Metrics, "metrics", "metrics")
	over(a, &p.Retry.Attempts, o.Attempts, "attempts", "retry.attempts")
	over(a, &p.Compare.Baseline, o.Baseline, "baseline", "compare.baseline")
	if len(o.Gates) > 0 {
		p.Gates = o.Gates
		a.by("gate", "gates")
	}
	if o.BudgetTokens != nil {
		p.Budget.Tokens = o.BudgetTokens
		a.by("budget-tokens", "budget.tokens")
	}
	if o.BudgetUSD != nil {
		a.budget(*o.BudgetUSD)
	}
	if o.Tolerate != nil {
		if err := p.TolerateFailed.UnmarshalText([]byte(*o.Tolerate)); err != nil {
			a.wrong("tolerate-failed", "", "%v", err)
		}
		a.by("tolerate-failed", "tolerate_failed")
	}
}

func (a *applier) budget(text string) {
	usd, err := pricing.ParseUSD(strings.TrimPrefix(strings.TrimSpace(text), "$"))
	if err != nil {
		a.wrong("budget-usd", "write dollars: 20 or 2.50", "%v", err)
		return
	}
	a.plan.Budget.USD = (*USD)(&usd)
	a.by("budget-usd", "budget.usd")
}

// models replaces the plan's models. A word without a slash picks one of the
// plan's by its name.
func (a *applier) models() {
	if len(a.o.Models) == 0 {
		return
	}
	var models []Model
	for _, word := range a.o.Models {
		if i := slices.IndexFunc(a.plan.Models, func(m Model) bool { return m.name() == word }); i >= 0 {
			models = append(models, a.plan.Models[i])
			continue
		}
		endpoint, id, ok := strings.Cut(word, "/")
		if !ok || endpoint == "" || id == "" {
			a.wrong("model", a.modelHint(word), "%q is not ENDPOINT/MODEL-ID", word)
			continue
		}
		models = append(models, Model{Endpoint: endpoint, Model: id})
		if endpoint == customEndpoint {
			a.custom()
		}
	}
	distinct(models)
	a.forgetModels()
	a.plan.Models = models
	a.by("model", "models")
	for i := range models {
		a.by("model", fmt.Sprintf("models[%d]", i))
	}
	a.baseline()
}

func (a *applier) modelHint(word string) string {
	var names []string
	for _, m := range a.plan.Models {
		names = append(names, m.name())
	}
	if n := Near(word, names); n != "" {
		return "did you mean " + n + ", a model of the plan?"
	}
	return "write it as anthropic/claude-sonnet-4-6; `nightshift presets` lists endpoints"
}

// custom is the endpoint that starts from nothing.
func (a *applier) custom() {
	if _, ok := a.plan.Endpoints[customEndpoint]; !ok {
		a.change(customEndpoint, func(*Endpoint) {})
		a.by("model", "endpoints."+customEndpoint)
	}
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

// forgetModels drops the places of models that flags replaced.
func (a *applier) forgetModels() {
	for path := range a.source.nodes {
		if path == "models" || within(path, "models") {
			delete(a.source.nodes, path)
		}
	}
}

// baseline gives up a plan's baseline that flags left out of the run.
func (a *applier) baseline() {
	c := checker{plan: a.plan}
	if a.o.Baseline == nil && !slices.Contains(c.modelNames(), a.plan.Compare.Baseline) {
		a.plan.Compare.Baseline = ""
	}
}

// requests sets what every model's requests carry.
func (a *applier) requests() {
	params := a.params()
	for i := range a.plan.Models {
		m := &a.plan.Models[i]
		path := fmt.Sprintf("models[%d]", i)
		m.Params = slices.Clone(m.Params)
		over(a, &m.Stream, a.o.Stream, "stream", path+".stream")
		if a.o.MaxTokens != nil {
			name := a.capName(*m)
			m.Params.Set(name, fmt.Append(nil, *a.o.MaxTokens))
			a.by("max-tokens", path+".params."+name)
		}
		for _, p := range params {
			m.Params.Set(p.Name, p.Value)
			a.by("param", path+".params."+p.Name)
		}
	}
}

// capName is the parameter that caps an answer: the one the plan uses, else
// what the endpoint calls it.
func (a *applier) capName(m Model) string {
	for _, name := range []string{"max_completion_tokens", "max_tokens"} {
		if m.Params.Get(name) != nil {
			return name
		}
	}
	// OpenAI's newer models refuse max_tokens; all of its models take this.
	if e, ok := a.plan.merge(m.Endpoint, nil); ok && service(e.preset) == "openai" && e.Protocol == nightshift.Chat && !e.ownURL {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// params reads KEY=JSON. What is no JSON is a text, so that
// reasoning_effort=low needs no quotes inside quotes.
func (a *applier) params() (params Params) {
	for _, text := range a.o.Params {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			a.wrong("param", "write --param temperature=0", "%q is not KEY=JSON", text)
			continue
		}
		switch {
		case json.Valid([]byte(value)):
			params.Set(name, json.RawMessage(strings.TrimSpace(value)))
		case value == "" || strings.ContainsAny(value[:1], "{[\"-0123456789"):
			a.wrong("param", "", "the value of %s is no JSON: %s", name, cut(value, 60))
		default:
			params.Set(name, quote(value))
		}
	}
	return params
}

// limits sets the limits of the endpoints that the models use.
func (a *applier) limits() {
	o := a.o
	if o.Concurrency == nil && o.RPM == nil && o.TPM == nil {
		return
	}
	for _, name := range a.endpointsUsed() {
		a.change(name, func(e *Endpoint) {
			var l Limits
			if e.Limits != nil {
				l = *e.Limits
			}
			path := "endpoints." + name + ".limits"
			over(a, &l.Concurrency, o.Concurrency, "concurrency", path+".concurrency")
			over(a, &l.RequestsPerMinute, o.RPM, "rpm", path+".requests_per_minute")
			over(a, &l.TokensPerMinute, o.TPM, "tpm", path+".tokens_per_minute")
			e.Limits = &l
		})
	}
}

// endpointsUsed lists the known endpoints of the models, each once.
func (a *applier) endpointsUsed() (names []string) {
	for _, m := range a.plan.Models {
		if _, ok := a.plan.merge(m.Endpoint, nil); ok && !slices.Contains(names, m.Endpoint) {
			names = append(names, m.Endpoint)
		}
	}
	return names
}

// change edits an endpoint of the plan; a preset becomes an entry of its own.
func (a *applier) change(name string, edit func(*Endpoint)) {
	endpoints := map[string]Endpoint{}
	for n, e := range a.plan.Endpoints {
		endpoints[n] = e
	}
	e := endpoints[name]
	edit(&e)
	endpoints[name] = e
	a.plan.Endpoints = endpoints
}

// endpoint sets where a single model is and how its key is sent.
func (a *applier) endpoint() {
	o := a.o
	given := map[string]*string{"base-url": o.BaseURL, "protocol": o.Protocol, "auth": o.Auth, "api-key-env": o.APIKeyEnv}
	var flags []string
	for flag, v := range given {
		if v != nil {
			flags = append(flags, flag)
		}
	}
	if len(flags) == 0 {
		return
	}
	slices.Sort(flags)
	if len(a.plan.Models) != 1 {
		a.wrong(flags[0], "describe endpoints in a plan for more than one model", "needs exactly one --model; there are %d", len(a.plan.Models))
		return
	}
	name := a.plan.Models[0].Endpoint
	path := "endpoints." + name
	a.change(name, func(e *Endpoint) {
		over(a, &e.BaseURL, o.BaseURL, "base-url", path+".base_url")
		over(a, (*string)(&e.Protocol), o.Protocol, "protocol", path+".protocol")
		if o.Auth == nil && o.APIKeyEnv == nil {
			return
		}
		var auth Auth
		if e.Auth != nil {
			auth = *e.Auth
		}
		a.auth(&auth, path+".auth")
		e.Auth = &auth
	})
}

// auth reads --auth SCHEME or header:NAME.
func (a *applier) auth(auth *Auth, path string) {
	if a.o.Auth != nil {
		scheme, header, _ := strings.Cut(*a.o.Auth, ":")
		auth.Scheme, auth.Name = scheme, header
		a.by("auth", path)
		a.by("auth", path+".scheme")
	}
	if a.o.APIKeyEnv != nil {
		auth.Env, auth.File = *a.o.APIKeyEnv, ""
		a.by("api-key-env", path+".env")
	}
}

// scorers replaces the plan's scorers.
func (a *applier) scorers() {
	if len(a.o.Scorers) == 0 {
		return
	}
	a.plan.Scorers = nil
	for path := range a.source.nodes {
		if path == "scorers" || within(path, "scorers") {
			delete(a.source.nodes, path)
		}
	}
	a.by("scorer", "scorers")
	for _, text := range a.o.Scorers {
		if s, ok := a.scorer(text); ok {
			a.plan.Scorers = append(a.plan.Scorers, s)
		}
	}
}

// scorer reads one --scorer: a type, a type with parameters, or the mapping
// that a plan would have.
func (a *applier) scorer(text string) (s Scorer, ok bool) {
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
	if err != nil || len(d.problems) > 0 || s.Type == "" {
		why := "it is no scorer"
		if len(d.problems) > 0 {
			why = d.problems[0].Message
		}
		a.wrong("scorer", "write --scorer exact, --scorer number:style=last or --scorer '{type: regex, pattern: …}'", "%q: %s", text, why)
		return s, false
	}
	return s, true
}
