package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nightshift/providers/simulator"
)

// A token that a command prints is printed anew when the server no longer takes
// the old one, and neither is in the run directory.
func TestTokenOfACommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs cat")
	}
	const old, fresh = "ya29.a0-old-token-0001", "ya29.a0-new-token-0002"
	w := &workspace{dir: t.TempDir()}
	w.write(t, "token", old+"\n")
	s := simulator.New(simulator.Config{Keys: []string{old, fresh}})
	var asked atomic.Int64
	var once sync.Once
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 20 && r.Header.Get("Authorization") == "Bearer "+old {
			once.Do(func() {
				w.write(t, "next", fresh+"\n")
				if err := os.Rename(filepath.Join(w.dir, "next"), filepath.Join(w.dir, "token")); err != nil {
					t.Error(err)
				}
			})
			rw.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(rw, `{"error":{"code":401,"message":"the token %s has expired","status":"UNAUTHENTICATED"}}`, old)
			return
		}
		s.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { web.Close(); s.Close() })
	w.write(t, "rows.jsonl", strings.Repeat(`{"prompt": "What now?"}`+"\n", 100))
	w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: g, endpoint: vertex, model: gemini-sim}]
endpoints:
  vertex:
    protocol: gemini
    base_url: "%s/v1/projects/p/locations/l"
    auth: {scheme: bearer, command: [cat, %q]}
    limits: {concurrency: 4}
out: out
`, web.URL, filepath.Join(w.dir, "token")))
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"run", "-q", filepath.Join(w.dir, "plan.yaml")}, nil, &out, &errs,
		os.LookupEnv); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	shown := out.String() + errs.String()
	err := filepath.WalkDir(filepath.Join(w.dir, "out"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			shown += string(text)
		}
		return err
	})
	if err != nil || strings.Contains(shown, "old-token") || strings.Contains(shown, "new-token") {
		t.Errorf("%v; a token is shown", err)
	}
	if n := s.Ledger().Delivered; n != 100 {
		t.Errorf("%d answers", n)
	}
}
