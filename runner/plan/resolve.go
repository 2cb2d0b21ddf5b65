package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/limits"
	"nightshift/providers/pricing"
	"nightshift/providers/secrets"
	"nightshift/reports/scorers"
)

// Resolved is a plan that is ready to run: defaults filled in, presets and
// prices looked up, files of texts read. It holds no key.
type Resolved struct {
	Plan *Plan // what it was made of
	Name string
	Out  string // run directory

	Dataset datasets.Spec
	Epochs  int
	Models  []ResolvedModel
	Scorers []ResolvedScorer
	// Likelihoods are the log-probabilities that the scorers need: they are asked
	// for in place of answers.
	Likelihoods scorers.Likelihoods

	BudgetUSD    *nightshift.NanoUSD // nil is no limit
	BudgetTokens *int64              // nil is no limit
	Attempts     int                 // per row
	MaxStall     time.Duration

	Baseline       string // name of the model that others are compared with
	Along          string // AlongModels, AlongVariants or AlongAll; empty where no model has variants
	Alpha          float64
	Average        string   // AverageDatasets or AverageRows; empty for one dataset
	Stopping       Stopping // when the comparison needs no more rows
	Gates          []string
	GatePlaces     []string // of Gates, as GatePlace has them
	TolerateFailed Tolerance
	Raw            string // all, errors or none
	SkipUnknown    bool   // rows that may have been billed are not sent again
	Strict         bool   // durability strict
	Metrics        string // address for Prometheus metrics; empty for none
	Deadline       string // for [DeadlineAt]; empty for none
	Notify         string // URL to which the end of the run is posted; empty for none

	Prices *pricing.Table
	// Notes are worth knowing before the run: prices
	// that are not known, a base URL that the environment changed.
	Notes []string
}

// A ResolvedModel is one model, or a judge.
type ResolvedModel struct {
	Name string
	// Variant is the way in which the model is asked, and VariantOf the model's
	// name in the plan; Name is both. They are empty where there is only one way.
	Variant, VariantOf string
	// Templates are those of this way to ask, for each of several datasets, else one.
	Templates []datasets.Templates

	ModelID  string
	Endpoint providers.Endpoint
	Preset   string // preset that the endpoint started from; empty for none
	// Simulated is true when the endpoint runs inside the process, at
	// providers.SimulatorURL; Simulator is its settings, nil for the default,
	// and Folder is what paths in them are relative to.
	Simulated bool
	Simulator json.RawMessage
	Folder    string
	Params    []nightshift.Param
	Stream    bool
	// Likelihoods are asked for in place of answers; judges answer.
	Likelihoods scorers.Likelihoods
	// RowsPerRequest is how many rows go into one request for vectors; 0 and 1
	// are one.
	RowsPerRequest int
	// Mode is ModeLive or ModeBatch. Batch is there in both: batches of an earlier
	// start are seen to also in mode live.
	Mode    string
	Batch   BatchSettings
	Cache   Caching        // how rows are sent for the sake of the prompt cache
	Price   *pricing.Price // nil when unknown
	PriceID string         // which price; "plan" for one of the plan
	// MaxTokens is the cap that the parameters set on an answer, 0 for none.
	// MaxOutput is the most output tokens of an answer: that cap, else what
	// the plan or the price table say the model can write; 0 is unknown.
	MaxTokens int64
	MaxOutput int64
	// PriceList is the provider whose list prices the endpoint charges; empty
	// when it has prices of its own.
	PriceList string

	path     string // in the plan
	prices   *pricing.Table
	own      *pricing.Table // the plan's; nil without one
	ownLists []string       // the names under which the plan's table may have the endpoint
}

// nameInPlan is the model's name without its variant.
func (m *ResolvedModel) nameInPlan() string { return cmp.Or(m.VariantOf, m.Name) }

