package providers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A table of measured figures is logged row by row. Where NIGHTSHIFT_MEASURED
// names a folder it is written there too, as a page of the documentation.
type table struct {
	file, title, about string
	head               string // cells, separated by " | "
	rows               strings.Builder
}

func (m *table) add(t *testing.T, cells ...string) {
	t.Helper()
	row := "| " + strings.Join(cells, " | ") + " |"
	t.Log(row)
	m.rows.WriteString(row + "\n")
}

func (m *table) write(t *testing.T) {
	t.Helper()
	folder := os.Getenv("NIGHTSHIFT_MEASURED")
	if folder == "" || t.Failed() {
		return
	}
	columns := strings.Count(m.head, " | ") + 1
	page := fmt.Sprintf("# %s\n\n`make measured-rates` writes this file. [docs/rate-control.md](../rate-control.md)"+
		" explains the figures.\n\n%s\n\n| %s |\n%s\n%s",
		m.title, m.about, m.head, strings.Repeat("|---", columns)+"|", m.rows.String())
	if err := os.WriteFile(filepath.Join(folder, m.file), []byte(page), 0o644); err != nil {
		t.Error(err)
	}
}
