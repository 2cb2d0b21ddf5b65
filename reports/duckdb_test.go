//go:build unix

package reports_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"nightshift/reports"
	"nightshift/reports/internal/testdata/demo"
)

// TestCostAgainstDuckDB bills three million rows and lets DuckDB do the same
// sums over the same files: the columns, and the attempts of rows of which the
// columns do not say all. It compares processor time, which other programs on
// the machine disturb less.
func TestCostAgainstDuckDB(t *testing.T) {
	if !long() {
		t.Skip("three million rows: set NIGHTSHIFT_LONG=1")
	}
	if exec.Command("python3", "-c", "import duckdb").Run() != nil {
		t.Skip("needs python3 with duckdb")
	}
	part := filepath.Join(demo.Run{Rows: 20_000, Models: []string{"m"}, Text: 400}.Write(t), "results", "m-000000.parquet")
	dir := t.TempDir()
	var files []string
	for i := range 150 {
		name := filepath.Join(dir, fmt.Sprintf("%03d.parquet", i))
		if err := os.Link(part, name); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	before := processorTime(syscall.RUSAGE_SELF)
	bill, err := reports.Cost(files, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ours := processorTime(syscall.RUSAGE_SELF) - before
	before = processorTime(syscall.RUSAGE_CHILDREN)
	out, err := exec.Command("python3", "-c", duckdbSums, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	theirs := processorTime(syscall.RUSAGE_CHILDREN) - before
	t.Logf("%d rows: %.1f s, DuckDB %.1f s, ratio %.1f", bill.Total.Rows, ours, theirs, ours/theirs)
	if want := fmt.Sprint(bill.Total.CostNanoUSD, " ", bill.Total.Attempts, "\n"); string(out) != want {
		t.Errorf("we say %s, DuckDB %s", want, out)
	}
}

func processorTime(who int) float64 {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

const duckdbSums = `
import duckdb, sys
c = duckdb.connect(); c.execute("set threads = 2")
files = sys.argv[1] + "/*.parquet"
even = c.execute("""select sum(cost_nano_usd), count(*), sum(input_tokens - coalesce(cache_read_tokens, 0)),
 sum(cache_read_tokens), sum(cache_write_5m_tokens),
 sum(cache_write_1h_tokens), sum(output_tokens), sum(reasoning_tokens) from read_parquet(?)
 where attempts = 1 and cost_nano_usd is not null and not maybe_billed group by model""", [files]).fetchall()
odd = c.execute("""with a as (select model, unnest(from_json(attempt_log,
 '[{"class":"VARCHAR","cost_nano_usd":"BIGINT","maybe_billed":"BOOLEAN","worst_cost_nano_usd":"BIGINT",
 "usage":{"input":"BIGINT","cache_read":"BIGINT","output":"BIGINT","reasoning":"BIGINT"}}]')) x
 from read_parquet(?) where attempts <> 1 or cost_nano_usd is null or maybe_billed)
 select sum(x.cost_nano_usd), count(*), sum(x.usage.input), sum(x.usage.output), sum(x.worst_cost_nano_usd)
 from a group by model""", [files]).fetchall()
print(sum(r[0] or 0 for r in even + odd), sum(r[1] for r in even + odd))
`
