package nightshift_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// may lists, for each package, what it may import of this module. Imports run
// one way: nouns at the root, leaves above them, commands on top.
var may = map[string][]string{
	"nightshift": {},
	"nightshift/providers/simulator": {"nightshift/providers/simulator/internal/answers",
		"nightshift/providers/simulator/internal/batches", "nightshift/providers/simulator/internal/inprocess",
		"nightshift/providers/simulator/internal/jsontext", "nightshift/providers/simulator/internal/ledger",
		"nightshift/providers/simulator/internal/random", "nightshift/providers/simulator/internal/ratelimit",
		"nightshift/providers/simulator/internal/requests"},
	"nightshift/providers/simulator/internal/jsontext": {},
	"nightshift/providers/simulator/internal/batches": {"nightshift/providers/simulator/internal/jsontext",
		"nightshift/providers/simulator/internal/ledger", "nightshift/providers/simulator/internal/random"},
	"nightshift/providers/simulator/internal/ledger": {"nightshift/providers/simulator/internal/random"},
	"nightshift/providers/simulator/internal/requests": {"nightshift/providers/simulator/internal/answers",
		"nightshift/providers/simulator/internal/jsontext", "nightshift/providers/simulator/internal/random"},
	"nightshift/providers/simulator/internal/answers": {"nightshift/internal/pattern",
		"nightshift/providers/simulator/internal/random"},
	"nightshift/providers/simulator/internal/inprocess": {"nightshift/internal/netx"},
	"nightshift/providers/simulator/internal/random":    {},
	"nightshift/providers/simulator/internal/ratelimit": {},
	"nightshift/providers/sse":                          {},
	"nightshift/providers/secrets":                      {"nightshift/internal/fsx"},
	"nightshift/reports/stats":                          {},
	"nightshift/internal/netx":                          {},
	"nightshift/internal/fsx":                           {},
	"nightshift/internal/heap":                          {},
	"nightshift/internal/s3":                            {},
	"nightshift/internal/pattern":                       {},
	"nightshift/internal/words":                         {},
	"nightshift/internal/rawjson":                       {},
	"nightshift/internal/attemptlog":                    {"nightshift", "nightshift/internal/rawjson"},
	"nightshift/datasets": {"nightshift", "nightshift/datasets/internal/problem",
		"nightshift/datasets/internal/rowjson", "nightshift/datasets/internal/shape",
		"nightshift/datasets/internal/source", "nightshift/internal/fsx", "nightshift/internal/words"},
	"nightshift/datasets/internal/problem": {"nightshift/internal/words"},
	"nightshift/datasets/internal/rowjson": {"nightshift/datasets/internal/problem",
		"nightshift/internal/words"},
	"nightshift/datasets/internal/huggingface": {"nightshift/internal/fsx", "nightshift/internal/netx",
		"nightshift/internal/pattern", "nightshift/internal/words"},
	"nightshift/datasets/internal/source": {"nightshift/datasets/internal/huggingface",
		"nightshift/datasets/internal/problem",
		"nightshift/datasets/internal/rowjson", "nightshift/internal/fsx", "nightshift/internal/words"},
	"nightshift/datasets/internal/shape": {"nightshift/internal/pattern",
		"nightshift", "nightshift/datasets/internal/problem",
		"nightshift/datasets/internal/rowjson", "nightshift/internal/fsx", "nightshift/internal/words"},
	"nightshift/providers/limits":   {"nightshift"},
	"nightshift/providers/batching": {"nightshift"},
	"nightshift/providers/pricing":  {"nightshift/internal/pattern", "nightshift"},
	"nightshift/reports/scorers": {"nightshift/internal/pattern", "nightshift", "nightshift/internal/fsx",
		"nightshift/internal/words", "nightshift/reports/scorers/internal/jsonvalue",
		"nightshift/reports/scorers/internal/normalize", "nightshift/reports/scorers/internal/numbers",
		"nightshift/reports/scorers/internal/search", "nightshift/reports/scorers/internal/instructions",
		"nightshift/reports/scorers/internal/algebra"},
	"nightshift/reports/scorers/internal/search":   {},
	"nightshift/reports/scorers/internal/algebra":  {"nightshift/internal/pattern"},
	"nightshift/reports/scorers/internal/language": {},
	"nightshift/reports/scorers/internal/instructions": {"nightshift/internal/pattern",
		"nightshift/reports/scorers/internal/language",
		"nightshift/reports/scorers/internal/normalize"},
	"nightshift/reports/scorers/internal/normalize": {},
	"nightshift/reports/scorers/internal/numbers": {"nightshift/internal/pattern",
		"nightshift/reports/scorers/internal/normalize"},
	"nightshift/reports/scorers/internal/jsonvalue": {"nightshift/internal/pattern",
		"nightshift/reports/scorers/internal/numbers"},
	"nightshift/runner/store/internal/disk":    {"nightshift/internal/fsx"},
	"nightshift/runner/store/internal/records": {"nightshift", "nightshift/internal/attemptlog"},
	"nightshift/runner/store/parquetfile": {"nightshift", "nightshift/runner/store/internal/disk",
		"nightshift/runner/store/internal/records", "nightshift/internal/rawjson"},
	"nightshift/runner/store/journal": {"nightshift", "nightshift/internal/fsx",
		"nightshift/runner/store/internal/disk", "nightshift/runner/store/internal/records", "nightshift/internal/rawjson"},
	"nightshift/runner/store/internal/batchlog": {"nightshift", "nightshift/runner/store/internal/disk",
		"nightshift/runner/store/internal/records", "nightshift/runner/store/journal", "nightshift/internal/rawjson"},
	"nightshift/runner/store/internal/rundir": {"nightshift", "nightshift/runner/store/internal/disk",
		"nightshift/runner/store/internal/records", "nightshift/runner/store/journal", "nightshift/runner/store/parquetfile"},
	"nightshift/runner/store/view": {"nightshift", "nightshift/runner/store/internal/batchlog",
		"nightshift/runner/store/internal/disk", "nightshift/runner/store/internal/records",
		"nightshift/runner/store/internal/rundir", "nightshift/runner/store/journal", "nightshift/runner/store/parquetfile",
		"nightshift/internal/rawjson", "nightshift/internal/words"},
	"nightshift/runner/store/bucket": {"nightshift/internal/fsx", "nightshift/internal/s3"},
	"nightshift/runner/store": {"nightshift", "nightshift/internal/fsx",
		"nightshift/runner/store/internal/batchlog", "nightshift/runner/store/internal/disk",
		"nightshift/runner/store/internal/records", "nightshift/runner/store/internal/rundir",
		"nightshift/runner/store/journal", "nightshift/runner/store/parquetfile", "nightshift/internal/words"},
	"nightshift/providers": {"nightshift/internal/pattern", "nightshift/internal/netx", "nightshift",
		"nightshift/providers/limits", "nightshift/providers/secrets", "nightshift/providers/sse"},
	"nightshift/providers/formats": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/chat", "nightshift/providers/formats/completions",
		"nightshift/providers/formats/embeddings", "nightshift/providers/formats/gemini",
		"nightshift/providers/formats/messages", "nightshift/providers/formats/responses",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/messages": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/embeddings": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/chat": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/completions": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/responses": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/gemini": {"nightshift", "nightshift/providers",
		"nightshift/providers/formats/internal/answer", "nightshift/providers/formats/internal/body",
		"nightshift/providers/formats/internal/conversation", "nightshift/internal/rawjson"},
	"nightshift/providers/formats/internal/answer": {"nightshift", "nightshift/providers",
		"nightshift/internal/rawjson"},
	"nightshift/providers/formats/internal/body": {"nightshift", "nightshift/providers",
		"nightshift/internal/rawjson"},
	"nightshift/providers/formats/internal/conversation": {"nightshift", "nightshift/internal/rawjson"},
	"nightshift/providers/wire": {"nightshift/internal/netx", "nightshift",
		"nightshift/providers", "nightshift/providers/limits", "nightshift/providers/secrets",
		"nightshift/providers/formats", "nightshift/providers/sse", "nightshift/providers/wire/plainhttp",
		"nightshift/internal/rawjson"},
	"nightshift/providers/wire/plainhttp": {"nightshift/internal/netx"},
	"nightshift/providers/batch": {"nightshift/internal/pattern",
		"nightshift", "nightshift/providers", "nightshift/providers/pricing",
		"nightshift/providers/secrets", "nightshift/providers/wire", "nightshift/internal/rawjson"},
	"nightshift/providers/internal/recordings": {}, // tests only
	"nightshift/runner/reuse":                  {"nightshift", "nightshift/runner/store/view"},
	"nightshift/runner/prefix":                 {"nightshift", "nightshift/internal/rawjson"},
	"nightshift/runner": {"nightshift", "nightshift/datasets", "nightshift/runner/prefix", "nightshift/runner/reuse",
		"nightshift/runner/store",
		"nightshift/runner/store/view", "nightshift/internal/rawjson", "nightshift/internal/attemptlog"},
	"nightshift/runner/plan": {"nightshift/internal/pattern",
		"nightshift", "nightshift/datasets", "nightshift/providers",
		"nightshift/providers/formats", "nightshift/providers/limits", "nightshift/providers/pricing",
		"nightshift/providers/secrets", "nightshift/reports/scorers", "nightshift/internal/rawjson",
		"nightshift/internal/words"},
	"nightshift/runner/cluster/protocol": {"nightshift", "nightshift/internal/netx", "nightshift/internal/rawjson",
		"nightshift/providers", "nightshift/providers/limits"},
	"nightshift/runner/cluster/join": {"nightshift/internal/fsx", "nightshift/runner/cluster/protocol"},
	"nightshift/runner/cluster/hub": {"nightshift", "nightshift/internal/attemptlog", "nightshift/internal/words",
		"nightshift/providers", "nightshift/providers/formats", "nightshift/runner/cluster/protocol"},
	"nightshift/runner/cluster/worker": {"nightshift", "nightshift/internal/fsx", "nightshift/internal/words",
		"nightshift/providers", "nightshift/providers/secrets", "nightshift/providers/wire",
		"nightshift/runner/cluster/protocol"},
	"nightshift/runner/session": {"nightshift", "nightshift/datasets", "nightshift/internal/fsx",
		"nightshift/internal/s3", "nightshift/internal/words", "nightshift/runner/store/bucket", "nightshift/providers",
		"nightshift/providers/batch",
		"nightshift/providers/batching", "nightshift/providers/formats", "nightshift/providers/limits",
		"nightshift/providers/pricing", "nightshift/providers/secrets",
		"nightshift/providers/simulator", "nightshift/providers/wire",
		"nightshift/runner", "nightshift/runner/cluster/hub", "nightshift/runner/cluster/join",
		"nightshift/runner/cluster/worker", "nightshift/runner/plan", "nightshift/runner/reuse", "nightshift/runner/store",
		"nightshift/runner/store/view", "nightshift/reports", "nightshift/reports/compare",
		"nightshift/reports/scorers", "nightshift/reports/scoring"},
	"nightshift/runner/session/estimate": {"nightshift", "nightshift/datasets", "nightshift/internal/words",
		"nightshift/providers", "nightshift/providers/formats", "nightshift/providers/limits",
		"nightshift/providers/pricing", "nightshift/providers/wire", "nightshift/runner", "nightshift/runner/plan",
		"nightshift/runner/prefix",
		"nightshift/runner/session", "nightshift/runner/store", "nightshift/runner/store/view",
		"nightshift/reports/compare", "nightshift/reports/scorers", "nightshift/reports/scoring",
		"nightshift/reports/stats", "nightshift/internal/attemptlog"},
	"nightshift/reports/scoring": {"nightshift", "nightshift/internal/fsx", "nightshift/runner/store",
		"nightshift/runner/store/view", "nightshift/reports/scorers", "nightshift/reports/stats"},
	"nightshift/reports/exchange": {"nightshift", "nightshift/internal/attemptlog", "nightshift/internal/rawjson",
		"nightshift/runner/store",
		"nightshift/runner/store/view", "nightshift/reports/scorers", "nightshift/reports/scoring"},
	"nightshift/reports/render": {"nightshift/internal/words"},
	"nightshift/reports/compare": {"nightshift/internal/pattern",
		"nightshift", "nightshift/runner/store", "nightshift/runner/store/view",
		"nightshift/reports/render", "nightshift/reports/scorers", "nightshift/reports/scoring",
		"nightshift/reports/stats", "nightshift/internal/words"},
	"nightshift/reports": {"nightshift", "nightshift/runner/store", "nightshift/runner/store/view",
		"nightshift/providers/pricing", "nightshift/reports/compare", "nightshift/reports/render",
		"nightshift/reports/scoring", "nightshift/reports/stats", "nightshift/internal/attemptlog",
		"nightshift/internal/fsx"},
	"nightshift/reports/web": {"nightshift", "nightshift/internal/attemptlog", "nightshift/internal/words",
		"nightshift/runner/store/view", "nightshift/reports", "nightshift/reports/render",
		"nightshift/reports/scoring"},
}

