package pricing

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/pattern"
)

// A Table is a dated list of prices, or several that are looked through one
// after the other. It is immutable and safe for concurrent use.
type Table struct {
	name   string
	date   time.Time
	prices []Price
	index  map[string][]int // provider + "\x00" + model in lower case → positions in prices; provider "" holds all
	anyone map[string]int   // model in lower case → position of the price that names no provider
	layers []layer          // the tables that this one is made of; it has no prices of its own then
}

// A layer is one of several tables.
type layer struct {
	table func() *Table
	// lists reports whether a table that has not been read lists a provider; nil
	// where the table must be asked.
	lists func(provider string) bool
}

//go:embed prices.csv
var embedded []byte

//go:embed prices-hosts.csv
var embeddedHosts []byte

//go:embed prices-openrouter.csv
var embeddedOpenRouter []byte

// Embedded returns the table that is part of the program: the prices of the
// models' makers, whose id and date it has, then those of hosts of others'
// models, then OpenRouter's, each from its own day. They are read when they
// are needed.
func Embedded() *Table { return embeddedTable() }

var embeddedTable = sync.OnceValue(func() *Table {
	makers := part("prices.csv", embedded)
	return &Table{
		name: makers.table().name, date: makers.table().date,
		layers: []layer{
			makers,
			part("prices-hosts.csv", embeddedHosts),
			part("prices-openrouter.csv", embeddedOpenRouter),
		},
	}
})

// part is one of the program's own files, whose first column is the provider.
// It is read once, and not for a provider that it does not list.
func part(name string, text []byte) layer {
	table := sync.OnceValue(func() *Table {
		t, err := Read(name, text)
		if err != nil {
			panic("the embedded price table: " + err.Error()) // a test reads it
		}
		return t
	})
	listed := sync.OnceValue(func() map[string]bool {
		names := map[string]bool{}
		for line := range bytes.Lines(text) {
			provider, _, _ := bytes.Cut(line, []byte(","))
			names[canonical(string(provider))] = true
		}
		return names
	})
	return layer{table, func(provider string) bool { return listed()[provider] }}
}

// Load reads a price table from a file: our own CSV, or the JSON of LiteLLM's
// model_prices_and_context_window.json.
func Load(path string) (*Table, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("price table: %w", err)
	}
	return Read(path, b)
}

// Read is Load of a file in memory; name is used for messages and, where the
// file does not carry an id of its own, for the table's id.
func Read(name string, b []byte) (*Table, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var t *Table
	var err error
	if trimmed := bytes.TrimLeft(b, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		t, err = readLiteLLM(name, b)
	} else {
		t, err = readCSV(name, b)
	}
	if err != nil {
		return nil, err
	}
	if t.name == "" {
		t.name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		if !t.date.IsZero() {
			t.name += "-" + t.date.Format(time.DateOnly)
		}
	}
	return t, nil
}

// build indexes the prices. Of two rows with one name the later counts.
func build(t *Table) *Table {
	t.index, t.anyone = map[string][]int{}, map[string]int{}
	for i, p := range t.prices {
		model := strings.ToLower(p.Model)
		if p.Provider == "" {
			t.anyone[model] = i
		} else {
			t.index[canonical(p.Provider)+"\x00"+model] = []int{i}
		}
		t.index["\x00"+model] = append(t.index["\x00"+model], i)
	}
	return t
}

// ID names the table in a run's files: "litellm-2026-08-01".
func (t *Table) ID() string { return t.name }

// Date is when the prices were true; zero when the file does not say.
func (t *Table) Date() time.Time { return t.date }

// Age is how old the prices are at a time; ok is false when the table has no date.
func (t *Table) Age(now time.Time) (age time.Duration, ok bool) {
	if t.date.IsZero() {
		return 0, false
	}
	return now.Sub(t.date), true
}

// Sources are the tables that t was made of, in the order in which they are
// looked through: itself, when it was made of one file.
func (t *Table) Sources() []*Table {
	if len(t.layers) == 0 {
		return []*Table{t}
	}
	var all []*Table
	for _, layer := range t.layers {
		all = append(all, layer.table().Sources()...)
	}
	return all
}

// Len is the number of prices.
func (t *Table) Len() int { return len(t.All()) }

// All returns every price, in the order of the files; what is looked through
// first comes first.
func (t *Table) All() []Price {
	var all []Price
	for _, source := range t.Sources() {
		all = append(all, source.prices...)
	}
	return all
}

// id names the price at a position, as results files record it.
func (t *Table) id(at int) string {
	p := t.prices[at]
	if p.Provider == "" {
		return t.name + "/" + p.Model
	}
	return t.name + "/" + p.Provider + "/" + p.Model
}

// aliases are other names of providers in the table: presets, LiteLLM's words.
var aliases = map[string]string{
	"together_ai": "together", "togetherai": "together", "fireworks_ai": "fireworks", "fireworks-ai": "fireworks",
	"x-ai": "xai", "mistralai": "mistral", "moonshotai": "moonshot", "azure": "azure-openai",
	"google": "gemini", "google-gemini": "gemini", "vertex": "gemini",
	"z.ai": "zhipu", "zai": "zhipu", "z-ai": "zhipu", "bigmodel": "zhipu", "zhipuai": "zhipu",
	"claude": "anthropic",
}

