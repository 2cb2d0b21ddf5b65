package web_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshift/reports/internal/testdata/demo"
)

var update = flag.Bool("update", false, "write golden files anew")

// whenPattern is what differs between two starts of the same run.
var whenPattern = regexp.MustCompile(`<td title="[^"]*">[^<]*</td>`)

// TestGoldenPages compares the pages with those on record. With -update they
// are written anew: look at them in a browser then.
func TestGoldenPages(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	folder := t.TempDir()
	for name, d := range map[string]demo.Run{"one": {Rows: 12, Models: []string{"m", "n<i>"}},
		"deep/two": {Rows: 9, Models: []string{"m"}, Open: true}} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d.Write(t), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	v := viewer(t, folder)
	for name, path := range map[string]string{"runs": "?sort=name", "run": "run/one?sort=-cost.2&part=rows",
		"row":   "row/one?row=7",
		"wrong": "run/one?show=wrong&part=rows", "markdown": "row/one?row=5&markdown=1",
		"both": "run/one?with=deep%2Ftwo&part=rows", "status": "status/deep/two"} {
		page := whenPattern.ReplaceAllString(strings.ReplaceAll(body(t, v, path), folder, "/runs"), "<td>when</td>")
		file := filepath.Join("testdata", "golden", name+".html")
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if page != string(want) {
			at := 0
			for at < min(len(page), len(want)) && page[at] == want[at] {
				at++
			}
			t.Errorf("%s differs from byte %d on:\n got …%.300s\nwant …%.300s", name, at, page[max(0, at-60):],
				want[max(0, min(at, len(want))-60):])
		}
	}
}
