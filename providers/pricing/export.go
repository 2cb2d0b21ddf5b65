package pricing

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"nightshift"
)

// WriteCSV writes prices in our own form, which [Read] reads back as they
// are: a start for a table of one's own. id and date go into its head; a zero
// date is left out.
func WriteCSV(w io.Writer, id string, date time.Time, prices []Price) error {
	head := "# id: " + strings.Join(strings.Fields(id), "-") + "\n"
	if !date.IsZero() {
		head += "# date: " + date.Format(time.DateOnly) + "\n"
	}
	head += "# dollars per million tokens; long is THRESHOLD:FACTORS, a factor is N or " +
		"INPUT:OUTPUT:CACHE_READ:CACHE_WRITE\n"
	if _, err := io.WriteString(w, head); err != nil {
		return fmt.Errorf("price table: %w", err)
	}
	out := csv.NewWriter(w)
	if err := out.Write(strings.Split(columnNames(), ", ")); err != nil {
		return fmt.Errorf("price table: %w", err)
	}
	for _, p := range prices {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.get(p)
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("price table: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("price table: %w", err)
	}
	return nil
}

func optionalText(r *Rate) string {
	if r == nil {
		return ""
	}
	return r.String()
}

func tokensText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func listedText(m map[string]Factors, name string) string {
	f, ok := m[name]
	if !ok {
		return ""
	}
	return f.String()
}

// String is one number where all classes have the same factor.
func (f Factors) String() string {
	if f == Times(f.Input) {
		return f.Input.String()
	}
	if f.CacheRead == f.Input && f.CacheWrite == f.Input {
		return f.Input.String() + ":" + f.Output.String()
	}
	return f.Input.String() + ":" + f.Output.String() + ":" + f.CacheRead.String() + ":" + f.CacheWrite.String()
}

// ParseFactors reads N, INPUT:OUTPUT or INPUT:OUTPUT:CACHE_READ:CACHE_WRITE.
func ParseFactors(text string) (Factors, error) {
	parts := strings.Split(text, ":")
	values := make([]Factor, len(parts))
	for i, part := range parts {
		f, err := ParseFactor(part)
		if err != nil {
			return Factors{}, err
		}
		values[i] = f
	}
	switch len(values) {
	case 1:
		return Times(values[0]), nil
	case 2:
		return Factors{values[0], values[0], values[0], values[1]}, nil
	case 4:
		return Factors{Input: values[0], Output: values[1], CacheRead: values[2], CacheWrite: values[3]}, nil
	}
	return Factors{}, fmt.Errorf("%q: want N, INPUT:OUTPUT or INPUT:OUTPUT:CACHE_READ:CACHE_WRITE", text)
}

func longText(tiers []Long) string {
	texts := make([]string, len(tiers))
	for i, l := range tiers {
		texts[i] = strconv.FormatInt(l.Above, 10) + ":" + l.String()
	}
	return strings.Join(texts, " ")
}

func searchText(each *nightshift.NanoUSD) string {
	if each == nil {
		return ""
	}
	return decimal(int64(*each)*1000, 9)
}

// Saved is what caching saved: the cost of the same tokens without a cache,
// less the cost as it was. It is negative where writing cost more than reading
// saved. ok is false when the cost is not known.
func Saved(p Price, u nightshift.Usage) (saved nightshift.NanoUSD, ok bool) {
	cost, ok := Cost(p, u)
	if !ok {
		return 0, false
	}
	plain := u
	plain.Input = u.InputTotal()
	plain.CacheRead, plain.CacheWrite5m, plain.CacheWrite1h = nightshift.Count{}, nightshift.Count{}, nightshift.Count{}
	without, ok := Cost(p, plain)
	return without - cost, ok
}
