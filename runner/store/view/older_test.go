package view

import (
	"bytes"
	"nightshift"
	"os"
	"path/filepath"
	"testing"

	"nightshift/runner/store"
	"nightshift/runner/store/internal/testdata/storetest"

	"nightshift/runner/store/internal/rundir"

	"github.com/parquet-go/parquet-go"
)

// TestExportOlderFiles: a file that an older version wrote, without a column,
// is exported. testdata/older.parquet is such a file.
func TestExportOlderFiles(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, identity(1, 1, 4, 1), store.Options{})
	fillShard(t, r, "m0", 0)
	storetest.Must(t, r.Close("finished"))
	b, err := os.ReadFile(filepath.Join("testdata", "older.parquet"))
	storetest.Must(t, err)
	storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet"), b, 0o600))
	var out bytes.Buffer
	if n, err := Export(dir, &out, FormatParquet, ExportOptions{}); n != 4 || err != nil {
		t.Errorf("export: %d rows, %v", n, err)
	}
	got, err := parquet.Read[nightshift.Record](bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || len(got) != 4 || got[3].Text == nil || *got[3].Text != "answer to 3.0" {
		t.Errorf("read back %+v, %v", got, err)
	}
}
