package huggingface

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/datasets/testdata/hubtest"
)

func TestParseName(t *testing.T) {
	for text, want := range map[string]Name{
		"hf://openai/gsm8k/main:test": {Owner: "openai", Dataset: "gsm8k", Config: "main", Split: "test"},
		"hf://o/n:train":              {Owner: "o", Dataset: "n", Split: "train"},
		"hf://o/n:train@" + strings.Repeat("0a", 20): {Owner: "o", Dataset: "n", Split: "train",
			Revision: strings.Repeat("0a", 20)},
	} {
		if n, err := ParseName(text); err != nil || n != want || n.String() != text {
			t.Errorf("%s: %+v, %v", text, n, err)
		}
	}
	for _, text := range []string{"hf://", "hf://o:test", "hf://o/n", "hf://o/n/c/d:test", "hf://o/../c:test", "hf://o/n:",
		"hf://o/n:te/st", "hf://o/n:test@main", "hf://o/.n:test", `hf://o/n\m:test`} {
		if n, err := ParseName(text); err == nil {
			t.Errorf("%s is taken for %+v", text, n)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("hf://openai/gsm8k/main:test")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseName(text)
		if err != nil {
			return
		}
		for _, p := range []string{n.Owner, n.Dataset, n.Config, n.Split, n.Revision} {
			if strings.ContainsAny(p, `/\:`) || strings.HasPrefix(p, ".") {
				t.Errorf("%q has the part %q", text, p)
			}
		}
	})
}

func hubOf(t *testing.T, s *hubtest.Hub, token string) *Hub {
	t.Helper()
	h, err := NewHub(func(name string) string { return map[string]string{"HF_ENDPOINT": s.URL, "HF_TOKEN": token}[name] })
	if err != nil {
		t.Fatal(err)
	}
	h.pause = func(int) time.Duration { return 0 }
	return h
}

func place(t *testing.T) Place {
	dir := t.TempDir()
	return Place{Dir: filepath.Join(dir, "files"), Pins: filepath.Join(dir, "pins.json"), Notice: func(string) {}}
}

func twoFiles(letter string) map[string][]byte {
	return map[string][]byte{"0000.parquet": bytes.Repeat([]byte(letter), 100_000),
		"0001.parquet": []byte("second " + letter)}
}

// Files come once, in order, by a connection that breaks all the time; every byte
// is asked for once, and the token goes to the hub alone.
func TestFetch(t *testing.T) {
	s := hubtest.New(t)
	s.Token, s.Cut = "hf_secret", 30_000
	files := twoFiles("x")
	revision := s.Commit("a", files)
	name, p := Name{Owner: "o", Dataset: "n", Split: "test"}, place(t)
	paths, full, err := hubOf(t, s, s.Token).Fetch(context.Background(), name, p)
	if err != nil {
		t.Fatal(err)
	}
	if full.String() != "hf://o/n/main:test@"+revision || len(paths) != 2 {
		t.Errorf("%s, %v", full, paths)
	}
	for i, path := range paths {
		b, err := os.ReadFile(path)
		if want := files[[]string{"0000.parquet", "0001.parquet"}[i]]; err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s has %d bytes, want %d (%v)", path, len(b), len(want), err)
		}
	}
	asked := s.Take()
	file := "/" + revision + "/main/test/0000.parquet "
	for _, part := range []string{"", "bytes=30000-", "bytes=60000-", "bytes=90000-"} {
		if !slices.Contains(asked, file+part) {
			t.Errorf("%s%s was not asked for: %v", file, part, asked)
		}
	}
	if len(s.Leaked) > 0 {
		t.Errorf("the other host was sent %v", s.Leaked)
	}
	// A second start asks nobody, although the dataset has moved on.
	s.Commit("b", twoFiles("y"))
	again, _, err := hubOf(t, s, "").Fetch(context.Background(), name, p)
	if asked := s.Take(); err != nil || !slices.Equal(again, paths) || len(asked) > 0 {
		t.Errorf("%v, %v, asked %v", again, err, asked)
	}
	// Where a file is gone, it comes back in the same revision.
	if err := errors.Join(os.Remove(paths[0])); err != nil {
		t.Fatal(err)
	}
	s.Cut = 0
	if _, _, err := hubOf(t, s, s.Token).Fetch(context.Background(), name, p); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(paths[0]); err != nil || !bytes.Equal(b, files["0000.parquet"]) {
		t.Errorf("the file did not come back: %v", err)
	}
	if asked := s.Take(); slices.Contains(asked, "/"+revision+"/main/test/0001.parquet ") {
		t.Errorf("what was there was asked for: %v", asked)
	}
	// Another run has the newest.
	_, full, err = hubOf(t, s, s.Token).Fetch(context.Background(), name, place(t))
	if err != nil || full.Revision != strings.Repeat("b", 40) {
		t.Errorf("%s, %v", full, err)
	}
}

