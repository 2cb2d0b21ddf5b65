package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const canary = "sk-canary/0+9=é\"<&7f3a"

func TestSecretNeverShows(t *testing.T) {
	s := New(canary)
	holder := struct {
		key  Secret
		red  *Redactor
		Red  *Redactor
		Key  Secret
		List []Secret
		Map  map[string]*Secret
	}{s, NewRedactor(s), NewRedactor(s), s, []Secret{s}, map[string]*Secret{"k": &s}}
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T%v", "%10s", "%p"} {
		out = append(out, fmt.Sprintf(verb, s, s), fmt.Sprintf(verb, holder, holder), fmt.Sprintf(verb, &s, &s))
	}
	asJSON, err := json.Marshal(holder.Key)
	if err != nil {
		t.Fatal(err)
	}
	asText, _ := s.MarshalText()
	asYAML, _ := s.MarshalYAML()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", s, "all", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", s, "all", holder)
	out = append(out, string(asJSON), string(asText), fmt.Sprint(asYAML), log.String(),
		fmt.Sprint(errors.New("key "+s.String())))
	r := NewRedactor(s)
	for _, text := range out {
		if strings.Contains(text, "canary") || r.Contains([]byte(text)) {
			t.Errorf("the key shows in %q", text)
		}
	}
	if s.Reveal() != canary || s.IsZero() || !(Secret{}).IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}

