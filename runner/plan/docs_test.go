package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nightshift/providers"
	"nightshift/reports/scorers"
)

// TestDocsAreCurrent: the generated parts of pages say what the code does.
func TestDocsAreCurrent(t *testing.T) {
	for _, part := range []struct {
		page, name string
		text       func(*testing.T) string
	}{
		{"scorers.md", "scorers", scorersPart},
		{"plan.md", "plan", planPart},
		{"environment.md", "variables", variablesPart},
		{"environment.md", "keys", keysPart},
	} {
		t.Run(part.name, func(t *testing.T) { currentPart(t, part.page, part.name, part.text(t)) })
	}
}

// currentPart compares what stands between the two marks of a page with text.
func currentPart(t *testing.T, page, name, text string) {
	path := filepath.Join("..", "..", "docs", page)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end: "+name+" -->\n"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for %s", path, name)
	}
	want := before + begin + "\n" + strings.TrimSpace(text) + "\n\n" + end + after
	if string(b) == want {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is stale; go test ./runner/plan -run TestDocsAreCurrent -update writes it anew", path)
}

func scorersPart(*testing.T) string {
	var b strings.Builder
	var all []string
	for _, group := range scorers.Groups {
		list := slices.DeleteFunc(scorers.Types(), func(s scorers.TypeInfo) bool { return s.Group != group })
		var names []string
		for _, s := range list {
			names = append(names, fmt.Sprintf("[`%s`](#%s)", s.Type, s.Type))
		}
		all = append(all, fmt.Sprintf("| %s | %s |", group, strings.Join(names, ", ")))
		fmt.Fprintf(&b, "\n## %s\n", group)
		for _, s := range list {
			scorerSection(&b, s)
		}
	}
	return "| for | scorers |\n|---|---|\n" + strings.Join(all, "\n") + "\n" + b.String()
}

func scorerSection(b *strings.Builder, s scorers.TypeInfo) {
	fmt.Fprintf(b, "\n### %s\n\n%s.\n\n- **Reads** %s.\n- **Gives** %s.\n", s.Type, capital(s.Doc), cell(s.Reads),
		cell(s.Gives))
	if s.Needs != "" {
		fmt.Fprintf(b, "- **Needs** %s.\n", cell(s.Needs))
	}
	if len(s.Params) > 0 {
		b.WriteString("\n| parameter | type | default | meaning |\n|---|---|---|---|\n")
	}
	for _, p := range s.Params {
		usual := "`" + string(p.Default) + "`"
		switch {
		case p.Required:
			usual = "must be given"
		case slices.Contains([]string{`""`, "null", "[]", "{}"}, string(p.Default)):
			usual = ""
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, p.Type, usual, cell(p.Doc))
	}
	e := s.Example
	fmt.Fprintf(b, "\n```yaml\nscorers:\n  - %s\n```\n\n", e.Plan)
	fmt.Fprintf(b, "```\nrow     %s\n", e.Row)
	for _, l := range [][2]string{{"answer", e.Answer}, {"columns", e.Columns}, {"reply", strings.Join(e.Replies, "\n")}} {
		if l[1] != "" {
			fmt.Fprintf(b, "%-8s%s\n", l[0], strings.ReplaceAll(l[1], "\n", "\n        "))
		}
	}
	fmt.Fprintf(b, "score   %s\n", strconv.FormatFloat(e.Score, 'g', 4, 64))
	if e.Read != "" {
		fmt.Fprintf(b, "read    %s\n", e.Read)
	}
	b.WriteString("```\n")
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// cell is a text that stands in Markdown as it is.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(s)
}

// planPart has a table for each mapping of a plan: its keys, what they hold, and
// the flags and variables that set them too.
func planPart(t *testing.T) string {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	p := planPage{root: root, seen: map[reflect.Type]bool{}}
	p.section("", reflect.TypeFor[Plan]())
	return p.text.String()
}

type planPage struct {
	root map[string]any
	seen map[reflect.Type]bool
	text strings.Builder
}

