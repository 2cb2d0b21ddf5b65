package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nightshift/reports/scorers"
)

// TestDocsAreCurrent: the generated parts of pages say what the code does.
func TestDocsAreCurrent(t *testing.T) {
	for _, part := range []struct {
		page, name string
		text       func(*testing.T) string
	}{
		{"scorers.md", "scorers", scorersPart},
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