// A process that was killed has left a part of a file.
func TestFetchGoesOn(t *testing.T) {
	s := hubtest.New(t)
	files := twoFiles("x")
	revision := s.Commit("a", files)
	p := place(t)
	folder := filepath.Join(p.Dir, "o--n", revision, "main", "test")
	if err := errors.Join(os.MkdirAll(folder, 0o700),
		os.WriteFile(filepath.Join(folder, "0000.parquet.partial"), files["0000.parquet"][:70_000], 0o600)); err != nil {
		t.Fatal(err)
	}
	name := Name{Owner: "o", Dataset: "n", Split: "test"}
	if _, _, err := hubOf(t, s, "").Fetch(context.Background(), name, p); err != nil {
		t.Fatal(err)
	}
	if asked := s.Take(); !slices.Contains(asked, "/"+revision+"/main/test/0000.parquet bytes=70000-") {
		t.Errorf("asked %v", asked)
	}
}

func TestFetchErrors(t *testing.T) {
	for _, c := range []struct {
		what  string
		name  string
		tune  func(*hubtest.Hub)
		token string
		want  []string
	}{
		{"no such dataset", "hf://o/other:test", nil, "", []string{"404", "o/other", "no such dataset"}},
		{"no such config", "hf://o/n/side:test", nil, "", []string{`no config "side"; name one of main: hf://o/n/main:test`}},
		{"no such split", "hf://o/n:train", nil, "", []string{`no split "train"; name one of test: hf://o/n/main:test`}},
		{"no token", "hf://o/n:test", func(h *hubtest.Hub) { h.Token = "hf_secret" }, "",
			[]string{"401", "accept its terms", "export HF_TOKEN="}},
		{"nobody there", "hf://o/n:test", func(h *hubtest.Hub) { h.URL = "http://127.0.0.1:1" }, "",
			[]string{"refused; check the network", "HTTPS_PROXY", "HF_ENDPOINT"}},
		{"wrong token", "hf://o/n:test", func(h *hubtest.Hub) { h.Token = "hf_secret" }, "hf_wrong",
			[]string{"401", "HF_TOKEN does not open it"}},
		{"no such revision", "hf://o/n:test@" + strings.Repeat("c", 40), nil, "", []string{"no files at its revision"}},
		{"spoilt", "hf://o/n:test", func(h *hubtest.Hub) { h.Spoilt = true }, "", []string{"SHA-256", "try again"}},
		{"breaks at once", "hf://o/n:test", func(h *hubtest.Hub) { h.Cut = 0; h.CDN = "http://127.0.0.1:1" }, "",
			[]string{"0000.parquet", "connect"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := hubtest.New(t)
			s.Commit("a", twoFiles("x"))
			if c.tune != nil {
				c.tune(s)
			}
			name, err := ParseName(c.name)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = hubOf(t, s, c.token).Fetch(t.Context(), name, place(t))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			for _, secret := range []string{"hf_secret", "hf_wrong", "signature"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %s", err, secret)
				}
			}
		})
	}
}

func TestNewHub(t *testing.T) {
	env := map[string]string{"HF_ENDPOINT": "http://hub.example", "HF_TOKEN": "hf_secret"}
	_, err := NewHub(func(name string) string { return env[name] })
	if err == nil || strings.Contains(err.Error(), "hf_") {
		t.Errorf("a token goes in the clear: %v", err)
	}
	if h, err := NewHub(func(string) string { return "" }); err != nil || h.at("api") != "https://huggingface.co/api" {
		t.Errorf("%v", err)
	}
}
