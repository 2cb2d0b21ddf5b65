package reports

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
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
	// Kept and Left are how many rows HTML took in and left out.
	Kept, Left int64
}

// BuildPage reads a run directory: its summary, and the rows that a person
// wants to see, which failed, were cut, cost most, and an even sample of the
// rest. compare, when not nil, may add to the summary before rows are chosen.
func BuildPage(dir string, compare func(*Summary) error) (*Page, error) {
	p := newPicker()
	s, info, err := summarize(dir, p.add)
	if err != nil {
		return nil, err
	}
	if compare != nil {
		if err := compare(s); err != nil {
			return nil, err
		}
	}
	var different []ItemKey
	if s.Comparison != nil {
		different = s.Comparison.Different
	}
	keys, units := inUnits(p.chosen(different), info.Chunks)
	page := &Page{Summary: s, Made: time.Now()}
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
	Banner     []Finding
	Warnings   []string
	Grids      []Grid
	Charts     []chart
	LeftOut    string
	Facts      [][2]string
	Commands   []string
	QueryLines []string
	Data       struct {
		Models namesJSON         `json:"models"`
		Items  []json.RawMessage `json:"items"`
	}
	Made string
}

// HTML writes the page as one file that needs no other. Rows are added, in
// their order, as long as they fit.
func (p *Page) HTML(w io.Writer) error {
	t, err := reportSheet()
	if err != nil {
		return err
	}
	d := p.data()
	d.Policy = t.policy
	var empty bytes.Buffer
	if err := t.Execute(&empty, d); err != nil {
		return err
	}
	most := p.MaxSize
	if most <= 0 {
		most = DefaultMaxSize
	}
	d.Data.Items = p.fitting(most - empty.Len() - 500)
	p.Kept = int64(len(d.Data.Items))
	p.Left = max(p.Dataset.Rows*int64(max(p.Epochs, 1))-p.Kept, 0)
	d.LeftOut = p.leftOut()
	return t.Execute(w, d)
}

// itemJSON is an item in which characters that cannot be seen are written as
// escapes, so that the page's source hides nothing either.
func itemJSON(i *Item) (json.RawMessage, error) {
	b, err := json.Marshal(i) // escapes <, > and & as the page does
	return visibleJSON(b), err
}

// namesJSON does the same for names.
type namesJSON []string

func (names namesJSON) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal([]string(names))
	return visibleJSON(b), err
}

func visibleJSON(b []byte) []byte {
	if !bytes.ContainsFunc(b, hidden) {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		if !hidden(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, "\\u%04x", unit)
		}
	}
	return out.Bytes()
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
			c.Answers[j].Scores = append([]ItemScore(nil), c.Answers[j].Scores...)
		}
		c.cutTo(longestText)
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
	d := &pageData{Summary: p.Summary, Headline: p.headline(), Banner: p.banner(), Warnings: p.allWarnings(), Grids: p.grids(), Charts: p.charts(), QueryLines: strings.Split(p.Query(), "\n")}
	d.Data.Items = []json.RawMessage{}
	d.Facts = p.facts()
	for _, m := range p.Models {
		d.Data.Models = append(d.Data.Models, m.Model)
	}
	d.Commands = []string{
		"nightshift verify " + quote(p.Dir), "nightshift report " + quote(p.Dir), "nightshift cost " + quote(p.Dir) + " --by category,model",
		"nightshift view " + quote(p.Dir),
	}
	d.LeftOut = p.leftOut()
	if !p.Made.IsZero() {
		d.Made = p.Made.UTC().Format("2006-01-02 15:04 UTC")
	}
	return d
}

