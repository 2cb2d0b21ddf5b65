package compare

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/reports/stats"
)

// A gateResult says whether one condition was met, and on what figures.
type gateResult struct {
	Gate   string `json:"gate"`
	Passed bool   `json:"passed"`
	// CannotTell says that it was neither met nor missed: what is missing
	// could decide it, or there is nothing to judge.
	CannotTell bool   `json:"cannot_tell,omitempty"`
	Detail     string `json:"detail"`
}

// level is the result as the level of a finding.
func (r gateResult) level() string {
	switch {
	case r.Passed:
		return "good"
	case r.CannotTell:
		return "unsure"
	}
	return "bad"
}

// Word is the result in a word.
func (r gateResult) Word() string {
	switch {
	case r.Passed:
		return "passed"
	case r.CannotTell:
		return "CANNOT TELL"
	}
	return "MISSED"
}

// An outcome is what becomes of a gate; of several, the last of them counts.
type outcome int

const (
	met outcome = iota
	cannotTell
	notMet
)

func outcomeOf(holds bool) outcome {
	if holds {
		return met
	}
	return notMet
}

// agreed is what all readings of the data say; what is missing decides where
// they do not agree.
func agreed(readings []bool) outcome {
	for _, holds := range readings {
		if holds != readings[0] {
			return cannotTell
		}
	}
	return outcomeOf(readings[0])
}

// defaultMaxErrors is the share of rows without an answer above which a run
// proves nothing.
const defaultMaxErrors = 0.01

// A gate is one condition: a figure, of which model, and its limit.
type gate struct {
	text  string
	name  string
	args  []string
	op    string
	value float64
	unit  string
}

var gateText = pattern.Late(
	`^\s*([a-z_][a-z0-9_]*)\s*(?:\(([^()]*)\))?\s*(?::\s*([0-9.]+%?))?\s*(?:(<=|>=|<|>|==|` +
		`!=)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(%|ms|s|m|h)?)?\s*$`)

// What a gate may rest on.
const (
	aScorer = "a scorer"
	aJudge  = "a pairwise judge"
)

// A gateKind is what is known of a gate by its name.
type gateKind struct {
	needs    string // what its figure rests on; empty for the run itself
	decision bool   // it rests on a comparison with the baseline, and has no limit
	share    bool   // its figure lies in 0..1
	end      bool   // an end of an interval is tested, which is never 0 or 1 itself
}

// gateKinds are all gates. docs/evaluation.md describes them.
var gateKinds = map[string]gateKind{
	"score":            {needs: aScorer, share: true, end: true},
	"min":              {needs: aScorer, share: true, end: true}, // the same as score
	"point":            {needs: aScorer, share: true},
	"min_point":        {needs: aScorer, share: true}, // the same as point
	"error_rate":       {share: true},
	"truncated_rate":   {share: true},
	"refused_rate":     {share: true},
	"no_answer_rate":   {needs: aScorer, share: true},
	"unscored_rate":    {needs: aScorer, share: true},
	"missing_rate":     {needs: aScorer, share: true},
	"cost":             {},
	"cost_per_1000":    {},
	"cost_per_correct": {needs: aScorer},
	"latency_p50":      {},
	"latency_p90":      {},
	"latency_p95":      {},
	"latency_p99":      {},
	"regressions":      {needs: aScorer},
	"win_rate":         {needs: aJudge, share: true, end: true},
	"point_win_rate":   {needs: aJudge, share: true},
	"no_regression":    {needs: aScorer, decision: true},
	"regression":       {needs: aScorer, decision: true}, // the same as no_regression
	"noninferior":      {needs: aScorer, decision: true},
	"better":           {needs: aScorer, decision: true},
}

