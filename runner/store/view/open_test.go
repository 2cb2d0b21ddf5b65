package view

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
)

// The rows of journals are written as they are read, and the views have each row of the run once: also when
// what was in a journal has come into a Parquet file since, and of a run that has journals alone.
func TestViewsHaveOpenRows(t *testing.T) {
	dir, _ := mixedRun(t)
	file, script := filepath.Join(t.TempDir(), "it's.parquet"), filepath.Join(t.TempDir(), "views.sql")
	all := 0
	for _, err := range Rows[nightshift.Record](dir, ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		all++
	}
	rows, err := WriteOpen(dir, file)
	if err != nil || rows == 0 || rows >= int64(all) {
		t.Fatalf("%d rows of %d: %v", rows, all, err)
	}
	text, err := SQL(dir, "", file)
	if err != nil || !strings.Contains(text, "anti join") {
		t.Fatalf("%v: %s", err, text)
	}
	if n := countedBy(t, script, text); n >= 0 && n != all {
		t.Errorf("the views have %d rows of %d", n, all)
	}
	// A row of the file that is in results as well.
	committed, err := filepath.Glob(filepath.Join(dir, "results", "*.parquet"))
	if err != nil || len(committed) == 0 {
		t.Fatal(err)
	}
	text, err = SQL(dir, "", committed[0])
	if err != nil {
		t.Fatal(err)
	}
	if n := countedBy(t, script, text); n >= 0 && n != all-int(rows) {
		t.Errorf("with rows that are there twice the views have %d rows of %d", n, all-int(rows))
	}
	for _, name := range committed {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if text, err = SQL(dir, "", file); err != nil {
		t.Fatal(err)
	}
	if n := countedBy(t, script, text); n >= 0 && n != int(rows) {
		t.Errorf("of journals alone the views have %d rows of %d", n, rows)
	}
}

// countedBy counts the answers in the views by DuckDB; -1 where there is none.
func countedBy(t *testing.T, script, text string) (n int) {
	t.Helper()
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const count = "import duckdb, sys; db = duckdb.connect(); db.execute(open(sys.argv[1]).read()); " +
		"print(db.execute('select count(*) from answers').fetchone()[0])"
	said, err := exec.Command("python3", "-c", count, script).CombinedOutput()
	if strings.Contains(string(said), "No module named 'duckdb'") || errors.Is(err, exec.ErrNotFound) {
		t.Log("needs python3 with duckdb: the views are not opened here")
		return -1
	}
	if err == nil {
		err = json.Unmarshal(said, &n)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return n
}