// LacksMaxTokens reports whether the model's format requires max_tokens in
// every request and the parameters do not set it. format is its name.
func (m *ResolvedModel) LacksMaxTokens() (format string, lacks bool) {
	f, ok := formats.Of(m.Endpoint.Protocol)
	if !ok || !f.RequiresMaxTokens() || m.MaxTokens > 0 {
		return "", false
	}
	return f.Name(), true
}

// priceFor is the price of an answer that came from the model named served:
// the one that the model's own name led to, else what the answer's leads to.
// ok is false when neither is known.
func (m ResolvedModel) priceFor(served string) (price pricing.Price, id string, ok bool) {
	if m.Price != nil {
		return *m.Price, m.PriceID, true
	}
	for _, list := range m.ownLists {
		if price, id, ok = m.own.Lookup(list, m.ModelID, served); ok {
			return price, id, true
		}
	}
	if m.PriceList == "" {
		return pricing.Price{}, "", false
	}
	return m.prices.Lookup(m.PriceList, m.ModelID, served)
}

// A ResolvedScorer is a scorer of the plan.
type ResolvedScorer struct {
	Spec scorers.Spec
	// Scorer is ready to use; nil for kinds that need more than the answer
	// (judges, embeddings, commands), which are built from Spec.
	Scorer scorers.Scorer
	// Judge is the model that is asked; nil for scorers that send nothing.
	Judge *ResolvedModel
	// Datasets are the names of those that it scores; nil is all.
	Datasets []string
}

// A resolver does the work of Resolve.
type resolver struct {
	checker
	getenv  func(string) string
	out     *Resolved
	checked map[string]bool // endpoints whose keys were checked
	own     *pricing.Table  // the plan's price table; nil without one
}

// Resolve makes the plan ready to run. It reads the environment through
// getenv and the files that the plan names, and sends nothing. The error is an
// [*Errors] with everything that would stop the run. When all that is missing
// are keys ([Errors.OnlyKeys]) the result is there beside the error, for
// commands that send nothing.
//
// What [Load] and [Plan.Apply] have reported is not repeated, so a plan that
// they found mistakes in is not ready however Resolve ends.
func (p *Plan) Resolve(getenv func(string) string) (*Resolved, error) {
	r := newResolver(p, getenv)
	r.all()
	r.settings()
	r.prices()
	r.dataset()
	r.resolveModels()
	r.resolveScorers()
	r.likelihoods()
	r.capped()
	r.cappedJudges()
	r.affordable()
	return r.result()
}

// result is what is ready, with an error where keys alone are missing, or what is
// wrong.
func (r *resolver) result() (*Resolved, error) {
	r.problems = slices.DeleteFunc(r.problems, r.source.reported)
	err := r.err()
	if e, ok := err.(*Errors); ok && !e.OnlyKeys() {
		return nil, err
	}
	return r.out, err
}

func newResolver(p *Plan, getenv func(string) string) *resolver {
	if p.source == nil {
		p.source = newSource("", nil)
	}
	return &resolver{
		checker: checker{report: report{source: p.source}, plan: p},
		getenv:  getenv,
		out:     &Resolved{Plan: p},
		checked: map[string]bool{},
	}
}

// OnlyKeys reports whether keys that are not set are all that is wrong.
func (e *Errors) OnlyKeys() bool {
	return !slices.ContainsFunc(e.Problems, func(p Problem) bool { return !p.Key })
}

func (r *resolver) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.out.Notes, text) {
		r.out.Notes = append(r.out.Notes, text)
	}
}

