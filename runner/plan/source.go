package plan

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"nightshift/internal/pattern"
)

// A source remembers where every field of a plan was written.
type source struct {
	name  string // file name for messages; empty for a plan made of flags
	dir   string // what paths are relative to
	lines []string
	nodes map[string]*yaml.Node // by path: models[0].endpoint
	flags map[string]string     // by path: the flag that set it

	unreadable bool // the text is not YAML: what it lacks is not known

	known []Problem // what Parse and Apply have reported already
	meant []string  // paths that a misspelt key stands for
}

// reported says whether a problem was reported already, or follows from one
// that was: it stands at the same place or below it.
func (s *source) reported(p Problem) bool {
	if s.unreadable && p.Flag == "" {
		return true
	}
	if slices.Contains(s.known, p) {
		return true
	}
	meant := func(m string) bool { return m == p.Path || within(p.Path, m) }
	return slices.ContainsFunc(s.meant, meant) || slices.ContainsFunc(s.known, func(k Problem) bool {
		return k.Path != "" && (k.Path == p.Path || within(p.Path, k.Path))
	})
}

func newSource(name string, text []byte) *source {
	s := &source{name: name, nodes: map[string]*yaml.Node{}, flags: map[string]string{}}
	if name != "" {
		s.dir = filepath.Dir(name)
	}
	normal := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text))
	s.lines = strings.Split(strings.TrimPrefix(normal, "\ufeff"), "\n")
	return s
}

// A report collects problems.
type report struct {
	source   *source
	problems []Problem
}

// at adds a problem of the field at path. Where the field was not written, it
// is placed at the nearest field above it that was, if there is one.
func (r *report) at(path, hint, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	for p := path; p != ""; p = parent(p) {
		if flag, ok := r.source.flags[p]; ok {
			r.problems = append(r.problems, Problem{Flag: flag, Path: path, Message: message, Hint: hint})
			return
		}
		if n, ok := r.source.nodes[p]; ok {
			r.node(n, path, hint, "%s", message)
			return
		}
	}
	r.problems = append(r.problems, Problem{File: r.source.name, Path: path, Message: message, Hint: hint})
}

// node adds a problem at a node of the file.
func (r *report) node(n *yaml.Node, path, hint, format string, args ...any) {
	r.line(n.Line, n.Column, path, hint, fmt.Sprintf(format, args...))
}

func (r *report) line(line, column int, path, hint, message string) {
	p := Problem{
		File: r.source.name, Line: line, Column: max(column, 1),
		Path: path, Message: message, Hint: hint,
	}
	if line >= 1 && line <= len(r.source.lines) {
		p.Source = r.source.redactedLine(line)
	}
	r.problems = append(r.problems, p)
}

// err is all problems in the order of the file, each once; nil without any.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return &Errors{Problems: slices.Compact(r.problems)}
}

// parent is the path of the field around a field; "" is the whole plan.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// What may be a key: the value of a field called so, and texts that look so.
var (
	secretField = pattern.Late(`(?i)((?:^|[\s{,"'-])["']?[\w-]*(?:key|token|secret|password|passwd|` +
		`authorization|credential|cookie|notify)["']?\s*:\s*)(\S.*)$`)
	secretText = pattern.Late(`(?i)\b(?:sk|pk|rk|xai|gsk|hf|ghp|key)[-_][A-Za-z0-9_\-.]{8,}|\bbearer\s+\S+|` +
		`\bAIza[\w-]{10,}|\beyJ[\w-]{10,}[\w.-]*|//[^/\s@]+@|[A-Za-z0-9_\-]{40,}`)
)

// redactedLine is a line of the file for people, with what may be a key masked:
// a plan with a key in it by mistake must not have it printed to a log.
func (s *source) redactedLine(line int) string {
	return redact(s.lines[line-1])
}

// redact keeps the length of the text, so that a caret below it lines up. A
// number or a boolean is not a key, whatever its field is called.
func redact(text string) string {
	text = secretText().ReplaceAllStringFunc(text, stars)
	for from := 0; ; {
		at := secretField().FindStringSubmatchIndex(text[from:])
		if at == nil {
			return text
		}
		value := from + at[4]
		plain := noSecret().FindString(text[value:])
		if plain == "" {
			return text[:value] + stars(text[value:])
		}
		from = value + len(plain)
	}
}

// noSecret is a value that cannot be a key.
var noSecret = pattern.Late(`^(?:-?[\d_.]{1,15}|true|false|null|~|[\[{]\s*[\]}])(?:\s*(?:[,}\]]|#|$))`)

func stars(text string) string { return strings.Repeat("*", utf8.RuneCountInString(text)) }

// syntax turns the YAML library's errors into problems.
func (r *report) syntax(err error) {
	var all *yaml.LoadErrors
	if errors.As(err, &all) {
		for _, e := range all.Errors {
			r.loadError(e)
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		r.loadError(one)
		return
	}
	r.problems = append(r.problems, Problem{File: r.source.name, Message: redact(err.Error())})
}

// datasetEndings are those of files that are datasets and no plans.
var datasetEndings = []string{".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst"}

// loadError places what the YAML library says, without its talk of stages.
func (r *report) loadError(e *yaml.LoadError) {
	mark := e.Mark
	if mark.Line == 0 {
		mark = e.ContextMark
	}
	hint := ""
	if strings.Contains(e.Message, "tab") ||
		mark.Line > 0 && mark.Line <= len(r.source.lines) && strings.HasPrefix(r.source.lines[mark.Line-1], "\t") {
		hint = "YAML is indented with spaces, not tabs"
	}
	if slices.Contains(datasetEndings, filepath.Ext(r.source.name)) {
		hint = "a dataset goes after --dataset"
	}
	r.line(mark.Line, mark.Column, "", hint, "not YAML: "+redact(e.Message))
}
