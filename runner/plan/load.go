package plan

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds a plan file; one with a thousand tool definitions has 1 MB.
const maxFile = 16 << 20

// Load reads a plan from a file; "-" is standard input. The error is an
// [*Errors] with everything that is wrong, beside what could be read of the
// plan (so that flags can be checked too), or why the file cannot be read.
func Load(path string) (*Plan, error) {
	if path == "-" {
		b, err := io.ReadAll(io.LimitReader(os.Stdin, maxFile+1))
		if err != nil {
			return nil, fmt.Errorf("plan on standard input: %w", err)
		}
		return Parse("stdin", b)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, "run.json")); err == nil {
		return nil, fmt.Errorf("plan: %s is a run directory, not a plan; the command that made it goes on with it", path)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("plan: %s is a directory; name the YAML file in it", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return Parse(path, b)
}

// Parse is Load of a text; name is the file name for messages, and its folder
// what relative paths start from.
func Parse(name string, src []byte) (*Plan, error) {
	d := &decoder{report: report{source: newSource(name, src)}}
	p := &Plan{source: d.source}
	if len(src) > maxFile {
		return nil, &Errors{[]Problem{{File: name, Message: "this is not a plan: it is larger than 16 MB"}}}
	}
	root := d.document(src)
	if root == nil {
		p.source.unreadable = true
	} else {
		d.decode(root, reflect.ValueOf(p).Elem(), "")
	}
	if len(d.problems) == 0 {
		return p, nil
	}
	d.also(p)
	p.source.known, p.source.meant = slices.Clone(d.problems), d.meant
	return p, d.err()
}

// document reads the one document of the text; nil after a problem.
func (d *decoder) document(src []byte) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		d.syntax(err)
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil {
		if err == io.EOF {
			d.line(0, 0, "", "`nightshift init DATASET` writes one", "the plan is empty")
		} else {
			d.syntax(err)
		}
		return nil
	}
	if loader.Load(&second) == nil {
		d.line(second.Line, second.Column, "", "", "a plan is one YAML document; a second begins here")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		d.line(0, 0, "", "`nightshift init DATASET` writes one", "the plan is empty")
		return nil
	}
	return doc.Content[0]
}

// also adds what is wrong beyond the form, so that people see all of it at
// once; what stands at a place that is wrong already is left out.
func (d *decoder) also(p *Plan) {
	if d.bomb || len(d.source.nodes) == 0 {
		return
	}
	c := &checker{report: report{source: d.source}, plan: p}
	c.all()
	for _, extra := range c.problems {
		missing := extra.Path == "models" || extra.Path == "dataset.path" // flags may bring them
		if !missing && !d.touched(extra.Path) {
			d.problems = append(d.problems, extra)
		}
	}
}

// touched reports whether a problem is known at the path or above it.
func (d *decoder) touched(path string) bool {
	for _, p := range d.problems {
		if p.Path == path || within(path, p.Path) {
			return true
		}
	}
	return slices.ContainsFunc(d.meant, func(m string) bool { return m == path || within(path, m) })
}

// within reports whether path lies below outer. The whole plan does not
// count: a misspelt key at the top says nothing of the others.
func within(path, outer string) bool {
	return outer != "" && (strings.HasPrefix(path, outer+".") || strings.HasPrefix(path, outer+"["))
}

func (s *Scorer) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		s.Type = n.Value
		return
	}
	d.structure(n, reflect.ValueOf(s).Elem(), path)
}

func (a *Auth) decodeNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		a.Scheme = n.Value
		return
	}
	d.structure(n, reflect.ValueOf(a).Elem(), path)
}

// path is a file of the plan: relative to the plan's folder.
func (p *Plan) path(name string) string {
	if name == "" || name == "-" || filepath.IsAbs(name) || inBucket(name) || p.source == nil || p.source.dir == "" {
		return name
	}
	return filepath.Join(p.source.dir, name)
}

// inBucket reports whether a run directory is a URL like s3://bucket/run.
func inBucket(name string) bool { return strings.HasPrefix(name, "s3://") }
