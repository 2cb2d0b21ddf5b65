package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"nightshift/internal/words"
	"nightshift/providers/formats"
)

// A checker finds what is wrong with a plan by itself, without environment,
// files or network.
type checker struct {
	report
	plan *Plan
}

func (c *checker) all() {
	p := c.plan
	if p.Version != 0 && p.Version != 1 {
		c.at("version", "this program reads version 1", "unknown plan version %d", p.Version)
	}
	c.name("name", p.Name)
	c.datasets()
	c.atLeast("epochs", int64(p.Epochs), 0)
	c.models()
	c.variants()
	for _, name := range slices.Sorted(maps.Keys(p.Endpoints)) {
		c.endpoint(name, p.Endpoints[name])
	}
	c.batch("batch", p.Batch)
	c.mode("judges.mode", p.Judges.Mode)
	c.batch("judges.batch", p.Judges.Batch)
	c.budget()
	c.atLeast("retry.attempts", int64(p.Retry.Attempts), 0)
	c.scorers()
	c.compare()
	c.gates()
	c.oneOf("raw", p.Raw, "all", "errors", "none")
	c.oneOf("on_unknown", p.OnUnknown, "resend", "skip")
	c.oneOf("durability", p.Durability, "normal", "strict")
	c.deadline()
	c.notify()
}

// oneOf checks a word; empty is the default.
func (c *checker) oneOf(path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.at(path, suggest(value, allowed), "unknown %s %q", label(path), redact(words.Shorten(value, 40)))
	}
}

func (c *checker) atLeast(path string, n, least int64) {
	if n < least {
		c.at(path, "", "%s is %d; it must be at least %d", path, n, max(least, 1))
	}
}

// name checks what becomes a column value, a file name or part of a gate.
func (c *checker) name(path, name string) {
	switch {
	case strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		c.at(path, "", "a name has no control characters")
	case utf8.RuneCountInString(name) > 200:
		c.at(path, "", "a name has at most 200 characters")
	case strings.TrimSpace(name) != name:
		c.at(path, "", "a name does not begin or end with a space")
	}
}

// dataset checks one dataset at a path of the plan.
func (c *checker) dataset(path string, d Dataset) {
	if len(d.Path) == 0 {
		hint := "add path: FILE"
		if path == "dataset" {
			hint = "add dataset: {path: FILE}, or --dataset FILE"
		}
		c.at(path+".path", hint, "no dataset is named")
	}
	for i, file := range d.Path {
		if file == "" {
			c.at(fmt.Sprintf("%s.path[%d]", path, i), "", "a path is empty")
		}
	}
	if slices.Contains(d.Path, "-") && len(d.Path) > 1 {
		c.at(path+".path", "", "standard input (-) cannot be one of several files")
	}
	c.atLeast(path+".limit", d.Limit, 0)
	c.atLeast(path+".offset", d.Offset, 0)
	c.atLeast(path+".sample", d.Sample, 0)
	c.oneOf(path+".on_bad_row", d.OnBadRow, "refuse", "record")
	c.atLeast(path+".max_line", d.MaxLine, 0)
}

func (c *checker) models() {
	if len(c.plan.Models) == 0 {
		c.at("models", "add models: [{endpoint: …, model: …}], or --model ENDPOINT/MODEL-ID", "no model is named")
	}
	seen := map[string]int{}
	for i, m := range c.plan.Models {
		path := fmt.Sprintf("models[%d]", i)
		c.model(path, m)
		if m.name() == "" {
			continue
		}
		if first, twice := seen[m.name()]; twice {
			c.at(path+".name", "give each a name of its own", "models[%d] and models[%d] are both called %s", first, i,
				m.name())
			continue
		}
		seen[m.name()] = i
	}
}

// name is the model's name in every output.
func (m Model) name() string {
	if m.Name != "" {
		return m.Name
	}
	return m.Model
}

func (c *checker) model(path string, m Model) {
	c.name(path+".name", m.Name)
	c.reference(path, m.Endpoint)
	if m.Model == "" {
		c.at(path+".model", "add model: MODEL-ID", "%s does not say which model", path)
	}
	c.atLeast(path+".max_output", m.MaxOutput, 0)
	c.rowsPerRequest(path+".rows_per_request", m)
	c.mode(path+".mode", m.Mode)
	c.oneOf(path+".cache", m.Cache, cacheWords...)
	c.batch(path+".batch", m.Batch)
	c.params(path+".params", m.Params)
	c.price(path+".price", m.Price)
}

