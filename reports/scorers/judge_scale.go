package scorers

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/jsonvalue"
	"nightshift/reports/scorers/internal/numbers"
)

// A criterion is one of several that a judge is asked about at once.
type criterion struct {
	Name      string   `json:"name"`
	Criterion string   `json:"criterion"`
	Weight    *float64 `json:"weight,omitempty"`
}

func (c criterion) weight() float64 {
	if c.Weight == nil {
		return 1
	}
	return *c.Weight
}

// A verdictReader reads verdicts that are no GRADE: X of one criterion.
type verdictReader struct {
	by       string // grade, brackets, json or pattern
	scale    []float64
	grades   grades // without a scale
	reader   gradeReader
	criteria []criterion
	marks    []*regexp.Regexp // what a verdict stands in, one for each criterion, or one
}

const bracketed = `[\s*_"'` + "`" + `]*\[\[([^\[\]]*)\]\]`

// newVerdictReader returns nil for the usual form, GRADE: X.
func newVerdictReader(g *Grader) (*verdictReader, error) {
	p := g.p
	if len(p.Scale) == 0 && len(p.Criteria) == 0 && (p.Verdict == "" || p.Verdict == "grade") && p.Pattern == "" {
		return nil, nil
	}
	v := &verdictReader{by: p.Verdict, scale: p.Scale, grades: g.grades, criteria: p.Criteria}
	switch {
	case v.by == "" && p.Pattern != "":
		v.by = "pattern"
	case v.by == "":
		v.by = "brackets"
	}
	if v.scale == nil {
		v.reader = newGradeReader(g.grades)
	}
	return v, errors.Join(oneOf("verdict", v.by, "grade", "brackets", "json", "pattern"), v.check(p), v.compile(p))
}

func (v *verdictReader) check(p gradeParams) error {
	if n := len(p.Scale); n != 0 && (n != 2 || !(p.Scale[0] < p.Scale[1]) || math.IsInf(p.Scale[1]-p.Scale[0], 0)) {
		return fmt.Errorf("scale: want the lowest and the highest number, as [1, 10], have %v", p.Scale)
	}
	if (p.Pattern != "") != (v.by == "pattern") || v.by == "pattern" && len(p.Criteria) > 0 {
		return errors.New("pattern: it belongs to verdict: pattern, and reads one verdict")
	}
	seen, sum := map[string]bool{}, 0.0
	for _, c := range p.Criteria {
		if c.Name == "" || strings.ContainsAny(c.Name, ":[]{}\n\"") || seen[strings.ToLower(c.Name)] {
			return fmt.Errorf("criteria: want different names without colons, brackets and quotes, have %q", c.Name)
		}
		if !(c.weight() >= 0) || math.IsInf(c.weight(), 0) {
			return fmt.Errorf("criteria: %s: want a weight of 0 or more", c.Name)
		}
		seen[strings.ToLower(c.Name)] = true
		sum += c.weight()
	}
	if len(p.Criteria) > 0 && !(sum > 0) {
		return errors.New("criteria: all weights are 0")
	}
	return nil
}

// compile makes the expressions that find verdicts.
func (v *verdictReader) compile(p gradeParams) (err error) {
	names := []string{`\b(?:grade|score|rating)`}
	if len(v.criteria) > 0 {
		names = nil
		for _, c := range v.criteria {
			names = append(names, `(?:^|[^\p{L}\p{N}])`+regexp.QuoteMeta(c.Name))
		}
	}
	const colon = `[\s*_"'` + "`" + `]*[:：]`
	for _, name := range names {
		source := p.Pattern
		switch {
		case v.by == "grade":
			source = `(?im)` + name + colon + `[\s*_"'` + "`" + `(]*([^\s*_"'` + "`" + `),;]+)`
		case v.by == "brackets" && len(v.criteria) > 0:
			source = `(?i)` + name + colon + bracketed
		case v.by == "brackets":
			source = bracketed
		}
		re, compileErr := regexp.Compile(source)
		if compileErr != nil {
			return fmt.Errorf("pattern: %w", compileErr)
		}
		v.marks = append(v.marks, re)
	}
	return nil
}

// steps are the whole numbers of a scale with their worths, by which verdicts are
// compared with people's.
func (v *verdictReader) steps() grades {
	g := grades{}
	low, high := math.Ceil(v.scale[0]), math.Floor(v.scale[1])
	for n := low; n <= high && len(g) < 102; n++ {
		g[numbers.FormatFloat(n)] = (n - v.scale[0]) / (v.scale[1] - v.scale[0])
	}
	for _, end := range v.scale {
		g[numbers.FormatFloat(end)] = (end - v.scale[0]) / (v.scale[1] - v.scale[0])
	}
	return g
}

// read takes the verdicts of a reply, the last one of each.
func (v *verdictReader) read(reply string) Result {
	reply = plainReply(reply)
	if len(v.criteria) == 0 {
		said, ok := v.said(reply, 0)
		if !ok {
			return unscored("the judge's reply holds no verdict")
		}
		worth, label, ok := v.worth(said)
		if !ok {
			return unscored("the judge's verdict %q was not on offer", shorten(said))
		}
		return scored(worth).extracted(label)
	}
	sum, weights := 0.0, 0.0
	var labels []string
	var parts []Part
	for i, c := range v.criteria {
		said, ok := v.said(reply, i)
		if !ok {
			return unscored("the judge's reply holds no verdict for %s", c.Name)
		}
		worth, label, ok := v.worth(said)
		if !ok {
			return unscored("the judge's verdict %q for %s was not on offer", shorten(said), c.Name)
		}
		sum, weights = sum+c.weight()*worth, weights+c.weight()
		parts = append(parts, Part{Name: c.Name, Value: worth})
		labels = append(labels, c.Name+" "+label)
	}
	r := scored(sum / weights).extracted(strings.Join(labels, ", "))
	r.Parts = parts
	return r
}

