package nightshift_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unusedNames lists the exported names that no other package of the module
// uses, each with the reason why it stays exported. There are at most 40.
var unusedNames = map[string]string{
	// Values that stand beside others of their kind, which are used.
	"providers.AuthXAPI": oneOf + "ways to send a key",
	"providers/formats/internal/answer.FlagStopUnknown":   oneOf + "flags of an answer",
	"providers/formats/internal/answer.FlagToolArguments": oneOf + "flags of an answer",
	"runner/plan.ThenFail":                                oneOf + "answers to what a batch leaves",
	"providers/simulator.ChargeMax":                       oneOf + "ways to charge output tokens",
	"providers/simulator/internal/ratelimit.Input":        oneOf + "dimensions of a limit",
	"providers/simulator/internal/ratelimit.Output":       oneOf + "dimensions of a limit",
	"runner/store/view.FormatCSV":                         oneOf + "formats of Export",
	"runner/store/view.FormatJSONL":                       oneOf + "formats of Export",
	"runner/store/view.FormatParquet":                     oneOf + "formats of Export",
	"runner/store/view.FormatXLSX":                        oneOf + "formats of Export",

	// What programs that use the packages as a library need.
	"providers/pricing.ParseFactor":   library + "prices that do not come from a plan",
	"providers/pricing.ParseRate":     library + "prices that do not come from a plan",
	"providers/pricing.Read":          library + "a price table in memory",
	"providers/secrets.New":           library + "a key that does not come from the environment",
	"providers/wire.DefaultMaxBody":   library + "what 0 means in Config",
	"providers/wire.DefaultMaxLine":   library + "what 0 means in Config",
	"internal/s3.ErrNoKeys":           library + "errors.Is tells a machine without credentials",
	"internal/s3.Error":               library + "errors.As tells how a store refused",
	"runner/store/bucket.UnfitError":  library + "errors.As tells a store that ignores conditions",
	"reports/scoring.UnreadableError": library + "errors.As tells a judge that gives no verdicts",
	"runner/plan.Parse":               library + "a plan in memory",

	// What the simulator's users read or set.
	"providers/simulator.FaultKinds": library + "the names that Config.Faults may hold",
	"providers/simulator.UsageModes": library + "the names that Config.Usage may hold",

	// What tests of other packages compare with.
	"providers/formats.TextsFormat":                 tests + "which formats are tried with texts",
	"providers/formats/internal/conversation.Of":    tests + "who owns a message",
	"providers/simulator.Embed":                     tests + "vectors arrive as they were made",
	"providers/simulator/internal/answers.Read":     tests + "answers without a file",
	"reports/scorers.Cosine":                        tests + "scores of vectors",
	"internal/s3.Parse":                             tests + "addresses of buckets",
	"runner/store/bucket.Probe":                     tests + "stores that ignore conditions",
	"runner/store/internal/rundir.ParseJournalName": tests + damaged,
	"runner/store/internal/records.Repaired":        tests + "records as they are kept",
	"runner/store/journal.CheckLine":                tests + damaged,
	"runner/store/journal.ScannedLine":              tests + damaged,
	"runner/store/view.VerifyOn":                    tests + damaged,
}

// Reasons.
const (
	oneOf   = "one of the "
	library = "for programs that import the package: "
	tests   = "for tests of other packages: "
	damaged = "damaged run directories are read"
)

// TestExportedNamesAreUsed checks that a name is exported because another
// package needs it. A package needs what it names, and what the names that it
// uses are made of: the types of parameters, results, fields and methods, and
// the values and other names of such a type.
func TestExportedNamesAreUsed(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_CI") == "" {
		t.Skip("runs in the gate, on Linux: set NIGHTSHIFT_CI=1")
	}
	m := loadModule(t)
	needed := m.needed()
	gone := maps.Clone(unusedNames)
	for _, o := range m.exported() {
		reason := unusedNames[nameOf(o)]
		delete(gone, nameOf(o))
		switch {
		case needed[o] && reason != "":
			t.Errorf("%s is used by another package: delete it from unusedNames", nameOf(o))
		case !needed[o] && reason == "":
			t.Errorf("no other package uses %s (%s): write it in lower case, or add it to unusedNames with a reason",
				nameOf(o), m.files.Position(o.Pos()))
		}
	}
	if len(gone) > 0 || len(unusedNames) > 40 {
		t.Errorf("unusedNames holds %d names, at most 40 are allowed; there is none such as %v",
			len(unusedNames), slices.Sorted(maps.Keys(gone)))
	}
}

// module is every package of the module, checked by go/types without its tests.
type module struct {
	files    *token.FileSet
	packages map[string]*types.Package
	uses     map[*types.Package]map[types.Object]bool // what a package names
	others   types.Importer
}

