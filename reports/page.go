package reports

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"nightshift/reports/compare"
	"nightshift/reports/render"
)

//go:embed assets
var assets embed.FS

// DefaultMaxSize is how large report.html may become when nothing else is
// said, in bytes.
const DefaultMaxSize = 5_000_000

// A Page is a report for a browser: a summary and the rows that go with it.
type Page struct {
	*Summary
	Items   []*Item
	MaxSize int       // bytes; 0 means DefaultMaxSize
	Made    time.Time // when; zero leaves it out
	plan    planShown
	// Kept and Left are how many rows HTML took in and left out.
	Kept, Left int64
}

// BuildPage reads a run directory: its summary, and the rows that a person
// wants to see, which failed, were cut, cost most, and an even sample of the
// rest. add, when not nil, may add to the summary before rows are chosen.
func BuildPage(dir string, add func(*Summary) error) (*Page, error) {
	p := newPicker()
	s, info, err := summarize(dir, p.add)
	if err != nil {
		return nil, err
	}
	if add != nil {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	var different []compare.ItemKey
	if s.Comparison != nil {
		different = s.Comparison.Different
	}
	keys, units := inUnits(p.chosen(different), info.Chunks)
	page := &Page{Summary: s, Made: time.Now(), plan: showPlan(info)}
	if page.Items, err = readItems(dir, keys, units); err != nil {
		return nil, err
	}
	return page, nil
}

// pageData is what the template sees.
type pageData struct {
	*Summary
	Policy     string
	Headline   string
	Banner     []render.Finding
	Warnings   []string
	Glance     render.Grid // what a manager wants to know, a line for each model
	Grids      []render.Grid
	Plan       planShown
	Charts     []render.Chart
	LeftOut    string
	Facts      [][2]string
	Commands   []string
	QueryLines []string
	Data       struct {
		Models namesJSON `json:"models"`
		Items  []int     `json:"items"` // none: they are put in afterwards
	}
	Made string
}

// itemsPlace is where the rows go in a page that was made without them. Texts
// that are not the page's own have no bare quotes.
const itemsPlace = `"items":[]`

// HTML writes the page as one file that needs no other. Rows are added, in
// their order, as long as they fit.
func (p *Page) HTML(w io.Writer) error {
	t, err := reportPage()
	if err != nil {
		return err
	}
	d := p.data()
	d.Policy = t.Policy
	var empty bytes.Buffer
	if err := t.Execute(&empty, d); err != nil {
		return err
	}
	most := p.MaxSize
	if most <= 0 {
		most = DefaultMaxSize
	}
	items := p.fitting(most - empty.Len() - 500)
	p.Kept = int64(len(items))
	p.Left = max(p.onRecord()-p.Kept, 0)
	d.LeftOut = p.leftOut()
	empty.Reset()
	if err := t.Execute(&empty, d); err != nil {
		return err
	}
	return withItems(w, empty.Bytes(), items)
}

// withItems writes a page that was made without rows, and them in their place:
// the template would make several copies of them all.
func withItems(w io.Writer, page []byte, items []json.RawMessage) error {
	before, after, there := bytes.Cut(page, []byte(itemsPlace))
	if !there {
		return errors.New("the page has no place for rows")
	}
	out := bufio.NewWriter(w) // keeps the first error
	_, _ = out.Write(before)
	_, _ = out.WriteString(strings.TrimSuffix(itemsPlace, "]"))
	for i, item := range items {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		_, _ = out.Write(item)
	}
	_ = out.WriteByte(']')
	_, _ = out.Write(after)
	return out.Flush()
}

// itemJSON is an item in which characters that cannot be seen are written as
// escapes, so that the page's source hides nothing either.
func itemJSON(i *Item) (json.RawMessage, error) {
	b, err := json.Marshal(i) // escapes <, > and & as the page does
	return render.VisibleJSON(b), err
}

// namesJSON does the same for names.
type namesJSON []string

func (names namesJSON) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal([]string(names))
	return render.VisibleJSON(b), err
}

// longestText is what texts are cut to in the page; longer ones only where
// there is room.
const longestText = 12_000

// fitting returns the items that fit into so many bytes, in dataset order.
func (p *Page) fitting(room int) []json.RawMessage {
	var items []*Item
	texts := map[*Item]json.RawMessage{}
	for _, i := range p.Items {
		c := *i
		c.Answers = append([]Answer(nil), i.Answers...)
		for j := range c.Answers {
			c.Answers[j].Scores = append([]itemScore(nil), c.Answers[j].Scores...)
		}
		c.Shorten(longestText)
		b, err := itemJSON(&c)
		if err != nil {
			continue
		}
		if room -= len(b) + 1; room < 0 {
			break
		}
		items, texts[&c] = append(items, &c), b
	}
	sortItems(items)
	list := make([]json.RawMessage, len(items))
	for n, i := range items {
		list[n] = texts[i]
	}
	return list
}

func (p *Page) data() *pageData {
	d := &pageData{Summary: p.Summary, Headline: strings.TrimPrefix(p.headline(), p.Name+": "),
		Banner: p.banner(), Warnings: p.allWarnings(),
		Glance: p.glance(), Grids: p.grids(), Charts: p.charts(), QueryLines: strings.Split(p.query(), "\n"),
		Plan: p.plan, Commands: p.commands()}
	d.Data.Items = []int{}
	d.Facts = p.facts()
	for _, m := range p.Models {
		d.Data.Models = append(d.Data.Models, m.Model)
	}
	d.LeftOut = p.leftOut()
	if !p.Made.IsZero() {
		d.Made = p.Made.UTC().Format("2006-01-02 15:04 UTC")
	}
	return d
}

