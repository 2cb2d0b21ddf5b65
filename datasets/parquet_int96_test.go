package datasets_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"nightshift/datasets"
)

// TestInt96 reads the timestamps that Spark, Hive and Impala write, and times
// of the day.
func TestInt96(t *testing.T) {
	type record struct {
		Prompt string           `parquet:"prompt"`
		At     deprecated.Int96 `parquet:"at"`
		Old    deprecated.Int96 `parquet:"old"`
	}
	const nanos = uint64(3*3600+4*60+5)*1e9 + 123_456_000
	at := deprecated.Int96{uint32(nanos & 0xffffffff), uint32(nanos >> 32), 2_460_312} // 2024-01-02
	path := filepath.Join(t.TempDir(), "d.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := parquet.Write(f, []record{{"p", at, deprecated.Int96{0, 0, 2_440_587}}}); err != nil {
		t.Fatal(err)
	}
	o := run(t, datasets.Spec{Paths: []string{path}, Prompt: "{{ at }} {{ old }}"})
	if o.err != nil || len(o.samples) != 1 {
		t.Fatal(o.err)
	}
	if got, want := o.samples[0].Messages[0].Text, "2024-01-02T03:04:05.123456Z 1969-12-31T00:00:00Z"; got != want {
		t.Errorf("the prompt says %q, want %q", got, want)
	}
}