type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
}

// loadModule type-checks the packages in the order of their imports. Packages
// of others are read as the compiler wrote them.
func loadModule(t *testing.T) *module {
	t.Helper()
	m := &module{files: token.NewFileSet(), packages: map[string]*types.Package{},
		uses: map[*types.Package]map[types.Object]bool{}}
	var mine []listedPackage
	imports := map[string]bool{}
	for _, p := range listPackages(t, "-deps", "-json=ImportPath,Dir,GoFiles,Imports", "./...") {
		if ours(p.ImportPath) {
			mine = append(mine, p)
			for _, path := range p.Imports {
				imports[path] = !ours(path) && path != "unsafe"
			}
		}
	}
	maps.DeleteFunc(imports, func(_ string, other bool) bool { return !other })
	export := map[string]string{}
	for _, p := range listPackages(t, slices.Concat([]string{"-deps", "-export", "-json=ImportPath,Export"},
		slices.Sorted(maps.Keys(imports)))...) {
		export[p.ImportPath] = p.Export
	}
	m.others = importer.ForCompiler(m.files, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(export[path])
	})
	for _, p := range mine {
		if err := m.check(p); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func listPackages(t *testing.T, args ...string) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listedPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// Import serves the packages checked so far, and those of others.
func (m *module) Import(path string) (*types.Package, error) {
	if p := m.packages[path]; p != nil {
		return p, nil
	}
	return m.others.Import(path)
}

func (m *module) check(p listedPackage) error {
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(m.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checked, err := (&types.Config{Importer: m}).Check(p.ImportPath, m.files, files, info)
	if err != nil {
		return err
	}
	m.packages[p.ImportPath] = checked
	m.uses[checked] = map[types.Object]bool{}
	for _, o := range info.Uses {
		m.uses[checked][o] = true
	}
	return nil
}

// exported returns the exported names of package level, in order.
func (m *module) exported() []types.Object {
	var all []types.Object
	for _, path := range slices.Sorted(maps.Keys(m.packages)) {
		p := m.packages[path]
		for _, name := range p.Scope().Names() {
			if o := p.Scope().Lookup(name); o.Exported() && p.Name() != "main" {
				all = append(all, o)
			}
		}
	}
	return all
}

// needed returns the names that other packages need.
func (m *module) needed() map[types.Object]bool {
	r := reach{needed: map[types.Object]bool{}, seen: map[types.Type]bool{}}
	for p, used := range m.uses {
		for o := range used {
			if o.Pkg() != nil && o.Pkg() != p {
				r.object(o)
			}
		}
	}
	for _, o := range m.exported() {
		if t, named := types.Unalias(o.Type()).(*types.Named); named && r.needed[t.Obj()] {
			r.needed[o] = r.needed[o] || valueOrAlias(o)
		}
	}
	return r.needed
}

func valueOrAlias(o types.Object) bool {
	_, value := o.(*types.Const)
	name, _ := o.(*types.TypeName)
	return value || name != nil && name.IsAlias()
}

// reach collects the names that a used name is made of.
type reach struct {
	needed map[types.Object]bool
	seen   map[types.Type]bool
}

func (r *reach) object(o types.Object) {
	r.needed[o] = true
	r.visit(o.Type())
}

func (r *reach) visit(t types.Type) {
	if t == nil || r.seen[t] {
		return
	}
	r.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		r.named(t)
	case *types.Alias:
		r.needed[t.Obj()] = true
		r.visit(t.Rhs())
	case *types.Struct:
		for f := range t.Fields() {
			r.member(f)
		}
	case *types.Interface:
		for f := range t.Methods() {
			r.member(f)
		}
	case *types.Signature:
		for v := range t.Params().Variables() {
			r.visit(v.Type())
		}
		for v := range t.Results().Variables() {
			r.visit(v.Type())
		}
	case *types.Map:
		r.visit(t.Key())
		r.visit(t.Elem())
	case interface{ Elem() types.Type }:
		r.visit(t.Elem())
	}
}

func (r *reach) named(t *types.Named) {
	r.needed[t.Obj()] = true
	for i := range t.TypeArgs().Len() {
		r.visit(t.TypeArgs().At(i))
	}
	if t.Obj().Pkg() == nil || !ours(t.Obj().Pkg().Path()) {
		return
	}
	r.visit(t.Underlying())
	for f := range t.Methods() {
		r.member(f)
	}
}

func (r *reach) member(o types.Object) {
	if v, field := o.(*types.Var); o.Exported() || field && v.Embedded() {
		r.visit(o.Type())
	}
}

func nameOf(o types.Object) string {
	return strings.TrimPrefix(o.Pkg().Path(), "nightshift/") + "." + o.Name()
}
