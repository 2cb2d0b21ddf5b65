package rawjson

import (
	"bytes"
	"testing"
)

// FuzzAppendString compares with encoding/json without HTML escaping.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\\n\r\t\b\f", "é😀\u2028\u2029\uFFFD", "\xff\xc3", "<a&b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendString(nil, s)
		if !bytes.Equal(bytes.ReplaceAll(got, []byte("\uFFFD"), []byte(`\ufffd`)),
			bytes.ReplaceAll(want, []byte("\uFFFD"), []byte(`\ufffd`))) {
			t.Fatalf("AppendString(%q) = %s, want %s", s, got, want)
		}
	})
}
