package reports

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nightshift/reports/stats"
)

// A GateResult says whether one condition was met, and on what figures.
type GateResult struct {
	Gate   string `json:"gate"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail"`
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

var gateText = regexp.MustCompile(`^\s*([a-z_][a-z0-9_]*)\s*(?:\(([^()]*)\))?\s*(?::\s*([0-9.]+%?))?\s*(?:(<=|>=|<|>|==|!=)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(%|ms|s|m|h)?)?\s*$`)

// figures are the gates that compare a figure of each model with a limit.
var gateFigures = map[string]string{
	"score":            "the scorer's mean: >= tests the lower end of its interval, <= the upper",
	"min":              "the same as score",
	"point":            "the scorer's mean itself, without its doubt",
	"min_point":        "the same as point",
	"error_rate":       "share of rows without an answer",
	"truncated_rate":   "share of answers that were cut off",
	"refused_rate":     "share of answers that were refusals",
	"no_answer_rate":   "share of answers in which the scorer found nothing to compare",
	"unscored_rate":    "share of answers that the scorer could not score",
	"missing_rate":     "share of rows without a score",
	"cost":             "dollars; of all models together when none is named",
	"cost_per_1000":    "dollars for a thousand rows",
	"cost_per_correct": "dollars for a right answer",
	"latency_p50":      "half of the answers came faster",
	"latency_p90":      "nine of ten answers came faster",
	"latency_p95":      "95 of 100 answers came faster",
	"latency_p99":      "99 of 100 answers came faster",
	"regressions":      "rows that the baseline has right and the model has not",
	"win_rate":         "share of pairs won by a pairwise judge's verdict, ties half",
}

// gateDecisions are the gates that rest on a comparison with the baseline.
var gateDecisions = map[string]string{
	"no_regression": "the model is not shown to be worse than the baseline",
	"regression":    "the same",
	"noninferior":   "the model is shown to be worse by less than a margin: noninferior(MODEL, 0.02)",
	"better":        "the model is shown to be better than the baseline",
}

// CheckGates reports what is wrong with conditions, before anything is spent
// on a run that is to meet them.
func CheckGates(texts []string) error {
	for _, text := range texts {
		if _, err := parseGate(text); err != nil {
			return err
		}
	}
	return nil
}

func parseGate(text string) (gate, error) {
	m := gateText.FindStringSubmatch(text)
	if m == nil {
		return gate{}, fmt.Errorf("gate %q is no condition; write error_rate < 1%%, score(MODEL) >= 0.9, no_regression(MODEL) or noninferior(MODEL, 0.02)", text)
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
	_, figure := gateFigures[g.name]
	_, decision := gateDecisions[g.name]
	switch {
	case !figure && !decision:
		return fmt.Errorf("gate %q: there is no figure called %s; there are %s", g.text, g.name, gateNames())
	case figure && g.op == "":
		return fmt.Errorf("gate %q: add a limit, as in %s < 1%% or %[2]s >= 0.9", g.text, g.name)
	case decision && g.op != "":
		return fmt.Errorf("gate %q: %s needs no limit; write %[2]s(MODEL)", g.text, g.name)
	case g.name == "noninferior":
		if _, _, ok := g.margin(); !ok {
			return fmt.Errorf("gate %q: name the margin, as in noninferior(MODEL, 0.02)", g.text)
		}
	}
	return nil
}

func gateNames() string {
	var names []string
	for _, m := range []map[string]string{gateFigures, gateDecisions} {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return join(names, ", ")
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
		r := GateResult{Gate: text}
		if err == nil {
			r.Passed, r.Detail, err = c.judge(g)
		}
		if err != nil {
			r.Passed, r.Detail = false, err.Error()
		}
		c.Gates = append(c.Gates, r)
	}
	c.invalid(maxErrors, ownLimit)
}

func (c *Comparison) invalid(maxErrors float64, ownLimit bool) {
	if maxErrors == 0 {
		maxErrors = defaultMaxErrors
	}
	for _, m := range c.Models {
		if m.Stops.NotRun > 0 && !c.differentRuns() {
			c.Incomplete = true
			c.Invalid = sprintf("the run is incomplete: %s of %s rows of %s have not run", count(m.Stops.NotRun), count(m.Samples), m.Label)
			return
		}
		ran := m.Samples - m.Stops.NotRun
		if share := float64(m.Stops.Errors) / float64(max(ran, 1)); share > maxErrors && !ownLimit {
			c.Invalid = sprintf("%s of the rows of %s have no answer, more than the %s that may fail", asPercent(share), m.Label, asPercent(maxErrors))
			return
		}
	}
}

// differentRuns reports whether rows may be absent because a run never had
// them.
func (c *Comparison) differentRuns() bool { return len(c.Runs) > 1 }

// Missed reports whether some gate was not passed.
func (c *Comparison) Missed() bool {
	return slices.ContainsFunc(c.Gates, func(g GateResult) bool { return !g.Passed })
}

// judge decides one condition.
func (c *Comparison) judge(g gate) (passed bool, detail string, err error) {
	if _, ok := gateDecisions[g.name]; ok {
		return c.judgeDecision(g)
	}
	labels, scorer, err := c.gateArguments(g.args)
	if err != nil {
		return false, "", fmt.Errorf("gate %q: %w", g.text, err)
	}
	if g.name == "cost" && len(labels) == len(c.Models) {
		ok := g.holds(c.Cost.USD) && !(c.Cost.AtLeast && g.op[0] == '<')
		return ok, "all models together cost " + c.Cost.String(), nil
	}
	var parts []string
	passed = true
	for _, label := range labels {
		ok, what := c.judgeFigure(g, label, scorer)
		passed = passed && ok
		parts = append(parts, label+" "+what)
	}
	if len(parts) == 0 {
		return false, "there is no model to judge", nil
	}
	return passed, join(parts, "; "), nil
}

// gateArguments are the models and the scorer that a gate names; all models
// and the headline scorer when it names none.
func (c *Comparison) gateArguments(args []string) (labels []string, scorer string, err error) {
	for _, arg := range args {
		if label, ok := c.model(arg); ok {
			labels = append(labels, label)
			continue
		}
		if !c.hasScorer(arg) {
			return nil, "", fmt.Errorf("%q is neither a model nor a scorer here", arg)
		}
		scorer = arg
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

func (c *Comparison) hasScorer(name string) bool {
	return c.result(name) != nil || slices.ContainsFunc(c.Preferences, func(p Preference) bool { return p.Name == name })
}

// result is what a scorer says; of the headline scorer when name is empty.
func (c *Comparison) result(name string) *ScorerResult {
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
// ifKnown does not pass.
func (c *Comparison) judgeFigure(g gate, label, scorer string) (bool, string) {
	i := slices.IndexFunc(c.Models, func(m ComparedModel) bool { return m.Label == label })
	m := c.Models[i]
	var s ModelScore
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
		return g.holds(m.Cost.USD) && !(m.Cost.AtLeast && g.op[0] == '<'), "costs " + m.Cost.String()
	case "cost_per_1000":
		return g.ifKnown(m.Per1000, func(v float64) string { return sprintf("costs $%.4g for 1,000 rows", v) })
	case "cost_per_correct":
		return g.ifKnown(s.PerCorrectUSD, func(v float64) string { return sprintf("costs $%.4g for a right answer", v) })
	case "latency_p50", "latency_p90", "latency_p95", "latency_p99":
		return g.inTime(m.LatencyMS)
	case "regressions":
		return c.regressions(g, label, scorer)
	case "win_rate":
		return c.winRate(g, label, scorer)
	}
	n, of := m.share(g.name, s)
	v := float64(n) / float64(max(of, 1))
	return g.holds(v), sprintf("%s (%s of %s)", asPercent(v), count(n), count(of))
}

// share is what a rate counts, and of how many.
func (m ComparedModel) share(name string, s ModelScore) (n, of int64) {
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

func (g gate) ifKnown(v *float64, words func(float64) string) (bool, string) {
	if v == nil {
		return false, "is unknown"
	}
	return g.holds(*v), words(*v)
}

// shown tests the end of the interval that counts against the model: what is
// claimed must be shown.
func (g gate) shown(s ModelScore) (bool, string) {
	if s.Mean == nil || s.Interval == nil {
		return false, "has no score with an interval"
	}
	end, name := s.Interval.Lower, "lower"
	if g.op[0] == '<' {
		end, name = s.Interval.Upper, "upper"
	}
	return g.holds(end), sprintf("scores %s, %s end of the interval %s", asScore(*s.Mean), name, asScore(end))
}

func (g gate) inTime(p Percentiles) (bool, string) {
	v := map[string]*float64{"latency_p50": p.P50, "latency_p90": p.P90, "latency_p95": p.P95, "latency_p99": p.P99}[g.name]
	if v == nil {
		return false, "has too few answers to tell"
	}
	limit := g
	if scale, ok := map[string]float64{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}[g.unit]; ok {
		limit.value *= scale
	} else {
		limit.value *= 1000 // a bare number is seconds
	}
	return limit.holds(*v), "takes " + seconds(v)
}

func (c *Comparison) regressions(g gate, label, scorer string) (bool, string) {
	for _, d := range c.deltasOf(label, scorer) {
		return g.holds(float64(d.NewlyFailingCount)), sprintf("newly fails %d rows that %s has right", d.NewlyFailingCount, d.Against)
	}
	return label == c.Baseline, "is the baseline"
}

func (c *Comparison) winRate(g gate, label, judge string) (bool, string) {
	var found *PreferredPair
	for _, p := range c.Preferences {
		if judge != "" && p.Name != judge {
			continue
		}
		for i, pair := range p.Pairs {
			if pair.Label == label && pair.WinRate != nil && (found == nil || pair.Against == c.Baseline && found.Against != c.Baseline) {
				found = &p.Pairs[i]
			}
		}
	}
	if found != nil {
		return g.holds(*found.WinRate), sprintf("wins %s against %s", asPercent(*found.WinRate), found.Against)
	}
	return label == c.Baseline, "was not compared by a judge"
}

func (c *Comparison) deltasOf(label, scorer string) []Delta {
	r := c.result(scorer)
	if r == nil {
		return nil
	}
	var found []Delta
	for _, d := range r.Deltas {
		if d.Label == label {
			found = append(found, d)
		}
	}
	return found
}

// judgeDecision judges what rests on a comparison with the baseline.
func (c *Comparison) judgeDecision(g gate) (bool, string, error) {
	margin, args, _ := g.margin()
	labels, scorer, err := c.gateArguments(args)
	if err != nil {
		return false, "", fmt.Errorf("gate %q: %w", g.text, err)
	}
	passed := true
	var parts []string
	for _, label := range labels {
		for _, d := range c.deltasOf(label, scorer) {
			ok, what := d.gate(g.name, margin)
			passed = passed && ok
			parts = append(parts, what)
		}
	}
	if len(parts) == 0 {
		return false, "there is nothing to compare: the model is the baseline, or stands alone", nil
	}
	return passed, join(parts, "; "), nil
}

func (d Delta) gate(name string, margin float64) (bool, string) {
	if d.Verdict == Withheld {
		return false, d.Label + ": " + d.Why
	}
	figures := sprintf("%s against %s: %s", d.Label, d.Against, d.brief())
	switch name {
	case "better":
		return d.Verdict == Better, figures
	case "noninferior":
		lower, ok := stats.NonInferior(d.paired.Delta, d.paired.SE, d.degrees(), margin, 0.05)
		need := stats.ItemsForNonInferiority(margin, d.paired.SE*d.paired.SE*float64(d.N), 0.8, 0.05)
		what := sprintf("%s; one-sided 95 %% lower bound %s points, margin %s", figures, withSign(100*lower), asPoints(margin))
		if !ok && need > 0 {
			what += sprintf("; it takes about %s items to show it of equal models", count(int64(need)))
		}
		return ok, what
	}
	return d.Verdict != Worse, figures
}

// degrees of freedom of the one-sided bound.
func (d Delta) degrees() float64 {
	if d.paired.Clusters > 0 {
		return float64(d.paired.Clusters - 1)
	}
	return float64(d.N - 1)
}
