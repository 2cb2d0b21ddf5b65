package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"nightshift"
	"nightshift/runner/store/view"
)

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

func utf16Text(text string) string {
	var b bytes.Buffer
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		b.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	return b.String()
}

// TestFaultyInputs types a run of every kind of faulty dataset: the exit code,
// what the message says, that nothing is sent for what is refused, and what is
// on record for rows that are.
func TestFaultyInputs(t *testing.T) {
	t.Parallel()
	const good = `{"id":"a","prompt":"What is 1 + 1?"}` + "\n"
	lines := func(rows ...string) string { return strings.Join(rows, "\n") + "\n" }
	bad := func(row string) string { return good + row + "\n" + `{"id":"z","prompt":"What is 2 + 2?"}` + "\n" }
	record := []string{"--on-bad-row", "record"}
	for _, tc := range []struct {
		no    int
		name  string
		data  string // of data.jsonl
		flags []string
		code  int
		says  string // in what is printed
		rows  string // outcomes on record, in order: o(k), i(nput_error)
	}{
		{1, "empty file", "", nil, 2, "data.jsonl", ""},
		{1, "glob that matches nothing", good, []string{"--dataset", "*.json"}, 2, "*.json", ""},
		{1, "the same file twice", good, []string{"--dataset", "data.jsonl"}, 2, "twice", ""},
		{2, "blank lines keep line numbers", "\n\n" + bad("x"), nil, 2, "data.jsonl:4: ", ""},
		{2, "blank lines", "\n\n" + good + "\n", nil, 0, "", "o"},
		{3, "mark at the start", "\ufeff" + good, nil, 0, "", "o"},
		{3, "mark elsewhere", bad("\ufeff" + `{"id":"b","prompt":"Hi"}`), record, 3, "1 of 3 rows failed", "oio"},
		{4, "CRLF and no final newline", strings.TrimSuffix(strings.ReplaceAll(bad(`{"id":"b","prompt":"Hi"}`), "\n",
			"\r\n"), "\r\n"), nil, 0, "", "ooo"},
		{4, "lone CR is no separator", `{"id":"b","prompt":"Hi"}` + "\r" + `{"id":"c","prompt":"Hi"}` + "\n", nil, 2,
			"data.jsonl:1: ", ""},
		{5, "cut last line", good + `{"id":"b","prom`, nil, 2, "cut", ""},
		{6, "line above 16 MiB", bad(`{"id":"b","prompt":"` + strings.Repeat("x", 17<<20) + `"}`), record, 3,
			"1 of 3 rows failed", "oio"},
		{7, "NUL", bad("{\"id\":\"b\",\"prompt\":\"H\x00i\"}"), record, 3, "1 of 3 rows failed", "oio"},
		{7, "UTF-16", utf16Text(good), nil, 2, "UTF-16", ""},
		{8, "invalid UTF-8", bad("{\"id\":\"b\",\"prompt\":\"H\xffi\"}"), nil, 2, "data.jsonl:2: ", ""},
		{8, "invalid UTF-8, repaired", bad("{\"id\":\"b\",\"prompt\":\"H\xffi\"}"), []string{"--repair-utf8"}, 0, "",
			"ooo"},
		{8, "lone surrogate", bad(`{"id":"b","prompt":"H\ud800i"}`), nil, 2, "data.jsonl:2: ", ""},
		{9, "double key", bad(`{"id":"b","prompt":"x","prompt":"y"}`), nil, 2, "appears twice", ""},
		{9, "NaN", bad(`{"id":"b","prompt":"x","n":NaN}`), nil, 2, "data.jsonl:2: ", ""},
		{9, "trailing text", bad(`{"id":"b","prompt":"x"} y`), nil, 2, "data.jsonl:2: ", ""},
		{10, "large numbers pass", bad(`{"id":"b","prompt":"x","big":9007199254740993,"huge":1e999}`), nil, 0, "",
			"ooo"},
		{11, "nested too deep", bad(`{"id":"b","prompt":"x","n":` + strings.Repeat("[", 100_000) + strings.Repeat("]",
			100_000) + `}`), record, 3, "1 of 3 rows failed", "oio"},
		{12, "one JSON list", "[" + strings.TrimSpace(good) + "]", nil, 0, "", "o"},
		{12, "one JSON list said to be lines", "[" + strings.TrimSpace(good) + "]", []string{"--format", "jsonl"}, 2,
			"format: auto", ""},
		{12, "scalar and list lines", bad("17\n[1]"), record, 3, "2 of 4 rows failed", "oiio"},
		{13, "double ids", good + good, nil, 2, `the id "a" again`, ""},
		{13, "double ids, allowed", good + good, []string{"--allow-duplicate-ids"}, 0, "", "oo"},
		{14, "odd ids", lines(`{"prompt":"x"}`, `{"id":1,"prompt":"x"}`, `{"id":"../../x\n\u001b[31m","prompt":"x"}`),
			nil, 0, "", "ooo"},
		{14, "an id above 1 KiB", bad(`{"id":"` + strings.Repeat("i", 1<<20) + `","prompt":"x"}`), record, 3,
			"1 of 3 rows failed", "oio"},
		{15, "no prompt", bad(`{"id":"b"}`), record, 3, "1 of 3 rows failed", "oio"},
		{15, "prompt of a wrong type", bad(`{"id":"b","prompt":{"a":1}}`), nil, 2, "data.jsonl:2: ", ""},
		{15, "unknown role", bad(`{"id":"b","prompt":[{"role":"robot","content":"x"}]}`), nil, 2, "robot", ""},
		{16, "template names what no row has", good, []string{"--prompt", "{{ promt }}"}, 2, "promt", ""},
		{16, "template names what one row lacks", lines(`{"id":"a","q":"x"}`, `{"id":"b"}`),
			append([]string{"--prompt", "{{ q }}"}, record...), 3, "1 of 2 rows failed", "oi"},
		{17, "template syntax in a field", lines(`{"id":"a","q":"{{ 7 * 7 }} {% include '/etc/passwd' %}"}`),
			[]string{"--prompt", "{{ q }}"}, 0, "", "o"},
		{18, "media outside the folder",
			lines(`{"id":"a","messages":[{"role":"user","content":[{"type":"image_url",` +
				`"image_url":{"url":"file:/etc/passwd"}}]}]}`), nil, 2, "refused", ""},
		{19, "media missing",
			lines(`{"id":"a","messages":[{"role":"user","content":[{"type":"image_url",` +
				`"image_url":{"url":"file:none.png"}}]}]}`), nil, 2, "none.png", ""},
		{20, "file URL",
			lines(`{"id":"a","messages":[{"role":"user","content":[{"type":"image_url",` +
				`"image_url":{"url":"file:///etc/passwd"}}]}]}`), nil, 2, "refused", ""},
		{21, "data URL above the cap",
			bad(`{"id":"b","messages":[{"role":"user","content":[{"type":"image_url",` +
				`"image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 18<<20) + `"}}]}]}`), record, 3,
			"1 of 3 rows failed", "oio"},
		{22, "a row sets its server", bad(`{"id":"b","prompt":"x","params":{"max_tokens":5,"base_url":"http://evil"}}`),
			nil, 2, "base_url", ""},
		{23, "max_tokens below zero", bad(`{"id":"b","prompt":"x","params":{"max_tokens":-1}}`), nil, 2, "max_tokens",
			""},
		{23, "n of a million", bad(`{"id":"b","prompt":"x","params":{"n":1000000}}`), nil, 2, "data.jsonl:2: ", ""},
		{26, "gzip in two members", gzipped(good) + gzipped(`{"id":"b","prompt":"x"}`+"\n"), nil, 0, "", "oo"},
		{26, "gzip cut", gzipped(strings.Repeat(`{"prompt":"Hello"}`+"\n", 500))[:40], nil, 2, "data.jsonl", ""},
		{26, "gzip bomb", gzipped(`{"id":"a","prompt":"` + strings.Repeat("x", 30<<20) + `"}`), nil, 2, "data.jsonl",
			""},
		{27, "formulas and escapes", lines(`{"id":"=1+1","prompt":"<script>\u001b[2J\u202e"}`), nil, 0, "", "o"},
		{30, "a folder", good, []string{"--dataset", "."}, 2, "folder", ""},
	} {
		t.Run(fmt.Sprintf("%02d %s", tc.no, tc.name), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data, out := filepath.Join(dir, "data.jsonl"), filepath.Join(dir, "out")
			if err := os.WriteFile(data, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"run", "-q", "--model", "simulator/sim-large", "--max-tokens", "50", "--out", out,
				"--dataset", data}
			for _, f := range tc.flags {
				if f == "*.json" || f == "." || f == "data.jsonl" { // a dataset beside the other
					f = filepath.Join(dir, f)
				}
				args = append(args, f)
			}
			code, printed, errs := call(t, t.Context(), args...)
			if code != tc.code || !strings.Contains(errs, tc.says) {
				t.Errorf("exit code %d, want %d; it says\n%.600s\nwant in it %q", code, tc.code, errs, tc.says)
			}
			if strings.ContainsAny(printed+errs, "\x1b\u202e") {
				t.Error("what is printed has terminal escapes of the data")
			}
			if got := outcomes(t, out); got != tc.rows {
				t.Errorf("on record: %q, want %q", got, tc.rows)
			}
		})
	}
}

// outcomes are the first letters of what is on record, in order.
func outcomes(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	var b strings.Builder
	for r, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome == nightshift.OutcomeTruncated {
			r.Outcome = nightshift.OutcomeOK
		}
		b.WriteString(string(r.Outcome[:1]))
	}
	return b.String()
}