// settings fills in what has a default.
func (r *resolver) settings() {
	p, out := r.plan, r.out
	out.Name = cmp.Or(p.Name, p.defaultName())
	out.Out = cmp.Or(p.path(p.Out), p.path(filepath.Join("runs", fileName(out.Name))))
	out.Epochs = max(p.Epochs, 1)
	out.BudgetUSD = (*nightshift.NanoUSD)(p.Budget.USD)
	out.BudgetTokens = p.Budget.Tokens
	out.Attempts = cmp.Or(p.Retry.Attempts, 4)
	out.MaxStall = cmp.Or(time.Duration(p.Retry.MaxStall), limits.DefaultMaxStall)
	out.Alpha = cmp.Or(p.Compare.Alpha, 0.05)
	out.Baseline, out.Along = p.baseline(), p.along()
	if p.Datasets != nil {
		out.Average = cmp.Or(p.Compare.Average, AverageDatasets)
	}
	out.Stopping = Stopping{Decided: p.Compare.StopWhen != "", Smallest: float64(p.Compare.SmallestDifference),
		Precision: float64(p.Compare.Precision)}
	out.Gates = p.Gates
	for i := range p.Gates {
		out.GatePlaces = append(out.GatePlaces, p.GatePlace(i))
	}
	out.TolerateFailed = p.TolerateFailed
	out.Raw = cmp.Or(p.Raw, "all")
	out.SkipUnknown = p.OnUnknown == "skip"
	out.Strict = p.Durability == "strict"
	out.Metrics = p.Metrics
	out.Deadline, out.Notify = p.Deadline, p.Notify
}

// defaultName is the plan file's name, or the dataset's.
func (p *Plan) defaultName() string {
	name := p.source.name
	if name == "" && len(p.Dataset.Path) > 0 {
		name = p.Dataset.Path[0]
	}
	name = filepath.Base(name)
	for ext := filepath.Ext(name); ext != "" && ext != name; ext = filepath.Ext(name) {
		name = strings.TrimSuffix(name, ext)
	}
	if name == "plan" && p.source.dir != "" { // the folder says more
		if abs, err := filepath.Abs(p.source.dir); err == nil {
			name = filepath.Base(abs)
		}
	}
	name = words.Shorten(strings.TrimSpace(strings.Map(printable, name)), 100)
	if strings.Trim(name, "./-*?") == "" {
		return "run"
	}
	return name
}

// printable makes control characters dashes.
func printable(c rune) rune {
	if unicode.IsControl(c) || c == unicode.ReplacementChar {
		return '-'
	}
	return c
}

// fileName is a name that every file system takes.
func fileName(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, c) {
			return '-'
		}
		return c
	}, name)
}

func (r *resolver) prices() {
	r.out.Prices = pricing.Embedded()
	if r.plan.Prices == "" {
		return
	}
	t, err := pricing.Load(r.plan.path(r.plan.Prices))
	if err != nil {
		r.at("prices", "", "%v", err)
		return
	}
	r.own, r.out.Prices = t, pricing.Embedded().With(t)
}

// Rows is the dataset section alone, for commands that tell what is wrong with
// the rows together with what is wrong with the plan. ok is false when the
// section itself has mistakes; Resolve tells them.
func (p *Plan) Rows() (spec datasets.Spec, ok bool) {
	if p.source == nil {
		p.source = newSource("", nil)
	}
	r := &resolver{checker: checker{report: report{source: p.source}, plan: p}, out: &Resolved{Plan: p}}
	r.checker.datasets()
	r.dataset()
	wrong := func(k Problem) bool {
		return k.Path == "" && k.Flag == "" || slices.ContainsFunc([]string{"dataset", "datasets"},
			func(section string) bool { return k.Path == section || within(k.Path, section) })
	}
	return r.out.Dataset, len(r.problems) == 0 && !slices.ContainsFunc(p.source.known, wrong)
}

// maxText bounds a prompt or template file.
const maxText = 4 << 20

// fromFile reads a text that is written as "file:PATH".
func (r *resolver) fromFile(path, text string) string {
	name, ok := strings.CutPrefix(text, "file:")
	if !ok {
		return text
	}
	return r.readText(path, strings.TrimSpace(name))
}

func (r *resolver) readText(path, name string) string {
	full := r.plan.path(name)
	info, err := os.Stat(full)
	if err == nil && (info.IsDir() || info.Size() > maxText) {
		r.at(path, "", "%s is not a text file of at most 4 MB", full)
		return ""
	}
	b, err := os.ReadFile(full)
	if err != nil {
		r.at(path, "paths in a plan are relative to the plan", "%v", err)
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), "\ufeff"), "\n")
}