// CheckGates reports all that is wrong with the form of conditions, before
// anything is spent on a run that is to meet them: conditions that are none,
// and those that could never be missed or never be met.
func CheckGates(texts []string) error {
	var problems []error
	for _, text := range texts {
		if _, err := parseGate(text); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// CheckGatesOf is CheckGates, and resolves the names in the conditions: each
// has to be one of the models, or one of the scorers by name. Gates on win
// rates need a pairwise judge, gates on scores another scorer, which types
// tells by the scorer's name.
func CheckGatesOf(texts, models []string, types map[string]string) error {
	var problems []error
	for _, text := range texts {
		g, err := parseGate(text)
		if err == nil {
			err = g.resolve(models, types)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (g gate) resolve(models []string, types map[string]string) error {
	_, args, _ := g.margin()
	named := ""
	for _, arg := range args {
		_, scorer := types[arg]
		switch {
		case slices.Contains(models, arg):
		case scorer:
			named = arg
		default:
			return fmt.Errorf("gate %q: %q is neither a model nor a scorer; there are %s", g.text, arg,
				join(append(slices.Clone(models), slices.Sorted(maps.Keys(types))...), ", "))
		}
	}
	need := gateKinds[g.name].needs
	if need == "" && slices.ContainsFunc(args, func(arg string) bool { return types[arg] == ADataset }) {
		return fmt.Errorf("gate %q: %s is a figure of the whole run, not of one dataset", g.text, g.name)
	}
	fits := func(scorer string) bool { return (types[scorer] == Pairwise) == (need == aJudge) }
	switch {
	case need == "":
		return nil
	case named != "" && !fits(named):
		return fmt.Errorf("gate %q: it needs %s, which %s is not", g.text, need, named)
	case named == "" && !slices.ContainsFunc(slices.Collect(maps.Keys(types)), fits):
		return fmt.Errorf("gate %q: it needs %s, and there is none", g.text, need)
	}
	return nil
}

func parseGate(text string) (gate, error) {
	m := gateText().FindStringSubmatch(text)
	if m == nil {
		return gate{}, fmt.Errorf("gate %q is no condition; write error_rate < 1%%, score(MODEL) >= 0.9, "+
			"no_regression(MODEL) or noninferior(MODEL, 0.02)", text)
	}
	g := gate{text: strings.TrimSpace(text), name: m[1], op: m[4], unit: m[6]}
	for arg := range strings.SplitSeq(m[2], ",") {
		if arg = strings.Trim(strings.TrimSpace(arg), `"'`); arg != "" {
			g.args = append(g.args, arg)
		}
	}
	if m[3] != "" {
		g.args = append(g.args, m[3])
	}
	if m[5] != "" {
		v, err := strconv.ParseFloat(m[5], 64)
		if err != nil {
			return gate{}, fmt.Errorf("gate %q: %s is no number", text, m[5])
		}
		g.value = v
		if g.unit == "%" {
			g.value /= 100
		}
	}
	return g, g.check()
}

func (g gate) check() error {
	kind, known := gateKinds[g.name]
	switch {
	case !known:
		names := slices.Sorted(maps.Keys(gateKinds))
		hint := "there are " + join(names, ", ")
		if near := words.Near(g.name, names); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fmt.Errorf("gate %q: there is no figure called %s; %s", g.text, g.name, hint)
	case !kind.decision && g.op == "":
		return fmt.Errorf("gate %q: add a limit, as in %s < 1%% or %[2]s >= 0.9", g.text, g.name)
	case kind.decision && g.op != "":
		return fmt.Errorf("gate %q: %s needs no limit; write %[2]s(MODEL)", g.text, g.name)
	case g.name == "noninferior":
		margin, _, ok := g.margin()
		if !ok {
			return fmt.Errorf("gate %q: name the margin, as in noninferior(MODEL, 0.02)", g.text)
		}
		if margin >= 1 {
			return fmt.Errorf("gate %q: a margin of 1 or more could never be missed; write %v%% where %[2]v "+
				"points are meant", g.text, margin)
		}
	case !kind.decision:
		return g.alive()
	}
	return nil
}

// alive refuses conditions that could never be missed or never be met, and
// units that do not fit the figure.
func (g gate) alive() error {
	end, share := gateKinds[g.name].end, gateKinds[g.name].share
	timed := strings.HasPrefix(g.name, "latency_")
	switch {
	case g.unit == "%" && !share:
		return fmt.Errorf("gate %q: %s is no share; leave the %% out", g.text, g.name)
	case g.unit != "" && g.unit != "%" && !timed:
		return fmt.Errorf("gate %q: %s is no time; leave the %s out", g.text, g.name, g.unit)
	}
	v, most := g.value, math.Inf(1)
	if share {
		most = 1
	}
	above, below := v > most, v < 0
	if end { // the end of an interval is never 0 or 1
		above, below = above || v == 1 && g.op == ">=", below || v == 0 && g.op == "<="
	}
	never := ""
	switch g.op {
	case "<":
		never = either(v > most || share && v == 1 && g.unit != "%", v <= 0)
	case "<=":
		never = either(v >= most, below)
	case ">":
		never = either(v < 0, v >= most)
	case ">=":
		never = either(v <= 0, above)
	case "==":
		never = either(false, v > most || v < 0)
	case "!=":
		never = either(v > most || v < 0, false)
	}
	if never == "" {
		return nil
	}
	return fmt.Errorf("gate %q could never be %s: %s", g.text, never, g.advice(share, end))
}

func either(alwaysMet, neverMet bool) string {
	switch {
	case alwaysMet:
		return "missed"
	case neverMet:
		return "met"
	}
	return ""
}

func (g gate) advice(share, end bool) string {
	switch {
	case share && g.unit == "" && g.value >= 1 && (g.value > 1 || g.op[0] == '<'):
		return sprintf("%s lies in 0..1; write %s %s %v%% for a share in percent", g.name, g.name, g.op, g.value)
	case share && end:
		point := "point"
		if g.name == "win_rate" {
			point = "point_win_rate"
		}
		return sprintf("%s tests an end of an interval in 0..1, which is never 0 or 1 itself; %s tests the mean",
			g.name, point)
	case share:
		return sprintf("%s lies in 0..1", g.name)
	}
	return sprintf("%s is 0 or more", g.name)
}

// margin takes the margin out of the arguments.
func (g gate) margin() (margin float64, rest []string, ok bool) {
	for i, arg := range g.args {
		number, percentage := strings.CutSuffix(arg, "%")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			continue
		}
		if percentage {
			v /= 100
		}
		return v, slices.Delete(slices.Clone(g.args), i, i+1), v > 0
	}
	return 0, g.args, false
}

// gates are those asked for, else those of the run's plan. Plans of several
// runs may want different things.
func (m *matrix) gates() []string {
	if m.options.Gates != nil || len(m.options.Runs) > 1 {
		return m.options.Gates
	}
	return m.runs[0].evaluation.Gates
}

// gate judges all conditions. A run with too many failures, or that is not
// complete, proves nothing: no gate is then worth passing.
func (c *Comparison) gate(texts []string, maxErrors float64) {
	if len(texts) == 0 {
		return
	}
	ownLimit := false
	for _, text := range texts {
		g, err := parseGate(text)
		ownLimit = ownLimit || g.name == "error_rate"
		r := gateResult{Gate: text}
		var o outcome
		if err == nil {
			o, r.Detail, err = c.judge(g)
		}
		if err != nil { // a condition that is none was neither met nor missed
			o, r.Detail = cannotTell, err.Error()
		}
		r.Passed, r.CannotTell = o == met, o == cannotTell
		c.Gates = append(c.Gates, r)
	}
	c.invalid(maxErrors, ownLimit || c.ErrorsAsZero)
}

// invalid says why the run proves nothing. errorsCount says that failed rows
// are accounted for: as wrong answers, or by a gate of their own.
func (c *Comparison) invalid(maxErrors float64, errorsCount bool) {
	if maxErrors == 0 {
		maxErrors = defaultMaxErrors
	}
	for _, m := range c.Models {
		if m.Stops.NotRun > 0 && !c.differentRuns() {
			c.Incomplete = true
			c.Invalid = sprintf("the run is incomplete: %s of %s rows of %s have not run", render.Count(m.Stops.NotRun),
				render.Count(m.Samples), m.Label)
			return
		}
		ran := m.Samples - m.Stops.NotRun
		if share := float64(m.Stops.Errors) / float64(max(ran, 1)); share > maxErrors && !errorsCount {
			c.Invalid = sprintf("%s of the rows of %s have no answer, more than the %s that may fail", asPercent(share),
				m.Label, asPercent(maxErrors))
			return
		}
	}
}

// differentRuns reports whether rows may be absent because a run never had
// them.
func (c *Comparison) differentRuns() bool { return len(c.Runs) > 1 }

// Missed reports whether some gate was missed.
func (c *Comparison) Missed() bool {
	return slices.ContainsFunc(c.Gates, func(g gateResult) bool { return !g.Passed && !g.CannotTell })
}

// CannotTell reports whether some gate was neither passed nor missed.
func (c *Comparison) CannotTell() bool {
	return slices.ContainsFunc(c.Gates, func(g gateResult) bool { return g.CannotTell })
}

// knows refuses conditions that name what the comparison does not have.
func (c *Comparison) knows(texts []string) error {
	var problems []error
	for _, text := range texts {
		g, err := parseGate(text)
		if err == nil {
			_, args, _ := g.margin()
			if _, _, err = c.gateArguments(args); err != nil {
				err = fmt.Errorf("gate %q: %w", text, err)
			}
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return incomparable("%v", err)
	}
	return nil
}

// judge decides one condition.
func (c *Comparison) judge(g gate) (o outcome, detail string, err error) {
	if gateKinds[g.name].decision {
		return c.judgeDecision(g)
	}
	labels, scorer, err := c.gateArguments(g.args)
	if err != nil {
		return cannotTell, "", fmt.Errorf("gate %q: %w", g.text, err)
	}
	if g.name == "cost" && len(labels) == len(c.Models) {
		total, what := c.Cost, "all models together cost "
		if c.JudgeCost != nil {
			total.add(c.JudgeCost.NanoUSD, c.JudgeCost.AtLeast)
			what = "all models and judges together cost "
		}
		return g.money(total), what + total.String(), nil
	}
	var parts []string
	for _, label := range labels {
		one, what := c.judgeFigure(g, label, scorer)
		o = max(o, one)
		parts = append(parts, label+" "+what)
	}
	if len(parts) == 0 {
		return cannotTell, "there is no model to judge", nil
	}
	return o, join(parts, "; "), nil
}

// money passes no upper limit where the sum is only known to be “at least”.
func (g gate) money(m money) outcome {
	return outcomeOf(g.holds(m.USD) && !(m.AtLeast && g.op[0] == '<'))
}

// gateArguments are the models and the scorer that a gate names; all models
// and the headline scorer when it names none.
func (c *Comparison) gateArguments(args []string) (labels []string, scorer string, err error) {
	dataset, inner := "", "" // a scorer of several datasets
	for _, arg := range args {
		if found := c.model(arg); found != nil {
			labels = append(labels, found...)
			continue
		}
		if c.hasDataset(arg) {
			dataset = arg
			continue
		}
		if name, _ := c.sectionResult("", arg); name != "" && !c.hasScorer(arg) {
			inner = arg
			continue
		}
		if !c.hasScorer(arg) {
			return nil, "", fmt.Errorf("%q is neither a model nor a scorer here; there are %s", arg,
				join(c.names(), ", "))
		}
		scorer = arg
	}
	if dataset+inner != "" {
		var several bool
		scorer, several = c.sectionResult(dataset, inner)
		if scorer == "" || several {
			return nil, "", fmt.Errorf("scorer %s and dataset %s do not name one result; there are %s", inner, dataset,
				join(c.names(), ", "))
		}
	}
	if len(labels) == 0 {
		for _, m := range c.Models {
			if !m.Earlier {
				labels = append(labels, m.Label)
			}
		}
	}
	return labels, scorer, nil
}

// names are those of models and scorers, for people.
func (c *Comparison) names() []string {
	var names []string
	for _, m := range c.Models {
		names = append(names, m.Label)
	}
	for _, r := range c.Scorers {
		names = append(names, r.Name)
	}
	for _, p := range c.Preferences {
		names = append(names, p.Name)
	}
	return names
}

func (c *Comparison) hasScorer(name string) bool {
	return c.result(name) != nil || slices.ContainsFunc(c.Preferences,
		func(p preference) bool { return p.Name == name })
}

// result is what a scorer says; of the headline scorer when name is empty.
func (c *Comparison) result(name string) *scorerResult {
	for i := range c.Scorers {
		if name == "" || c.Scorers[i].Name == name {
			return &c.Scorers[i]
		}
	}
	return nil
}

func (g gate) holds(v float64) bool {
	switch g.op {
	case "<":
		return v < g.value
	case "<=":
		return v <= g.value
	case ">":
		return v > g.value
	case ">=":
		return v >= g.value
	case "==":
		return v == g.value
	}
	return v != g.value
}

// judgeFigure compares one figure of one model with the limit. What is not
// known does not pass.
func (c *Comparison) judgeFigure(g gate, label, scorer string) (outcome, string) {
	i := slices.IndexFunc(c.Models, func(m comparedModel) bool { return m.Label == label })
	m := c.Models[i]
	var s modelScore
	if r := c.result(scorer); r != nil {
		if found := r.scoreOf(label); found != nil {
			s = *found
		}
	}
	switch g.name {
	case "score", "min":
		return g.shown(s)
	case "point", "min_point":
		return g.ifKnown(s.Mean, func(v float64) string { return "scores " + asScore(v) })
	case "cost":
		return g.money(m.Cost), "costs " + m.Cost.String()
	case "cost_per_1000":
		return g.ifKnown(m.Per1000, func(v float64) string { return "costs " + words.Money(v) + " for 1,000 rows" })
	case "cost_per_correct":
		return g.ifKnown(s.PerCorrectUSD,
			func(v float64) string { return "costs " + words.Money(v) + " for a right answer" })
	case "latency_p50", "latency_p90", "latency_p95", "latency_p99":
		return g.inTime(m.LatencyMS)
	case "regressions":
		return c.regressions(g, label, scorer)
	case "win_rate", "point_win_rate":
		return c.winRate(g, label, scorer)
	}
	n, of := m.share(g.name, s)
	v := float64(n) / float64(max(of, 1))
	return outcomeOf(g.holds(v)), sprintf("%s (%s of %s)", asPercent(v), render.Count(n), render.Count(of))
}

// share is what a rate counts, and of how many.
func (m comparedModel) share(name string, s modelScore) (n, of int64) {
	ran := m.Samples - m.Stops.NotRun
	switch name {
	case "error_rate":
		return m.Stops.Errors, ran
	case "truncated_rate":
		return m.Stops.Truncated, ran - m.Stops.Errors
	case "refused_rate":
		return m.Stops.Refused, ran - m.Stops.Errors
	case "no_answer_rate":
		return s.NoAnswer, s.Total
	case "unscored_rate":
		return s.Unscored, s.Total
	}
	return s.Unscored + s.Errors + s.NotRun, s.Total
}

func (g gate) ifKnown(v *float64, words func(float64) string) (outcome, string) {
	if v == nil {
		return notMet, "is unknown"
	}
	return outcomeOf(g.holds(*v)), words(*v)
}

// shown tests the end of the interval that counts against the model: what is
// claimed must be shown.
func (g gate) shown(s modelScore) (outcome, string) {
	if s.Mean == nil || s.Interval == nil {
		return notMet, "has no score with an interval"
	}
	end, name := g.end(*s.Interval)
	return outcomeOf(g.holds(end)), sprintf("scores %s, %s end of the interval %s", asScore(*s.Mean), name,
		asScore(end))
}

// end is the end of an interval that counts against the claim.
func (g gate) end(v interval) (float64, string) {
	if g.op[0] == '<' {
		return v.Upper, "upper"
	}
	return v.Lower, "lower"
}

func (g gate) inTime(p stats.Percentiles) (outcome, string) {
	v := map[string]*float64{"latency_p50": p.P50, "latency_p90": p.P90, "latency_p95": p.P95,
		"latency_p99": p.P99}[g.name]
	if v == nil {
		return notMet, "has too few answers to tell"
	}
	limit := g
	if scale, ok := map[string]float64{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[g.unit]; ok {
		limit.value *= scale
	} else {
		limit.value *= 1000 // a bare number is seconds
	}
	return outcomeOf(limit.holds(*v)), "takes " + render.Seconds(v)
}

func (c *Comparison) regressions(g gate, label, scorer string) (outcome, string) {
	for _, d := range c.deltasOf(label, scorer) {
		return outcomeOf(g.holds(float64(d.NewlyFailingCount))),
			sprintf("newly fails %d rows that %s has right", d.NewlyFailingCount, d.Against)
	}
	return outcomeOf(c.baselines[label]), "is the baseline"
}

func (c *Comparison) winRate(g gate, label, judge string) (outcome, string) {
	var found *preferredPair
	for _, p := range c.Preferences {
		if judge != "" && p.Name != judge {
			continue
		}
		for i, pair := range p.Pairs {
			if pair.Label == label && pair.WinRate != nil &&
				(found == nil || c.baselines[pair.Against] && !c.baselines[found.Against]) {
				found = &p.Pairs[i]
			}
		}
	}
	if found == nil {
		return outcomeOf(c.baselines[label]), "was not compared by a judge"
	}
	return found.gate(g)
}

func (c *Comparison) deltasOf(label, scorer string) []delta {
	r := c.result(scorer)
	if r == nil {
		return nil
	}
	var found []delta
	for _, d := range r.Deltas {
		if d.Label == label {
			found = append(found, d)
		}
	}
	return found
}

// judgeDecision judges what rests on a comparison with the baseline.
func (c *Comparison) judgeDecision(g gate) (o outcome, detail string, err error) {
	margin, args, _ := g.margin()
	labels, scorer, err := c.gateArguments(args)
	if err != nil {
		return cannotTell, "", fmt.Errorf("gate %q: %w", g.text, err)
	}
	var parts []string
	for _, label := range labels {
		for _, d := range c.deltasOf(label, scorer) {
			one, what := d.gate(g.name, margin)
			o = max(o, one)
			parts = append(parts, what)
		}
	}
	if len(parts) == 0 {
		return cannotTell, "there is nothing to compare: the model is the baseline, or stands alone", nil
	}
	return o, join(parts, "; "), nil
}

// gate judges a difference by all readings of what is missing.
func (d delta) gate(name string, margin float64) (outcome, string) {
	if len(d.readings) == 0 {
		return cannotTell, d.Label + ": " + d.Why
	}
	figures := sprintf("%s against %s: %s", d.Label, d.Against, d.brief())
	if name == "noninferior" {
		figures += d.marginText(margin)
	}
	var holds []bool
	for _, r := range d.readings {
		switch name {
		case "better":
			holds = append(holds, r.verdict == better)
		case "noninferior":
			holds = append(holds, r.lower > -margin)
		default:
			holds = append(holds, r.verdict != worse)
		}
	}
	o := agreed(holds)
	if o == cannotTell {
		figures += "; " + d.missing + ", which could decide it"
	}
	return o, figures
}

// marginText says how far a difference is from being shown to be within the
// margin.
func (d delta) marginText(margin float64) string {
	lower := d.readings[0].lower
	text := sprintf("; one-sided 95 %% lower bound %s points, margin %s", withSign(100*lower), asPoints(margin))
	if lower > -margin || d.Interval == nil || d.rule != nil {
		return text
	}
	se := (d.Interval.Upper - d.Interval.Lower) / (2 * stats.NormalQuantile(0.975))
	if need := stats.ItemsForNonInferiority(margin, se*se*float64(d.N), 0.8, 0.05); need > 0 {
		text += sprintf("; it takes about %s items to show it of equal models", render.Count(int64(need)))
	}
	return text
}