// section writes the keys of one struct, then those of the structs in it.
func (p *planPage) section(path string, typ reflect.Type) {
	if p.seen[typ] {
		return
	}
	p.seen[typ] = true
	properties := propertiesOf(p.root, typ.Name())
	if path != "" {
		fmt.Fprintf(&p.text, "\n### `%s`\n", path)
	}
	p.text.WriteString("\n| key | holds | meaning | flag, variable |\n|---|---|---|---|\n")
	fields, _ := fieldsOf(typ)
	for _, f := range fields {
		property, _ := properties[f.name].(map[string]any)
		if property == nil {
			continue
		}
		meaning, _ := property["description"].(string)
		fmt.Fprintf(&p.text, "| `%s` | %s | %s | %s |\n", f.name, p.holds(property), cell(meaning),
			flagsOf(strings.TrimPrefix(path+"."+f.name, ".")))
	}
	for _, f := range fields {
		inner, below := typ.FieldByIndex(f.index).Type, strings.TrimPrefix(path+"."+f.name, ".")
		for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, inner.Kind()) {
			switch inner.Kind() {
			case reflect.Slice:
				below += "[]"
			case reflect.Map:
				below += ".NAME"
			}
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && propertiesOf(p.root, inner.Name()) != nil {
			p.section(below, inner)
		}
	}
}

// holds says what a key's value is.
func (p *planPage) holds(property map[string]any) string {
	if words, ok := property["enum"].([]any); ok {
		var list []string
		for _, w := range words {
			list = append(list, fmt.Sprintf("`%v`", w))
		}
		return strings.Join(list, ", ")
	}
	if property["type"] == "array" {
		return "list"
	}
	if kind, ok := property["type"].(string); ok {
		return map[string]string{"string": "text", "integer": "whole number", "number": "number",
			"boolean": "true or false", "object": "mapping"}[kind]
	}
	if alternatives, ok := property["oneOf"].([]any); ok {
		var list []string
		for _, a := range alternatives {
			if word := p.holds(a.(map[string]any)); !slices.Contains(list, word) {
				list = append(list, word)
			}
		}
		return strings.Join(list, " or ")
	}
	return "mapping"
}

// flagsOf are the flags and variables that set the key at a path.
func flagsOf(path string) string {
	var list []string
	ofPlan, _ := fieldsOf(reflect.TypeFor[Plan]())
	for _, o := range Options() {
		first, _, _ := strings.Cut(o.path, ".")
		places := []string{o.path}
		if !slices.ContainsFunc(ofPlan, func(f field) bool { return f.name == first }) { // of every model or endpoint
			places = []string{"models[]." + o.path, "endpoints.NAME." + o.path}
		}
		if o.path == "" || !slices.Contains(places, path) {
			continue
		}
		list = append(list, "`--"+o.Flag+"`")
		if o.variable != "" {
			list = append(list, "`"+o.variable+"`")
		}
	}
	return strings.Join(list, ", ")
}

// variablesPart has the variables of the option table.
func variablesPart(*testing.T) string {
	var b strings.Builder
	b.WriteString("| variable | flag | what it sets |\n|---|---|---|\n")
	for _, o := range Options() {
		if o.variable != "" {
			fmt.Fprintf(&b, "| `%s` | `--%s` | %s |\n", o.variable, o.Flag, cell(o.Usage))
		}
	}
	return b.String()
}

// keysPart has the variables of the presets.
func keysPart(*testing.T) string {
	var b strings.Builder
	b.WriteString("| preset | key | address, where set |\n|---|---|---|\n")
	seen := map[string]bool{}
	for _, preset := range providers.Presets() {
		if seen[preset.Name] || len(preset.KeyEnvs)+len(preset.BaseURLEnvs) == 0 {
			continue
		}
		seen[preset.Name] = true
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", preset.Name, quotedNames(preset.KeyEnvs), quotedNames(preset.BaseURLEnvs))
	}
	return b.String()
}

func quotedNames(names []string) string {
	var list []string
	for _, n := range names {
		list = append(list, "`"+n+"`")
	}
	return strings.Join(list, ", ")
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestDocsPlans reads the pieces of plans in all pages: each has only keys that
// there are, with values of their types.
func TestDocsPlans(t *testing.T) {
	found, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, page := range append(found, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			blocks++
			if _, err := Parse(page, []byte(m[1])); err != nil {
				t.Errorf("%v\n%s", err, m[1])
			}
		}
	}
	if blocks < 30 {
		t.Errorf("only %d pieces of plans were found", blocks)
	}
}
