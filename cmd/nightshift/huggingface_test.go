package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nightshift/datasets/testdata/hubtest"
	"nightshift/runner/store/view"
)

type gsm struct {
	Question string `parquet:"question"`
	Answer   string `parquet:"answer"`
}

func parquetBytes(t *testing.T, rows ...gsm) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A dataset of the hub is run by its name: its rows are those of the revision
// that was the newest at the first start, also at the second, and the token is
// nowhere in the run directory.
func TestHuggingFaceDataset(t *testing.T) {
	hub := hubtest.New(t)
	hub.Token = "hf_very_secret_token"
	revision := hub.Commit("a", map[string][]byte{
		"0000.parquet": parquetBytes(t, gsm{"1+1?", "2"}, gsm{"1+2?", "3"}),
		"0001.parquet": parquetBytes(t, gsm{"2+2?", "4"})})
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_TOKEN", hub.Token)
	out := filepath.Join(t.TempDir(), "run")
	start := func(args ...string) (code int, text string) {
		var stdout, stderr bytes.Buffer
		code = run(context.Background(), append([]string{args[0], "--dataset", "hf://o/n:test", "--model",
			"simulator/sim-large", "--max-tokens", "40", "--out", out}, args[1:]...), nil, &stdout, &stderr, os.LookupEnv)
		return code, stdout.String() + stderr.String()
	}
	if code, text := start("check"); code != exitOK || !strings.Contains(text, "3 selected of 3") {
		t.Fatalf("check: %d\n%s", code, text)
	}
	hub.Commit("b", map[string][]byte{"0000.parquet": parquetBytes(t, gsm{"another?", "0"})})
	code, text := start("run", "--limit", "2")
	if code != exitOK {
		t.Fatalf("run: %d\n%s", code, text)
	}
	hub.Take()
	if code, text := start("run", "--limit", "2"); code != exitOK || !strings.Contains(text, "2 of 2") {
		t.Errorf("second start: %d\n%s", code, text)
	}
	if asked := hub.Take(); len(asked) > 0 {
		t.Errorf("the second start asked the hub for %v", asked)
	}
	var targets []string
	for r, err := range view.Rows[struct {
		Target string `parquet:"target,optional"`
	}](out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, r.Target)
	}
	if strings.Join(targets, " ") != "2 3" {
		t.Errorf("targets %v", targets)
	}
	info, err := view.ReadInfo(out)
	var as struct{ Source struct{ Downloaded []string } }
	if err != nil || json.Unmarshal(info.Plan, &as) != nil || len(as.Source.Downloaded) != 2 ||
		as.Source.Downloaded[1] != "hf://o/n/main:test@"+revision+"/0001.parquet" {
		t.Errorf("run.json says it read %v (%v)", as.Source.Downloaded, err)
	}
	if len(hub.Leaked) > 0 {
		t.Errorf("another host was sent %v", hub.Leaked)
	}
	_ = filepath.WalkDir(out, func(path string, d os.DirEntry, _ error) error {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(hub.Token)) {
			t.Errorf("%s holds the token", path)
		}
		return nil
	})
}
