package sse

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func elements(text string, one bool) (all []string, err error) {
	var from io.Reader = strings.NewReader(text)
	if one {
		from = iotest.OneByteReader(from)
	}
	for r := NewArrayReader(from, 0); ; {
		ev, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, string(ev.Data))
	}
}

func TestArrayReader(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		err      error
	}{
		{"[]", "", io.EOF},
		{"[{}\n]", "{}", io.EOF},
		{"[{\n \"a\": 1}\n,\r\n{\"b\": [2]}\n]", "{\n \"a\": 1}|{\"b\": [2]}", io.EOF},
		{`[{"a":"}]\"{"},{"b":"\\"}]`, `{"a":"}]\"{"}|{"b":"\\"}`, io.EOF},
		{`[{"a":1},{"b":`, `{"a":1}`, io.ErrUnexpectedEOF},
		{`[{"a":1},`, `{"a":1}`, io.ErrUnexpectedEOF},
		{`[{"a":1}`, `{"a":1}`, io.ErrUnexpectedEOF},
		{`[1,[2],{"a":1}] rest`, `[2]|{"a":1}`, io.EOF},
		{"", "", io.ErrUnexpectedEOF},
	} {
		for _, one := range []bool{false, true} {
			got, err := elements(tc.in, one)
			if strings.Join(got, "|") != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s: %q, %v, want %q, %v", tc.in, got, err, tc.want, tc.err)
			}
		}
	}
	if _, err := NewArrayReader(strings.NewReader(`[{"a":"`+strings.Repeat("x", 100)+`"}]`), 50).Next(); !errors.Is(err,
		ErrLineTooLong) {
		t.Errorf("a long element: %v", err)
	}
}

func FuzzArrayReader(f *testing.F) {
	f.Add(`[{"a":1},{"b":"}"}]`)
	f.Add(`[[[`)
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := elements(text, false)
		bytewise, again := elements(text, true)
		if strings.Join(whole, "|") != strings.Join(bytewise, "|") || err != again {
			t.Fatalf("%q: %q, %v; byte by byte %q, %v", text, whole, err, bytewise, again)
		}
	})
}