func (r *resolver) resolveModels() {
	for _, l := range r.plan.lanes() {
		m := r.plan.Models[l.model]
		m.Params = l.params
		model, ok := r.resolveModel(fmt.Sprintf("models[%d]", l.model), m)
		if !ok {
			continue
		}
		model.Templates = r.templates(l)
		if l.variant != "" {
			model.Name, model.Variant, model.VariantOf = l.name, l.variant, model.Name
		}
		r.out.Models = append(r.out.Models, model)
	}
}

// resolveModel looks up a model's endpoint and price; ok is false when the
// endpoint is unknown, which the checker has said.
func (r *resolver) resolveModel(path string, m Model) (ResolvedModel, bool) {
	e, ok := r.plan.merge(m.Endpoint, r.getenv)
	if !ok {
		return ResolvedModel{}, false
	}
	r.environment(path, &e)
	model := ResolvedModel{
		path: path, Name: m.name(), ModelID: m.Model, Endpoint: e.Endpoint,
		Preset: e.preset, Simulated: e.simulated(), Simulator: e.entry.Simulator, Folder: r.plan.Dir(),
		Params: m.Params, Stream: m.Stream, RowsPerRequest: int(m.RowsPerRequest),
		Mode: cmp.Or(r.plan.allModes, m.Mode, ModeLive), Batch: m.Batch.over(r.plan.Batch).settings(),
		PriceList: cmp.Or(e.entry.Prices, service(e.preset)), prices: r.out.Prices,
	}
	model.own, model.ownLists = r.own, r.ownLists(model.PriceList, m.Endpoint, service(e.preset))
	if !r.out.Prices.Has(model.PriceList) {
		model.PriceList = "" // what a gateway charges is in nobody's list
	}
	if model.Tier() == TierFlex {
		model.Endpoint.Timeouts.FirstByte = cmp.Or(model.Endpoint.Timeouts.FirstByte, flexFirstByte)
	}
	r.priced(&model, m.Price)
	r.caching(path, &model, m.Cache)
	r.batched(path, &model)
	if f, ok := formats.Of(model.Endpoint.Protocol); ok {
		model.MaxTokens = formats.ParamsCap(f, model.Params)
	}
	model.MaxOutput = cmp.Or(model.MaxTokens, m.MaxOutput)
	if model.MaxOutput == 0 && model.Price != nil {
		model.MaxOutput = model.Price.MaxOutput
	}
	return model, true
}

// ownLists are the names under which the plan's own table may list an endpoint:
// those that it has, and the last for its rows that name no provider.
func (r *resolver) ownLists(names ...string) []string {
	if r.own == nil {
		return nil
	}
	named := slices.DeleteFunc(names, func(name string) bool { return name == "" })
	listed := slices.DeleteFunc(slices.Clone(named), func(name string) bool { return !r.own.Has(name) })
	return append(listed, named...)
}

// priced finds the price: the plan's, else the table's for the provider.
func (r *resolver) priced(m *ResolvedModel, own *Price) {
	listed, id, found := m.priceFor("")
	if own != nil {
		price := own.resolve()
		price.Model = m.ModelID
		if found {
			price.MaxInput, price.MaxOutput = listed.MaxInput, listed.MaxOutput
		}
		m.Price, m.PriceID = &price, "plan"
		r.noteTier(m)
		return
	}
	if m.Simulated {
		m.Price, m.PriceID = &pricing.Price{Model: m.ModelID}, simulatorPreset // it costs nothing
		return
	}
	if !found && isFree(m.Preset) {
		m.Price, m.PriceID = &pricing.Price{Model: m.ModelID}, service(m.Preset)
		return
	}
	if !found {
		r.note("the price of %s (%s at %s) is not known, so its cost is not known either; "+
			"set price: in the plan, prices: on its endpoint, or --prices FILE%s",
			m.Name, m.ModelID, m.Endpoint.Name, r.listedElsewhere(m.ModelID))
		return
	}
	m.Price, m.PriceID = &listed, id
	r.noteTier(m)
}