// said is the last verdict of a reply, for one criterion where there are several.
func (v *verdictReader) said(reply string, criterion int) (string, bool) {
	if v.by == "json" {
		return v.inJSON(reply, criterion)
	}
	all := v.marks[criterion].FindAllStringSubmatch(reply, -1)
	if all == nil {
		return "", false
	}
	last := all[len(all)-1]
	return strings.TrimSpace(last[min(1, len(last)-1)]), true
}

// verdictKeys hold the verdict of a JSON object, the first of them that is there.
var verdictKeys = []string{"score", "grade", "rating", "verdict"}

// mostObjects bounds how many beginnings of a JSON object are tried.
const mostObjects = 200

// inJSON reads the last JSON object that holds a verdict.
func (v *verdictReader) inJSON(reply string, criterion int) (string, bool) {
	keys := verdictKeys
	if len(v.criteria) > 0 {
		keys = nil
		for _, c := range v.criteria {
			keys = append(keys, c.Name)
		}
	}
	end := len(reply)
	for range mostObjects {
		if end = strings.LastIndexByte(reply[:end], '{'); end < 0 {
			break
		}
		d := json.NewDecoder(strings.NewReader(reply[end:]))
		d.UseNumber()
		var object map[string]any
		if d.Decode(&object) != nil {
			continue
		}
		some := false
		for i, key := range keys {
			value, there := object[key]
			if some = some || there; there && (len(v.criteria) == 0 || i == criterion) {
				return verdictText(value), true
			}
		}
		if some {
			break
		}
	}
	return "", false
}

// verdictText is the verdict of a JSON value: itself, or what an object calls its
// score.
func verdictText(value any) string {
	if object, ok := value.(map[string]any); ok {
		for _, key := range verdictKeys {
			if inner, there := object[key]; there {
				value = inner
				break
			}
		}
	}
	if s, ok := value.(string); ok {
		return strings.TrimSpace(s)
	}
	return jsonvalue.Canonical(value)
}

var ofScale = pattern.Late(`^([-+]?[0-9]+(?:\.[0-9]+)?)(?:\s*/\s*([0-9]+(?:\.[0-9]+)?))?\.?$`)

// worth is the value of a verdict; ok is false for one that is not on offer.
func (v *verdictReader) worth(said string) (worth float64, label string, ok bool) {
	said = strings.Trim(said, " \t\n*_`\"'$")
	if v.scale == nil {
		grade, tail, ok := v.reader.first(said)
		if !ok || strings.TrimSpace(tail) != "" && !endOfLine().MatchString(tail) {
			return 0, "", false
		}
		return v.grades[grade], grade, true
	}
	m := ofScale().FindStringSubmatch(said)
	if m == nil {
		return 0, "", false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	low, high := v.scale[0], v.scale[1]
	if err != nil || n < low || n > high || m[2] != "" && m[2] != numbers.FormatFloat(high) { // 8/10 on a scale to 10
		return 0, "", false
	}
	return (n - low) / (high - low), numbers.FormatFloat(n), true
}

// offer says in words what a verdict may be.
func (v *verdictReader) offer(grades string) string {
	if v.scale == nil {
		return "one of " + grades
	}
	return fmt.Sprintf("a number from %s (worst) to %s (best)", numbers.FormatFloat(v.scale[0]),
		numbers.FormatFloat(v.scale[1]))
}

// ending is the end of the built-in prompt.
func (v *verdictReader) ending(grades string) string {
	if len(v.criteria) == 0 {
		return "How well does the answer meet the criterion? Differences in wording and form do not\nmatter; " +
			"contradictions and missing parts " +
			"do. Think it through step by step, then end\nwith your verdict and nothing else:\n\n" + v.form(grades) + "\n"
	}
	var b strings.Builder
	b.WriteString("Judge the answer by each of these criteria, apart from the others:\n\n")
	for _, c := range v.criteria {
		fmt.Fprintf(&b, "- %s: %s\n", c.Name, c.Criterion)
	}
	return b.String() + "\nThink it through step by step, then end with a verdict for each criterion and nothing " +
		"else:\n\n" +
		v.form(grades) + "\n"
}

// form shows how a verdict is written.
func (v *verdictReader) form(grades string) string {
	names := []string{"score"}
	if len(v.criteria) > 0 {
		names = nil
		for _, c := range v.criteria {
			names = append(names, c.Name)
		}
	}
	var lines []string
	for _, name := range names {
		switch v.by {
		case "json":
			lines = append(lines, strconv.Quote(name)+": …")
		case "grade":
			lines = append(lines, name+": …")
		case "pattern":
			lines = append(lines, "a text that matches "+v.marks[0].String())
		default:
			if len(v.criteria) > 0 {
				lines = append(lines, name+": [[rating]]")
			} else {
				lines = append(lines, "[[rating]]")
			}
		}
	}
	said := strings.Join(lines, "\n")
	if v.by == "json" {
		said = "{" + strings.Join(lines, ", ") + "}"
	}
	return said + "\n\nwhere the verdict is " + v.offer(grades) + "."
}