// strip is the comparison's verdict, then what became of the run.
func (p *Page) banner() []Finding {
	banner := append([]Finding(nil), p.findings()...)
	var rows, answered, expected int64
	for _, m := range p.Models {
		rows, answered, expected = rows+m.Rows, answered+m.Answered(), expected+m.Expected
	}
	state := Finding{Level: "plain", Title: "answers", Text: count(answered) + " of " + count(expected), Detail: p.State}
	switch {
	case answered == expected && expected > 0:
		state.Level = "good"
	case rows-answered > 0:
		state.Level = "bad"
		state.Detail += ", " + count(rows-answered) + " without an answer"
	}
	cost := Finding{Level: "plain", Title: "cost", Text: p.Total.money()}
	if p.Total.AtLeast() {
		cost.Level = "unsure"
		if p.Total.AtMostNanoUSD != nil {
			cost.Detail = "at most " + mostMoney(p.Total)
		}
	}
	tokens := Finding{Level: "plain", Title: "tokens", Text: count(p.Total.Input + p.Total.CacheRead + p.Total.CacheWrite + p.Total.Output),
		Detail: count(p.Total.Output) + " of them output"}
	banner = append(banner, state, cost, tokens)
	if took := p.took(); took > 0 {
		banner = append(banner, Finding{Level: "plain", Title: "time", Text: took.String(), Detail: count(int64(float64(answered)/took.Hours())) + " answers an hour"})
	}
	return banner
}

func (p *Page) leftOut() string {
	if p.Left == 0 {
		return "All " + count(p.Kept) + " rows are in this page."
	}
	return sprintf("This page holds %s of %s rows: those that failed, were cut off, refused or retried, the most expensive, and an even sample of the rest. "+
		"Figures and charts are of all rows. nightshift view shows every row; the query at the end has them all.", count(p.Kept), count(p.Kept+p.Left))
}

func (p *Page) facts() [][2]string {
	facts := [][2]string{
		{"run", p.Name + " (" + p.RunID + ")"}, {"directory", p.Dir}, {"program", p.Tool},
		{"dataset", count(p.Dataset.Rows) + " rows, " + p.Dataset.Hash}, {"plan", p.PlanHash}, {"prices", p.PriceDate},
	}
	for _, m := range p.Models {
		served := servedList(m.Served)
		if served == "" {
			served = "nobody yet"
		}
		facts = append(facts, [2]string{m.Model, m.RequestedModel + " at " + m.Endpoint + ", answered by " + served})
	}
	if p.Started != nil {
		facts = append(facts, [2]string{"first request", p.Started.UTC().Format(time.RFC3339)})
	}
	return facts
}

// Query is the DuckDB statement that has every row.
func (p *Page) Query() string {
	return "SELECT * FROM read_parquet('" + strings.ReplaceAll(filepath.ToSlash(filepath.Join(p.Dir, "results")), "'", "''") + "/*.parquet')\n" +
		"WHERE outcome <> 'ok' ORDER BY row, model;"
}

// quote makes an argument for a shell.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// helpers are the templates' functions.
var helpers = template.FuncMap{"plain": plain, "count": func(n int64) string { return count(n) }, "counted": counted}

// A sheet is a template with style and script in it, and the policy that
// permits these two and nothing else.
type pageTemplate struct {
	*template.Template
	policy string
}

var reportSheet = sync.OnceValues(func() (*pageTemplate, error) {
	return newSheet("report.html", "default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'",
		&pageData{Summary: &Summary{}}, "explorer.js", "report.js")
})

// newSheet puts style and scripts into a template as text, before it is
// parsed: no value is ever taken for either. Their hashes are those of what a
// browser gets, so the template is executed once to see that.
func newSheet(name, policy string, sample any, scripts ...string) (*pageTemplate, error) {
	text := func(file string) string {
		b, err := assets.ReadFile("assets/" + file)
		if err != nil {
			panic(err) // it is embedded
		}
		return string(b)
	}
	var script strings.Builder
	for _, f := range scripts {
		script.WriteString(text(f))
	}
	whole := strings.NewReplacer("/*style*/", text("page.css"), "/*script*/", script.String()).Replace(text(name))
	t, err := template.New(name).Funcs(helpers).Parse(whole)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, sample); err != nil {
		return nil, err
	}
	return &pageTemplate{t, fmt.Sprintf(policy, inlineHash(out.String(), "<style>", "</style>"), inlineHash(out.String(), "<script>", "</script>"))}, nil
}

// inlineHash is the hash source of the first element between two tags.
func inlineHash(page, open, end string) string {
	_, rest, _ := strings.Cut(page, open)
	body, _, _ := strings.Cut(rest, end)
	sum := sha256.Sum256([]byte(body))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
