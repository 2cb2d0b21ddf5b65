package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"nightshift"
	"nightshift/providers/pricing"
)

var update = flag.Bool("update", false, "write schema.json anew")

// generate makes the schema from the structs, their tags and their comments.
func generate(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", ExpandedStruct: true, RequiredFromJSONSchemaTags: true, Anonymous: true,
		Mapper: mapped, CommentMap: comments(t),
	}
	s := r.Reflect(&Plan{})
	s.ID = ""
	s.Title = "nightshift plan"
	s.Description = "What to ask, of whom, at what price and within which limits."
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {Description: "Ignored: a place for anchors."}}
	scorer, auth := s.Definitions["Scorer"], s.Definitions["Auth"]
	scorer.AdditionalProperties = nil
	s.Definitions["Scorer"] = &jsonschema.Schema{Description: scorer.Description,
		OneOf: []*jsonschema.Schema{{Type: "string"}, scorer}}
	s.Definitions["Auth"] = &jsonschema.Schema{Description: auth.Description,
		OneOf: []*jsonschema.Schema{{Type: "string",
			Enum: []any{"none", "bearer", "x-api-key", "x-goog-api-key", "raw"}}, auth}}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// mapped gives the types that read themselves their schemas.
func mapped(t reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	number := &jsonschema.Schema{Type: "number", Minimum: json.Number("0")}
	switch t {
	case reflect.TypeFor[Strings]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string",
			Pattern: `^[0-9.]+\s*(ns|us|µs|ms|s|m|h)([0-9.]+\s*(ns|us|µs|ms|s|m|h))*$`}, number}}
	case reflect.TypeFor[Tolerance](), reflect.TypeFor[USD](), reflect.TypeFor[Size](), reflect.TypeFor[Span](),
		reflect.TypeFor[Window](), reflect.TypeFor[Poll](), reflect.TypeFor[Multiplier]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, number}}
	case reflect.TypeFor[pricing.Rate](), reflect.TypeFor[pricing.Factor]():
		return number
	case reflect.TypeFor[Params](), reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[nightshift.Protocol]():
		for _, p := range nightshift.Protocols() {
			text.Enum = append(text.Enum, string(p))
		}
		return text
	}
	return nil
}

// comments are the doc comments of the package's types and fields, by the
// names that the reflector looks them up by.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "plan.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return true
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		name := "nightshift/runner/plan." + spec.Name.Name
		found[name] = prose(decl.Doc)
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				if f.Names == nil { // embedded
					continue
				}
				found[name+"."+f.Names[0].Name] = prose(f.Doc)
			}
		}
		return false
	})
	return found
}

func prose(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

func TestSchemaIsCurrent(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Error("schema.json is not what the structs say: go test ./runner/plan -run TestSchemaIsCurrent -update")
	}
}

// Every field of every struct of a plan is in the schema, with a description.
func TestSchemaHasEveryField(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(generate(t), &root); err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != "nightshift/runner/plan" || seen[typ] ||
			typ == reflect.TypeFor[Tolerance]() || typ == reflect.TypeFor[Poll]() ||
			typ == reflect.TypeFor[Multiplier]() {
			return
		}
		seen[typ] = true
		properties := propertiesOf(root, typ.Name())
		fields, _ := fieldsOf(typ)
		for _, f := range fields {
			p, _ := properties[f.name].(map[string]any)
			if p == nil {
				t.Errorf("%s.%s is not in the schema", typ.Name(), f.name)
			} else if p["description"] == nil {
				t.Errorf("%s.%s has no description", typ.Name(), f.name)
			}
			walk(typ.FieldByIndex(f.index).Type)
		}
		if len(properties) != len(fields) {
			t.Errorf("%s: %d properties in the schema, %d fields", typ.Name(), len(properties), len(fields))
		}
	}
	walk(reflect.TypeFor[Plan]())
	if len(seen) < 12 {
		t.Errorf("only %d structs were looked at", len(seen))
	}
}

func propertiesOf(root map[string]any, name string) map[string]any {
	s := root
	if name != "Plan" {
		s, _ = root["$defs"].(map[string]any)[name].(map[string]any)
	}
	if s == nil {
		return nil
	}
	if alternatives, ok := s["oneOf"].([]any); ok {
		s = alternatives[1].(map[string]any)
	}
	p, _ := s["properties"].(map[string]any)
	return p
}

// validate checks a plan text against the schema.
func validate(t *testing.T, text []byte) error {
	t.Helper()
	d := &decoder{report: report{source: newSource("plan.yaml", text)}}
	root := d.document(text)
	if root == nil {
		t.Fatal(d.err())
	}
	b, ok := d.toJSON(root, "")
	if !ok {
		t.Fatal(d.err())
	}
	value, err := validator.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("plan.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(value)
}

// plans lists the plan files of the repository.
func plans(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(found) == 0 || len(own) == 0 {
		t.Fatal("no plans found", err)
	}
	return append(found, own...)
}

func TestPlansMatchTheSchema(t *testing.T) {
	for _, path := range plans(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, b); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if !bytes.HasPrefix(b, []byte("# yaml-language-server: $schema=")) {
			t.Errorf("%s: its first line does not name the schema", path)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for _, text := range []string{
		"datset: {path: x}", "epochs: many", "epochs: 0", "raw: al", "models: []", "models: [{endpoint: a}]",
		"endpoints: {a: {protocol: grpc}}", "endpoints: {a: {auth: {scheme: basic}}}", "retry: {max_stall: soon}",
		"scorers: [{name: x}]", "models: [{endpoint: a, model: b, price: {input: 3}}]",
	} {
		if err := validate(t, []byte(text)); err == nil {
			t.Errorf("the schema accepts %q", text)
		}
	}
	if err := validate(t, []byte("x-defaults: {a: 1}\nscorers: [exact, {type: number, style: last}]\ndataset: "+
		"{path: [a, b]}")); err != nil {
		t.Error(err)
	}
}