// homes lists which packages may import a third-party library. A library that
// is not listed has no home yet.
var homes = map[string][]string{
	"github.com/go-json-experiment/json": {"nightshift/internal/rawjson"},
	"github.com/xuri/excelize/v2":        {"nightshift/runner/store/view"},
	"github.com/parquet-go/parquet-go": {"nightshift/runner/store/parquetfile",
		"nightshift/datasets/internal/source"},
	"golang.org/x/sync": {"nightshift/runner"},
	"golang.org/x/sys":  {"nightshift/internal/fsx"},
	"golang.org/x/term": {"nightshift/cmd/nightshift"},
	"golang.org/x/text": {"nightshift/reports/scorers",
		"nightshift/reports/scorers/internal/normalize"},
	"github.com/spf13/cobra":                   {"nightshift/cmd/nightshift"},
	"github.com/spf13/pflag":                   {"nightshift/cmd/nightshift"},
	"github.com/schollz/progressbar/v3":        {"nightshift/cmd/nightshift"},
	"github.com/prometheus/client_golang":      {"nightshift/cmd/nightshift"},
	"go.yaml.in/yaml/v4":                       {"nightshift/runner/plan"},
	"github.com/invopop/jsonschema":            {"nightshift/runner/plan"},
	"github.com/santhosh-tekuri/jsonschema/v6": {"nightshift/reports/scorers", "nightshift/runner/plan"},
	"github.com/nikolalohinski/gonja/v2":       {"nightshift/datasets/internal/shape"},
	"github.com/klauspost/compress": {"nightshift/datasets/internal/source", "nightshift/runner/store/journal",
		"nightshift/runner/store/parquetfile", // of files; of streams in the journal; of pages;
		"nightshift/runner/store/bucket"},     // of what is shipped
	"gonum.org/v1/gonum":              {"nightshift/reports/stats"},
	"github.com/jedib0t/go-pretty/v6": {"nightshift/reports/render"},
	"github.com/yuin/goldmark":        {"nightshift/reports/web"},
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func TestLayers(t *testing.T) {
	for _, p := range goList(t) {
		if strings.HasPrefix(p.ImportPath, "nightshift/cmd/") || strings.HasPrefix(p.ImportPath, "nightshift/examples/") {
			continue // the top floor may import all below it
		}
		allowed, known := may[p.ImportPath]
		if !known {
			t.Errorf("package %s has no place in the layers: add it to this test and to ARCHITECTURE.md", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if ours(imp) && !slices.Contains(allowed, imp) {
				t.Errorf("%s imports %s, which its layer does not allow", p.ImportPath, imp)
			}
		}
	}
}

func TestThirdPartyHomes(t *testing.T) {
	for _, p := range goList(t) {
		for _, imp := range p.Imports {
			if ours(imp) || !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				continue
			}
			home, known := homeOf(imp)
			if !known {
				t.Errorf("%s imports %s, which has no home: list it here with its reason in ARCHITECTURE.md", p.ImportPath, imp)
			} else if !slices.Contains(home, p.ImportPath) {
				t.Errorf("%s imports %s, whose home is %v", p.ImportPath, imp, home)
			}
		}
	}
}

func homeOf(imp string) ([]string, bool) {
	for lib, home := range homes {
		if imp == lib || strings.HasPrefix(imp, lib+"/") {
			return home, true
		}
	}
	return nil, false
}

func ours(imp string) bool { return imp == "nightshift" || strings.HasPrefix(imp, "nightshift/") }

// goList returns the module's packages with the imports of their non-test files.
func goList(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Standard,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