// listedElsewhere says where the plan's own table has a model that it does not
// have for the endpoint.
func (r *resolver) listedElsewhere(model string) string {
	if r.own == nil {
		return ""
	}
	for _, p := range r.own.All() {
		if strings.EqualFold(p.Model, model) {
			return fmt.Sprintf(" (%s has it for provider %s: name that in prices: on the endpoint)",
				filepath.Base(r.plan.Prices), p.Provider)
		}
	}
	return ""
}

func (r *resolver) noteTier(m *ResolvedModel) {
	if tier := m.Tier(); !m.Price.Covers(tier) {
		r.note("the price of %s in the tier %q, which %s, is not known, so its cost is not "+
			"known either; "+
			"set price: with services: {%s: …} in the plan",
			m.Name, tier, m.whyTier(), tier)
	}
}

// TierFlex is the service tier that is cheaper and slower than the usual one,
// and has no room at times.
const TierFlex = "flex"

// flexFirstByte is how long the first byte of an answer in the flex tier may
// take where the plan does not say it: vendors aim at a quarter of an hour.
const flexFirstByte = 30 * time.Minute

// Tier is the service tier that the model's requests are sent in; "" is the
// usual one. Live, the answer decides what is billed.
func (m ResolvedModel) Tier() string {
	if m.Mode == ModeBatch {
		return pricing.Batch
	}
	return m.asked()
}

// asked is the service tier that the model's params ask for.
func (m ResolvedModel) asked() string {
	tier := ""
	for _, p := range m.Params {
		var word string
		if json.Unmarshal(p.Value, &word) != nil {
			continue
		}
		switch {
		case p.Name == "speed" && word == "fast":
			return word
		case p.Name == "service_tier", p.Name == "serviceTier":
			tier = word
		}
	}
	return tier
}

// whyTier says what puts the model's requests into their service tier.
func (m ResolvedModel) whyTier() string {
	if m.Mode == ModeBatch {
		return "mode: batch is billed in"
	}
	return "its params ask for"
}

// resolve turns the plan's notation into a price.
func (p *Price) resolve() pricing.Price {
	var out pricing.Price
	if p.Input != nil {
		out.Input = *p.Input
	}
	if p.Output != nil {
		out.Output = *p.Output
	}
	out.CacheRead, out.CacheWrite5m, out.CacheWrite1h = p.CacheRead, p.CacheWrite5m, p.CacheWrite1h
	out.AudioInput, out.AudioOutput = p.AudioInput, p.AudioOutput
	out.ImageInput, out.ImageOutput = p.ImageInput, p.ImageOutput
	for _, l := range p.Long {
		in, write := pricing.One, pricing.One
		if l.Input != nil {
			in = *l.Input
		}
		if l.Output != nil {
			write = *l.Output
		}
		factors := pricing.Factors{Input: in, CacheRead: in, CacheWrite: in, Output: write}
		out.Long = append(out.Long, pricing.Long{Above: l.Above, Factors: factors})
	}
	out.Services = p.services()
	out.Regions = everyClass(p.Regions)
	if p.Searches != nil {
		each := (nightshift.NanoUSD(*p.Searches) + 500) / 1000
		out.Search = &each
	}
	return out
}

func (p *Price) services() map[string]pricing.Factors {
	if p.Services == nil {
		return nil
	}
	out := map[string]pricing.Factors{}
	for name, m := range p.Services {
		out[name] = pricing.Factors(m)
	}
	return out
}

func everyClass(factors map[string]pricing.Factor) map[string]pricing.Factors {
	if factors == nil {
		return nil
	}
	out := map[string]pricing.Factors{}
	for name, f := range factors {
		out[name] = pricing.Times(f)
	}
	return out
}