// rowsPerRequest sees that only requests for vectors hold several rows.
func (c *checker) rowsPerRequest(path string, m Model) {
	c.textsPerRequest(path, m.RowsPerRequest)
	e, found := c.plan.merge(m.Endpoint, nil)
	if m.RowsPerRequest > 1 && found && e.Protocol != "" && formats.Writes(e.Protocol) {
		c.at(path, "leave it out, or give the endpoint protocol: embeddings",
			"several rows in a request are for embeddings, and %s speaks %s", m.Endpoint, e.Protocol)
	}
}

// textsPerRequest checks how many texts go into one request.
func (c *checker) textsPerRequest(path string, n int64) {
	const most = 2048
	c.atLeast(path, n, 0)
	if n > most {
		c.at(path, "", "a request holds at most %d texts", most)
	}
}

// reference checks the name of an endpoint.
func (c *checker) reference(path, endpoint string) {
	if endpoint == "" {
		c.at(path+".endpoint", "add endpoint: "+strings.Join(firstFew(c.plan.endpointNames()), ", "),
			"%s does not say which endpoint", path)
		return
	}
	m, ok := c.plan.merge(endpoint, nil)
	if !ok {
		hint := suggest(endpoint, c.plan.endpointNames())
		if hint == "" {
			hint = "`nightshift presets` lists the known ones; others are described under endpoints:"
		}
		c.at(path+".endpoint", hint, "unknown endpoint %q", redact(words.Shorten(endpoint, 60)))
		return
	}
	if m.path == "" {
		c.place(path+".endpoint", m, true)
	}
}

func firstFew(names []string) []string {
	if len(names) > 4 {
		return append(slices.Clone(names[:4]), "…")
	}
	return names
}

// params refuses the fields that the plan sets elsewhere.
func (c *checker) params(path string, params Params) {
	for _, p := range params {
		switch {
		case p.Name == "model", p.Name == "messages":
			c.at(path+"."+p.Name, "", "%s is set for every request; it is not a parameter", p.Name)
		case p.Name == "stream":
			c.at(path+".stream", "write stream: true beside params", "stream is not a parameter")
		case slices.Contains(formats.CapNames(), p.Name):
			for _, value := range c.values(path+"."+p.Name, p) {
				if n, ok := wholeNumber(value); !ok || n < 1 {
					c.at(path+"."+p.Name, "", "%s must be a whole number above zero; this is %s", p.Name,
						words.Shorten(string(value), 40))
				}
			}
		default:
			c.values(path+"."+p.Name, p)
		}
	}
}

func wholeNumber(b json.RawMessage) (n int64, ok bool) {
	err := json.Unmarshal(b, &n)
	return n, err == nil && string(b) != "null"
}

func (c *checker) price(path string, p *Price) {
	if p == nil {
		return
	}
	if p.Input == nil || p.Output == nil {
		c.at(path, "write price: {input: 3, output: 15}, in dollars per million tokens",
			"a price needs both input and output")
	}
	for i, l := range p.Long {
		if l.Above < 1 {
			c.at(fmt.Sprintf("%s.long[%d]", path, i), "add above: 200000",
				"a long-prompt price needs its threshold in tokens")
		}
	}
}

func (c *checker) budget() {
	b := c.plan.Budget
	if b.USD != nil && *b.USD <= 0 {
		c.at("budget.usd", "leave it out for no limit", "a budget must be above zero")
	}
	if b.Tokens != nil && *b.Tokens <= 0 {
		c.at("budget.tokens", "leave it out for no limit", "a budget must be above zero")
	}
}

func (c *checker) compare() {
	c.along()
	c.oneOf("compare.average", c.plan.Compare.Average, AverageDatasets, AverageRows)
	if c.plan.Compare.Average != "" && c.plan.Datasets == nil {
		c.at("compare.average", "leave it out", "there is one dataset, and nothing to average over")
	}
	if a := c.plan.Compare.Alpha; a < 0 || a >= 1 {
		c.at("compare.alpha", "0.05 is usual", "alpha must lie between 0 and 1; this is %v", a)
	}
	c.stopping()
}

func (c *checker) modelNames() []string {
	names := make([]string, len(c.plan.Models))
	for i, m := range c.plan.Models {
		names[i] = m.name()
	}
	return names
}
