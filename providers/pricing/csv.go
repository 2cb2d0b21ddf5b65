package pricing

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/pattern"
)

// The columns of our CSV. All but model, input and output may be absent or
// empty. Prices are dollars per million tokens, the columns after mode are
// multipliers on them unless they say otherwise.
var columns = []column{
	field("provider", func(p *Price) *string { return &p.Provider }, parseText, plainText),
	field("model", func(p *Price) *string { return &p.Model }, parseText, plainText),
	field("input_usd_per_mtok", func(p *Price) *Rate { return &p.Input }, ParseRate, Rate.String),
	field("output_usd_per_mtok", func(p *Price) *Rate { return &p.Output }, ParseRate, Rate.String),
	optionalRate("cache_read", func(p *Price) **Rate { return &p.CacheRead }),
	optionalRate("cache_write", func(p *Price) **Rate { return &p.CacheWrite5m }),
	optionalRate("cache_write_1h", func(p *Price) **Rate { return &p.CacheWrite1h }),
	field("max_input", func(p *Price) *int64 { return &p.MaxInput }, parseTokens, tokensText),
	field("max_output", func(p *Price) *int64 { return &p.MaxOutput }, parseTokens, tokensText),
	field("mode", func(p *Price) *string { return &p.Mode }, parseText, plainText),
	field("long", func(p *Price) *[]Long { return &p.Long }, parseLong, longText),
	service("batch"), service("flex"), service("priority"), service("fast"),
	multiplier("us", func(p *Price) *map[string]Factors { return &p.Regions }),
	optionalRate("audio_input", func(p *Price) **Rate { return &p.AudioInput }),
	optionalRate("audio_output", func(p *Price) **Rate { return &p.AudioOutput }),
	optionalRate("image_input", func(p *Price) **Rate { return &p.ImageInput }),
	optionalRate("image_output", func(p *Price) **Rate { return &p.ImageOutput }),
	field("usd_per_1000_searches", func(p *Price) **nightshift.NanoUSD { return &p.Search }, parseSearch, searchText),
}

type column struct {
	name string
	set  func(p *Price, value string) error
	get  func(p Price) string
}

// field is the column of a field of the price.
func field[T any](name string, of func(*Price) *T, parse func(string) (T, error), text func(T) string) column {
	return column{
		name,
		func(p *Price, v string) (err error) { *of(p), err = parse(v); return err },
		func(p Price) string { return text(*of(&p)) },
	}
}

// optionalRate is the column of a rate that may be unknown.
func optionalRate(name string, of func(*Price) **Rate) column {
	parse := func(v string) (*Rate, error) { r, err := ParseRate(v); return &r, err }
	return field(name, of, parse, optionalText)
}

// service is the column of a service tier's multiplier.
func service(name string) column {
	return multiplier(name, func(p *Price) *map[string]Factors { return &p.Services })
}

// multiplier is the column of one entry of a map of multipliers.
func multiplier(name string, of func(*Price) *map[string]Factors) column {
	return column{
		name,
		func(p *Price, v string) error { return setFactor(of(p), name, v) },
		func(p Price) string { return listedText(*of(&p), name) },
	}
}

// Short names that people write, and the full ones.
var columnAliases = map[string]string{
	"input": "input_usd_per_mtok", "output": "output_usd_per_mtok",
	"cache_write_5m": "cache_write",
}

func parseText(v string) (string, error) { return v, nil }

func plainText(v string) string { return v }

func parseTokens(v string) (int64, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of tokens", v)
	}
	return n, nil
}

func setFactor(m *map[string]Factors, name, v string) error {
	f, err := ParseFactors(v)
	if err != nil {
		return err
	}
	if *m == nil {
		*m = map[string]Factors{}
	}
	(*m)[name] = f
	return nil
}

// parseLong reads "200000:2:1.5" (above so many input tokens, input classes
// times 2, output times 1.5); several tiers are separated by spaces.
func parseLong(v string) (tiers []Long, err error) {
	for tier := range strings.FieldsSeq(v) {
		threshold, factors, ok := strings.Cut(tier, ":")
		above, err := strconv.ParseInt(threshold, 10, 64)
		if !ok || err != nil || above < 0 {
			return nil, fmt.Errorf("%q: want THRESHOLD:INPUT:OUTPUT, such as 200000:2:1.5", tier)
		}
		f, err := ParseFactors(factors)
		if err != nil {
			return nil, err
		}
		tiers = append(tiers, Long{above, f})
	}
	return tiers, nil
}

func parseSearch(v string) (*nightshift.NanoUSD, error) {
	usd, err := ParseUSD(v)
	each := (usd + 500) / 1000
	return &each, err
}

// facts in the comment lines at the head of the file.
var (
	commentID   = pattern.Late(`(?m)^#\s*id:\s*(\S+)`)
	commentDate = pattern.Late(`(?m)^#\s*date:\s*(\d{4}-\d{2}-\d{2})`)
	anyDate     = pattern.Late(`\b(20\d{2}-[01]\d-[0-3]\d)\b`)
)

// readCSV reads our own form: comment lines (`# id:` and `# date:` are read),
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
		return nil, fmt.Errorf("%s: no prices in it; "+
			"want a CSV with the columns provider, model, input, output, or LiteLLM's JSON", name)
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
	if m := commentID().FindStringSubmatch(head); m != nil {
		t.name = m[1]
	}
	date := commentDate().FindStringSubmatch(head)
	if date == nil {
		date = anyDate().FindStringSubmatch(head)
	}
	if date != nil {
		t.date, _ = time.Parse(time.DateOnly, date[1]) // an invalid date is none
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
				return nil, fmt.Errorf("the column %s appears twice", name)
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