// Has reports whether the table has prices of the provider.
func (t *Table) Has(provider string) bool {
	provider = canonical(provider)
	if provider == "" {
		return false
	}
	inLayer := func(l layer) bool { return l.may(provider) && l.table().Has(provider) }
	return slices.ContainsFunc(t.layers, inLayer) || slices.ContainsFunc(t.prices, func(p Price) bool {
		return canonical(p.Provider) == provider
	})
}

// may reports whether the layer can have a price of a provider, by its canonical
// name.
func (l layer) may(provider string) bool {
	return provider == "" || l.lists == nil || l.lists(provider)
}

func canonical(provider string) string {
	provider = strings.ToLower(provider)
	if name, ok := aliases[provider]; ok {
		return name
	}
	return provider
}

// Lookup finds the price of a model by the name that was asked for, then by
// the name that answered, then by each without its date suffix. The id names
// the row that matched. ok is false when nothing does: the price is then
// unknown, which is not zero.
//
// A row that names no provider stands for the model at every provider that has
// no row of its own for it.
//
// With an empty provider the name must stand for the same price in every
// provider that lists it. A provider prefix of the model name
// ("anthropic/claude-sonnet-4-6", "models/gemini-2.5-pro") is only looked
// through when no provider is given: what a gateway charges for a model of
// someone else is its own affair.
func (t *Table) Lookup(provider, requested, served string) (p Price, id string, ok bool) {
	provider = canonical(provider)
	for _, layer := range t.layers {
		if !layer.may(provider) {
			continue
		}
		if p, id, ok := layer.table().Lookup(provider, requested, served); ok {
			return p, id, true
		}
	}
	for _, name := range []string{requested, served, undated(requested), undated(served)} {
		if at, ok := t.find(provider, name); ok {
			return t.prices[at], t.id(at), true
		}
	}
	return Price{}, "", false
}

// find returns the position of a price.
func (t *Table) find(provider, model string) (at int, ok bool) {
	model = strings.ToLower(model)
	if model == "" {
		return 0, false
	}
	if provider != "" {
		model = strings.TrimPrefix(model, "models/") // Gemini's resource names
		if at, ok := t.unambiguous(provider, model); ok {
			return at, true
		}
		at, ok = t.anyone[model]
		return at, ok
	}
	if at, ok := t.anyone[model]; ok {
		return at, true
	}
	if at, ok := t.unambiguous("", model); ok {
		return at, true
	}
	prefix, rest, found := strings.Cut(model, "/")
	if !found {
		return 0, false
	}
	if prefix == "models" {
		return t.unambiguous("", rest)
	}
	return t.unambiguous(canonical(prefix), rest)
}

// unambiguous finds a name that stands for one provider's model. Of two rows
// with one name the later counts.
func (t *Table) unambiguous(provider, model string) (at int, ok bool) {
	all := t.index[provider+"\x00"+model]
	if len(all) == 0 {
		return 0, false
	}
	at = all[len(all)-1]
	for _, i := range all {
		if t.prices[i].Provider != t.prices[at].Provider {
			return 0, false
		}
	}
	return at, true
}

// date suffixes as the vendors write them: -20250929, -2025-08-07, @20250929,
// -0125 stays (it names another model at another price).
var dateSuffix = pattern.Late(`[-@](20\d{6}|20\d{2}-[01]\d-[0-3]\d)$`)

// undated is the name without its date suffix, "" when it has none.
func undated(model string) string {
	if at := dateSuffix().FindStringIndex(model); at != nil {
		return model[:at[0]]
	}
	return ""
}

// Search returns the prices whose provider or model contains every word of
// the query, in any case; an empty query returns all.
func (t *Table) Search(query string) []Price {
	words := strings.Fields(strings.ToLower(query))
	var found []Price
	for _, p := range t.All() {
		name := strings.ToLower(p.Provider + "/" + p.Model)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(name, w) }) {
			found = append(found, p)
		}
	}
	return found
}

// otherAnswers are parts of the names of models that answer with something
// else than text, which lists put among those of chat.
var otherAnswers = pattern.Late(`(?i)audio|image|\btts\b|transcribe|realtime|\blive\b|video|embed|moderation`)

// Text reports whether the price is that of a model that answers with text.
func (p Price) Text() bool {
	switch p.Mode {
	case "", "chat", "responses", "completion":
		return !otherAnswers().MatchString(p.Model)
	}
	return false
}

// With returns a table in which other is looked through before t: a model that
// both list has other's price, also where other names no provider, or the model
// without its date. Ids of prices still name the table that each comes from.
func (t *Table) With(other *Table) *Table {
	return &Table{
		name: other.name + "+" + t.name, date: other.date,
		layers: []layer{{table: func() *Table { return other }}, {table: func() *Table { return t }}},
	}
}
