package pricing

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The columns of our CSV. All but model, input and output may be absent or
// empty. Prices are dollars per million tokens, the columns after mode are
// multipliers on them unless they say otherwise.
var columns = []column{
	{"provider", func(p *Price, v string) error { p.Provider = v; return nil }, func(p Price) string { return p.Provider }},
	{"model", func(p *Price, v string) error { p.Model = v; return nil }, func(p Price) string { return p.Model }},
	{"input_usd_per_mtok", func(p *Price, v string) error { return setRate(&p.Input, v) }, func(p Price) string { return p.Input.String() }},
	{"output_usd_per_mtok", func(p *Price, v string) error { return setRate(&p.Output, v) }, func(p Price) string { return p.Output.String() }},
	{"cache_read", func(p *Price, v string) error { return setOptional(&p.CacheRead, v) }, func(p Price) string { return optionalText(p.CacheRead) }},
	{"cache_write", func(p *Price, v string) error { return setOptional(&p.CacheWrite5m, v) }, func(p Price) string { return optionalText(p.CacheWrite5m) }},
	{"cache_write_1h", func(p *Price, v string) error { return setOptional(&p.CacheWrite1h, v) }, func(p Price) string { return optionalText(p.CacheWrite1h) }},
	{"max_input", func(p *Price, v string) error { return setTokens(&p.MaxInput, v) }, func(p Price) string { return tokensText(p.MaxInput) }},
	{"max_output", func(p *Price, v string) error { return setTokens(&p.MaxOutput, v) }, func(p Price) string { return tokensText(p.MaxOutput) }},
	{"mode", func(p *Price, v string) error { p.Mode = v; return nil }, func(p Price) string { return p.Mode }},
	{"long", setLong, func(p Price) string { return longText(p.Long) }},
	service("batch"), service("flex"), service("priority"), service("fast"),
	{"us", func(p *Price, v string) error { return setFactor(&p.Regions, "us", v) }, func(p Price) string { return listedText(p.Regions, "us") }},
	mediaRate("audio_input", func(r *Rates) **Rate { return &r.AudioInput }), mediaRate("audio_output", func(r *Rates) **Rate { return &r.AudioOutput }),
	mediaRate("image_input", func(r *Rates) **Rate { return &r.ImageInput }), mediaRate("image_output", func(r *Rates) **Rate { return &r.ImageOutput }),
	{"usd_per_1000_searches", setSearch, func(p Price) string { return searchText(p.Search) }},
}

type column struct {
	name string
	set  func(p *Price, value string) error
	get  func(p Price) string
}

// mediaRate is the column of a rate for sound or pictures.
func mediaRate(name string, rate func(*Rates) **Rate) column {
	return column{
		name,
		func(p *Price, v string) error { return setOptional(rate(&p.Rates), v) },
		func(p Price) string { return optionalText(*rate(&p.Rates)) },
	}
}

// service is the column of a service tier's multiplier.
func service(name string) column {
	return column{
		name,
		func(p *Price, v string) error { return setFactor(&p.Services, name, v) },
		func(p Price) string { return listedText(p.Services, name) },
	}
}

// Short names that people write, and the full ones.
var columnAliases = map[string]string{
	"input": "input_usd_per_mtok", "output": "output_usd_per_mtok",
	"cache_write_5m": "cache_write",
}

func setRate(r *Rate, v string) (err error) {
	*r, err = ParseRate(v)
	return err
}

func setOptional(r **Rate, v string) error {
	rate, err := ParseRate(v)
	if err == nil {
		*r = &rate
	}
	return err
}

func setTokens(n *int64, v string) (err error) {
	*n, err = strconv.ParseInt(v, 10, 64)
	if err != nil || *n < 0 {
		return fmt.Errorf("%q is not a number of tokens", v)
	}
	return nil
}

func setFactor(m *map[string]Factors, name, v string) error {
	f, err := parseFactors(v)
	if err != nil {
		return err
	}
	if *m == nil {
		*m = map[string]Factors{}
	}
	(*m)[name] = f
	return nil
}