// banner is the comparison's verdict, then what became of the run.
func (p *Page) banner() []render.Finding {
	var banner []render.Finding
	for _, f := range foldUnsure(p.findings()) {
		banner = append(banner, inBrief(f))
	}
	var rows, answered, expected int64
	for _, m := range p.Models {
		rows, answered, expected = rows+m.Rows, answered+m.Answered(), expected+m.Expected
	}
	state := render.Finding{Level: "plain", Title: "answers",
		Text: render.Count(answered) + " of " + render.Count(expected), Detail: p.State}
	switch {
	case answered == expected && expected > 0:
		state.Level = "good"
	case rows-answered > 0:
		state.Level = "bad"
		state.Detail += ", " + render.Count(rows-answered) + " without an answer"
	}
	cost := render.Finding{Level: "plain", Title: "cost", Text: p.Total.money()}
	if p.Total.AtLeast() {
		cost.Level = "unsure"
		if p.Total.AtMostNanoUSD != nil {
			cost.Detail = "at most " + mostMoney(p.Total)
		}
	}
	tokens := render.Finding{Level: "plain", Title: "tokens",
		Text:   render.Count(p.Total.Input + p.Total.CacheRead + p.Total.CacheWrite + p.Total.Output),
		Detail: render.Count(p.Total.Output) + " of them output"}
	banner = append(banner, state, cost, tokens)
	if took := p.took(); took > 0 {
		banner = append(
			banner, render.Finding{Level: "plain", Title: "time", Text: took.String(),
				Detail: render.Count(int64(float64(answered)/took.Hours())) + " answers an hour"})
	}
	return banner
}

// shownUnsure is how many comparisons without a shown difference the strip has each on
// its own where there are more than one besides.
const shownUnsure = 6

// foldUnsure puts the comparisons that show no difference, and are not among the
// first, into one finding. Its tables have the figures of all.
func foldUnsure(findings []render.Finding) (kept []render.Finding) {
	unsure := func(f render.Finding) bool { return f.Level == "unsure" && f.Title != "Gate" }
	var names []string
	at, n := 0, 0
	for _, f := range findings {
		if unsure(f) {
			if n++; n > shownUnsure {
				names = append(names, f.Title)
				continue
			}
			at = len(kept) + 1
		}
		kept = append(kept, f)
	}
	if len(names) < 2 {
		return findings
	}
	return slices.Insert(kept, at, render.Finding{Level: "unsure", Title: sprintf("%d other comparisons", len(names)),
		Text: "no difference shown", Detail: strings.Join(names, ", ")})
}

// longestVerdict is how many characters a verdict of the strip may have.
const longestVerdict = 60

// shownOfGate is of how many models the strip says why a gate was passed.
const shownOfGate = 3

// inBrief moves the reason of a long verdict to the details, and has the reasons of a
// gate that was passed for the first models alone.
func inBrief(f render.Finding) render.Finding {
	if parts := strings.Split(f.Detail, "; "); f.Title == "Gate" && f.Level == "good" && len(parts) > shownOfGate {
		f.Detail = strings.Join(parts[:shownOfGate], "; ") + sprintf("; and %d more", len(parts)-shownOfGate)
	}
	at := strings.IndexAny(f.Text, ":(")
	if utf8.RuneCountInString(f.Text) <= longestVerdict || at < 1 || f.Title == "Gate" {
		return f
	}
	f.Detail = strings.TrimSpace(strings.TrimLeft(f.Text[at:], ":")) + "; " + f.Detail
	f.Text = strings.TrimSpace(f.Text[:at])
	return f
}

// onRecord is how many rows, each epoch by itself, have run: those of the model that
// came furthest.
func (p *Page) onRecord() (rows int64) {
	for _, m := range p.Models {
		rows = max(rows, m.Rows)
	}
	return rows
}

func (p *Page) leftOut() string {
	rest := ""
	if n := p.Dataset.Rows*int64(max(p.Epochs, 1)) - p.Kept - p.Left; n > 0 {
		rest = " Not run: " + render.Counted(n, "row") + "."
	}
	if p.Left == 0 {
		return "All rows on record are in this page (" + render.Count(p.Kept) + ")." + rest
	}
	return sprintf(
		"This page holds %s of %s rows: those that failed, were cut off, refused or retried, the most expensive, "+
			"and an even sample of the rest. "+
			"Figures and charts are of all rows. nightshift view shows every row; the query at the end has them all.",
		render.Count(p.Kept), render.Count(p.Kept+p.Left)) + rest
}

func (p *Page) facts() [][2]string {
	facts := [][2]string{
		{"run", p.Name + " (" + p.RunID + ")"}, {"directory", p.Dir}, {"program", p.Tool},
		{"dataset", render.Count(p.Dataset.Rows) + " rows, " + p.Dataset.Hash}, {"plan", p.PlanHash}, {"prices", p.PriceDate},
	}
	for _, m := range p.Models {
		served := render.Tally(m.Served)
		if served == "" {
			served = "no model yet"
		}
		facts = append(facts, [2]string{m.Model, m.RequestedModel + " at " + m.Endpoint + ", answered by " + served})
	}
	if p.Started != nil {
		facts = append(facts, [2]string{"first request", p.Started.UTC().Format(time.RFC3339)})
	}
	return facts
}

// query is the DuckDB statement that has every row.
func (p *Page) query() string {
	results := filepath.ToSlash(filepath.Join(p.absolute(), "results"))
	return "SELECT * FROM read_parquet('" + strings.ReplaceAll(results, "'", "''") + "/*.parquet')\n" +
		"ORDER BY row, epoch, model;"
}

// quote makes an argument for a shell.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var reportPage = sync.OnceValues(func() (*render.Page, error) {
	return render.NewPage(assets, "report",
		"default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'",
		&pageData{Summary: &Summary{}})
})