func TestFromEnv(t *testing.T) {
	t.Setenv("NIGHTSHIFT_TEST_KEY", " "+canary+"\n")
	s, err := FromEnv("NIGHTSHIFT_TEST_KEY")
	if err != nil || s.Reveal() != canary {
		t.Errorf("%q, %v", s.Reveal(), err)
	}
	for _, value := range []string{"", "  ", "sk-canary\r\nx-evil: 1"} {
		t.Setenv("NIGHTSHIFT_TEST_KEY", value)
		if _, err := FromEnv("NIGHTSHIFT_TEST_KEY"); err == nil ||
			!strings.Contains(err.Error(), "NIGHTSHIFT_TEST_KEY") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestFromFile(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		want          string // "" for refused
	}{
		{"plain", canary, 0o600, canary},
		{"newline", canary + "\n", 0o400, canary},
		{"crlf", canary + "\r\n", 0o600, canary},
		{"two newlines", canary + "\n\n", 0o600, ""},
		{"group may read", canary, 0o640, ""},
		{"all may read", canary, 0o604, ""},
		{"all may write", canary, 0o602, ""},
		{"empty", "", 0o600, ""},
		{"only a newline", "\n", 0o600, ""},
		{"huge", strings.Repeat("k", maxKeyFile+1), 0o600, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(dir, tc.name)
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
			s, err := FromFile(path)
			if s.Reveal() != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v", s.Reveal(), err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	for _, path := range []string{dir, filepath.Join(dir, "absent")} {
		if _, err := FromFile(path); err == nil {
			t.Errorf("%s is accepted", path)
		}
	}
}

func encoded(key string) map[string]string {
	asJSON, _ := json.Marshal(key)
	forms := map[string]string{
		"plain": key,
		"query": url.QueryEscape(key),
		"path":  url.PathEscape(key),
		"JSON":  string(asJSON[1 : len(asJSON)-1]),
	}
	for offset := range 3 {
		for name, enc := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding,
			"raw": base64.RawStdEncoding} {
			forms[fmt.Sprintf("base64 %s %d", name, offset)] = enc.EncodeToString([]byte("xyz"[:offset] + key + "tail"))
		}
	}
	forms["basic auth"] = base64.StdEncoding.EncodeToString([]byte("user:" + key))
	return forms
}

func TestRedactLiveKeys(t *testing.T) {
	r := NewRedactor(New(canary), New("another-live-key"), Secret{}, New("tiny"))
	for name, form := range encoded(canary) {
		text := "before " + form + " after, and " + form + "."
		for _, got := range []string{r.Redact(text), string(r.Live([]byte(text)))} {
			if r.Contains([]byte(got)) || strings.Contains(got, "canary") || strings.Contains(got, form) {
				t.Errorf("%s: %q", name, got)
			}
			if !strings.HasPrefix(got, "before ") || strings.Count(got, " after, and ") != 1 || !strings.HasSuffix(got, ".") {
				t.Errorf("%s: the rest changed: %q", name, got)
			}
		}
		if !r.Contains([]byte(text)) {
			t.Errorf("%s is not found", name)
		}
	}
	if got := r.Redact("tiny words stay"); got != "tiny words stay" {
		t.Errorf("%q", got)
	}
	clean := []byte("nothing to hide")
	if got := r.Live(clean); &got[0] != &clean[0] {
		t.Error("a clean text is copied")
	}
}

func TestRedactShapes(t *testing.T) {
	var r *Redactor // knows shapes only
	for text, want := range map[string]string{
		"key sk-proj-abcdefgh12345678 is wrong":                  "key sk-*** is wrong",
		"sk-ant-api03-AbCdEf0123456789_-xyz":                     "sk-***",
		"Authorization: Bearer abc.def.ghi0123":                  "Authorization: Bearer ***",
		"AIzaSyA0123456789abcdefghijklmnopqrstu":                 "AIza***",
		"xai-0123456789abcdefghij":                               "xai-***",
		"gsk_0123456789abcdefghij":                               "gsk_***",
		"x-api-key: 0123456789abcdef0123":                        "x-api-key: ***",
		"Incorrect API key provided: sk-. You can":               "Incorrect API key provided: sk-. You can",
		"a task-force risk-assessment":                           "a task-force risk-assessment",
		"the bearer of bad news":                                 "the bearer of bad news",
		"use Bearer authentication":                              "use Bearer authentication",
		"ordinary text, token counts 12345, id req_011CeCGmBjaW": "ordinary text, token counts 12345, id req_011CeCGmBjaW",
	} {
		if got := r.Redact(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestRedactURL(t *testing.T) {
	r := NewRedactor(New("live-key-0123"))
	for raw, want := range map[string]string{
		"https://user:pw@a.test:8/p/q?key=1#f": "https://a.test:8/p/q",
		"https://user@a.test":                  "https://a.test",
		"https://a.test/live-key-0123/x":       "https://a.test/***/x",
		"https://u:p@a.test/%zz?key=1":         "https://a.test/%zz",
		"not a url":                            "not%20a%20url",
	} {
		if got := r.URL(raw); got != want {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("live-key-0123456789", "before", "after")
	f.Add(canary, "\xff", "Bearer ")
	f.Add("aaaaaa", "aaa", "aaaaaaa")
	f.Fuzz(func(t *testing.T, key, before, after string) {
		if len(key) < minSecret || len(key) > 200 || strings.ContainsAny(key, "*\r\n") {
			return
		}
		r := NewRedactor(New(key))
		for name, form := range encoded(key) {
			if len(form) < minSecret {
				continue
			}
			// A name encoding/json cannot keep is no key that was sent either.
			if name == "JSON" && strings.Contains(form, `\ufffd`) {
				continue
			}
			if got := r.Live([]byte(before + form + after)); strings.Contains(string(got), key) {
				t.Fatalf("%s of %q: left in %q", name, key, got)
			}
			if got := r.Redact(before + form + after); strings.Contains(got, key) {
				t.Fatalf("%s of %q: left by Redact in %q", name, key, got)
			}
		}
	})
}

func TestFromCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	key, err := FromCommand("sh", "-c", "echo token-from-command; echo token-noise >&2")
	if err != nil || key.Reveal() != "token-from-command" {
		t.Errorf("%v, %v", key, err)
	}
	for _, argv := range [][]string{
		nil, {""}, {"sh", "-c", "echo sk-canary-in-vain; exit 3"}, {"sh", "-c", "true"},
		{"sh", "-c", "echo sk-canary; echo two"}, {"no-such-program-here"},
	} {
		if key, err := FromCommand(argv...); err == nil || strings.Contains(err.Error(), "canary-in") || !key.IsZero() {
			t.Errorf("%q: %v, %v", argv, key, err)
		}
	}
}