// setLong reads "200000:2:1.5" (above so many input tokens, input classes
// times 2, output times 1.5); several tiers are separated by spaces.
func setLong(p *Price, v string) error {
	for tier := range strings.FieldsSeq(v) {
		threshold, factors, ok := strings.Cut(tier, ":")
		above, err := strconv.ParseInt(threshold, 10, 64)
		if !ok || err != nil || above < 0 {
			return fmt.Errorf("%q: want THRESHOLD:INPUT:OUTPUT, such as 200000:2:1.5", tier)
		}
		f, err := parseFactors(factors)
		if err != nil {
			return err
		}
		p.Long = append(p.Long, Long{above, f})
	}
	return nil
}

func setSearch(p *Price, v string) error {
	usd, err := ParseUSD(v)
	if err == nil {
		each := (usd + 500) / 1000
		p.Search = &each
	}
	return err
}

// facts in the comment lines at the head of the file.
var (
	commentID   = regexp.MustCompile(`(?m)^#\s*id:\s*(\S+)`)
	commentDate = regexp.MustCompile(`(?m)^#\s*date:\s*(\d{4}-\d{2}-\d{2})`)
	anyDate     = regexp.MustCompile(`\b(20\d{2}-[01]\d-[0-3]\d)\b`)
	commentFrom = regexp.MustCompile(`(?m)^#\s*source:\s*(.+)$`)
)

// readCSV reads our own form: comment lines (`# id:`, `# date:`, `# source:`),
// a header line with the names of columns in any order, one price a line.
func readCSV(name string, b []byte) (*Table, error) {
	t := &Table{}
	describe(t, string(b))
	r := csv.NewReader(bytes.NewReader(b))
	r.Comment = '#'
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: no prices in it; want a CSV with the columns provider, model, input, output, or LiteLLM's JSON", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	setters, err := match(header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var problems []error
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		p, err := readRow(setters, fields)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, line, err))
			continue
		}
		t.prices = append(t.prices, p)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return build(t), nil
}

func describe(t *Table, text string) {
	var comments strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			comments.WriteString(line)
		}
	}
	head := comments.String()
	if m := commentID.FindStringSubmatch(head); m != nil {
		t.name = m[1]
	}
	if m := commentFrom.FindStringSubmatch(head); m != nil {
		t.source = strings.TrimSpace(m[1])
	}
	date := commentDate.FindStringSubmatch(head)
	if date == nil {
		date = anyDate.FindStringSubmatch(head)
	}
	if date != nil {
		t.date, _ = time.Parse(time.DateOnly, date[1]) // an impossible date is no date
	}
}

// match pairs the header with the setters; nil ignores a column.
func match(header []string) ([]*column, error) {
	setters := make([]*column, len(header))
	seen := map[string]bool{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if full, ok := columnAliases[name]; ok {
			name = full
		}
		for j := range columns {
			if columns[j].name != name {
				continue
			}
			if seen[name] {
				return nil, fmt.Errorf("the column %s is there twice", name)
			}
			seen[name], setters[i] = true, &columns[j]
		}
		if setters[i] == nil {
			return nil, fmt.Errorf("unknown column %q; known are %s", name, columnNames())
		}
	}
	for _, need := range []string{"model", "input_usd_per_mtok", "output_usd_per_mtok"} {
		if !seen[need] {
			return nil, fmt.Errorf("no column %s; known are %s", need, columnNames())
		}
	}
	return setters, nil
}

func columnNames() string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func readRow(setters []*column, fields []string) (Price, error) {
	var p Price
	if len(fields) != len(setters) {
		return p, fmt.Errorf("%d fields, the header has %d", len(fields), len(setters))
	}
	given := map[string]bool{}
	for i, v := range fields {
		v = strings.TrimSpace(v)
		if v == "" {
			continue
		}
		given[setters[i].name] = true
		if err := setters[i].set(&p, v); err != nil {
			return p, fmt.Errorf("%s: %w", setters[i].name, err)
		}
	}
	for _, need := range []string{"model", "input_usd_per_mtok", "output_usd_per_mtok"} {
		if !given[need] {
			return p, fmt.Errorf("%s is empty", need)
		}
	}
	return unlisted(p), nil
}

// unlisted drops prices of 0 for cached tokens, sound and pictures beside a
// price for text: lists write them where they know none, and free tokens would
// make the bill too small.
func unlisted(p Price) Price {
	for _, r := range []**Rate{&p.CacheRead, &p.AudioInput, &p.AudioOutput, &p.ImageInput, &p.ImageOutput} {
		if *r != nil && **r == 0 && p.Input > 0 {
			*r = nil
		}
	}
	return p
}