func (r *resolver) resolveScorers() {
	for _, s := range r.plan.placedScorers() {
		path := s.path
		template := r.template(path+".template", s.Template)
		out := ResolvedScorer{Spec: s.spec(template), Datasets: s.datasets}
		if template != s.Template { // the checker knows the others
			if err := scorers.Check(out.Spec); err != nil {
				r.at(path+".template", "", "%v", err)
			}
		}
		out.Scorer, _ = scorers.New(out.Spec) // the checker has said what is wrong with it
		if s.isJudge() {
			out.Judge = r.resolveJudge(path, s.Scorer)
		}
		r.out.Scorers = append(r.out.Scorers, out)
	}
}

// template is the text of a judge's template.
func (r *resolver) template(path, template string) string {
	if template == "" || inline(template) {
		return template
	}
	return r.readText(path, strings.TrimPrefix(template, "file:"))
}

// resolveJudge finds the model that judges: an entry of models, or one of its
// own.
func (r *resolver) resolveJudge(path string, s Scorer) *ResolvedModel {
	m := Model{Name: s.name(), Endpoint: s.Endpoint, Model: s.Model, Stream: s.Stream}
	if s.Endpoint == "" {
		i := slices.IndexFunc(r.plan.Models, func(m Model) bool { return m.name() == s.Model })
		if i < 0 {
			return nil // the checker has said so
		}
		m = r.plan.Models[i]
		m.Name = s.name()
	}
	m.Mode = cmp.Or(s.Mode, r.plan.Judges.Mode, m.Mode)
	m.Batch = r.plan.Judges.Batch.over(m.Batch)
	if s.Request != nil {
		m.Params = s.Request
	}
	if s.Price != nil {
		m.Price = s.Price
	}
	asked := r
	if embeds(s.Type) {
		asked = r.forVectors(m.Endpoint)
		m.RowsPerRequest = max(m.RowsPerRequest, s.RowsPerRequest)
	}
	judge, ok := asked.resolveModel(path, m)
	r.problems = asked.problems
	if !ok {
		return nil
	}
	return &judge
}

// forVectors is the resolver for models at an endpoint that are asked for
// vectors: where it speaks a format of answers, it is asked in that of
// embeddings.
func (r *resolver) forVectors(endpoint string) *resolver {
	e, ok := r.plan.merge(endpoint, r.getenv)
	if !ok || e.Protocol == "" || !formats.Writes(e.Protocol) {
		return r
	}
	entry, own := r.plan.Endpoints[endpoint]
	if !own {
		entry.Preset = service(e.preset)
	}
	entry.Protocol, entry.Path = nightshift.Embeddings, ""
	p, asked := *r.plan, *r
	p.Endpoints = with(p.Endpoints, endpoint, entry)
	asked.plan = &p
	return &asked
}

// capped sees that requests have max_tokens where their format requires it.
// Rows may bring their own; where a template
// makes the prompt, they hardly do.
func (r *resolver) capped() {
	for _, m := range r.out.Models {
		format, lacks := m.LacksMaxTokens()
		if !lacks {
			continue
		}
		hint := "add params: {max_tokens: 1024}, or --max-tokens 1024"
		templated := false
		r.eachSpec(func(_ string, d *datasets.Spec) {
			templated = templated || d.Prompt != "" && d.Fields["params"] == ""
		})
		if templated {
			r.at(m.path+".params", hint, "%s speaks %s, where every request needs max_tokens",
				m.nameInPlan(), format)
			continue
		}
		r.note("%s speaks %s, where every request needs max_tokens, and only rows can bring it: %s", m.nameInPlan(),
			format, hint)
	}
}

// affordable refuses budgets that could not be kept: what a request costs at
// most must be known before it is sent.
func (r *resolver) affordable() {
	if r.out.BudgetUSD == nil && r.out.BudgetTokens == nil {
		return
	}
	for i := range r.out.Models {
		r.reservable("models", &r.out.Models[i])
	}
	for _, s := range r.out.Scorers {
		if s.Judge != nil {
			r.reservable("scorers", s.Judge)
		}
	}
}

func (r *resolver) reservable(list string, m *ResolvedModel) {
	if r.out.BudgetUSD != nil && m.Price == nil {
		r.at("budget.usd", fmt.Sprintf("add price: {input: …, output: …} to %s in %s, "+
			"name a list with prices: on its endpoint, or give the budget in tokens", m.nameInPlan(), list),
			"a budget in dollars needs the price of every model, and that of %s (%s) is not known", m.nameInPlan(), m.ModelID)
	}
	if tier := m.Tier(); r.out.BudgetUSD != nil && m.Price != nil && !m.Price.Covers(tier) {
		r.at("budget.usd", fmt.Sprintf("add services: {%s: …} to the price of %s in %s "+
			"(how many times the usual price it is), or give the budget in tokens", tier, m.nameInPlan(), list),
			"a budget in dollars needs the price of every model, "+
				"and that of %s in the tier %q, which %s, is not known", m.nameInPlan(), tier, m.whyTier())
	}
	if m.MaxOutput == 0 && formats.Writes(m.Endpoint.Protocol) {
		r.at("budget", fmt.Sprintf("add max_tokens to the params of %s, or max_output: beside them", m.nameInPlan()),
			"a budget needs the most that an answer can be, and nothing caps those of %s", m.nameInPlan())
	}
}

// environment says what the environment changed, and sees that keys are there.
func (r *resolver) environment(path string, e *merged) {
	if e.path != "" {
		path = e.path
	}
	if r.checked[e.Name] {
		return
	}
	r.checked[e.Name] = true
	if plain, _ := r.plan.merge(e.Name, nil); plain.BaseURL != e.BaseURL {
		r.variable(e)
		r.note("the environment sends the requests of %s to %s", e.Name, redact(e.BaseURL))
	}
	if e.BaseURL == "" && e.needsURL() {
		r.at(path, "add base_url: https://…", "endpoint %s has no base URL of its own", e.Name)
	}
	r.keys(path, e)
}

// variable checks a base URL that the environment gave.
func (r *resolver) variable(e *merged) {
	_, err := e.URL()
	if err == nil || e.Protocol == "" {
		return
	}
	for _, p := range providers.Presets() {
		for _, name := range p.BaseURLEnvs {
			if p.Name == service(e.preset) && strings.TrimSpace(r.getenv(name)) != "" {
				r.problems = append(r.problems, Problem{Flag: name, Message: redact(err.Error())})
				return
			}
		}
	}
	r.at("endpoints."+e.Name, "", "%s", redact(err.Error()))
}

// keys sees that every key is there, without keeping any.
func (r *resolver) keys(path string, e *merged) {
	r.key(path+".auth", e.Auth)
	for i, route := range e.Routes {
		if route.Auth != nil {
			r.key(fmt.Sprintf("%s.routes[%d].auth", path, i), *route.Auth)
		}
	}
}

func (r *resolver) key(path string, a providers.Auth) {
	before := len(r.problems)
	switch {
	case a.Scheme == "none" || a.Scheme == "":
	case a.Command != "":
		program, _, _ := strings.Cut(a.Command, "\x00")
		if _, err := exec.LookPath(program); err != nil {
			r.at(path+".command", "", "the program that prints the key cannot be run: %v", err)
		}
	case a.File != "":
		if _, err := secrets.FromFile(a.File); err != nil {
			r.at(path, "", "%v", err)
		}
	case a.Env != "" && strings.TrimSpace(r.getenv(a.Env)) == "":
		r.at(path, fmt.Sprintf("export %s=…, or put the key into a file of mode 0600 and name that in auth: {file: …}",
			a.Env), "%s is not set", a.Env)
	}
	for i := before; i < len(r.problems); i++ {
		r.problems[i].Key = true
	}
}
