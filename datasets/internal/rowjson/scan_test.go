package rowjson

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
)

// FuzzRowAfterRow: a row is read alike whatever row came before it.
func FuzzRowAfterRow(f *testing.F) {
	for _, s := range [][2]string{
		{`{"a":1,"b":"x"}`, `{"a":[2,{"a":3,"b":4}],"b":"y"}`}, {`{"a":1}`, `{"a":1,"a":2}`}, {`{"a":1}`, `{"a":01}`},
		{`{"a":1}`, `{"a":}`},
		{`{"a":1}`, `{"a":1} `}, {`{"a":1} `, `{"a":1}{`}, {`{"a":{"b":1}}`, `{"a":{"b":1,"b":2}}`},
		{`{"a":1}`, `{"a":"`}, {`{"a":1}`, `{"a":1`},
		{` {"\u0061" : 1}`, ` {"\u0061" : tru}`}, {`{"a":1,"b":2}`, `{"b":1,"a":2}`}, {`{"a":1}`, `{}`},
		{`{"a":1,"b":2}`, `{"a":1}`}, {`[1]`, `{"a":1}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, before, b []byte) {
		var fresh, used Scanner
		want := fresh.object(b)
		used.object(before)
		for range 2 {
			got := used.object(b)
			if got != want || used.at != fresh.at || used.what != fresh.what || used.hint != fresh.hint {
				t.Fatalf("%q after %q: %v %d %q, want %v %d %q", b, before, got, used.at, used.what, want, fresh.at,
					fresh.what)
			}
			if want && !slices.Equal(used.fields, fresh.fields) {
				t.Fatalf("%q after %q: %+v, want %+v", b, before, used.fields, fresh.fields)
			}
		}
	})
}

// FuzzRow: what the scanner accepts, the standard library accepts too, and
// both read the same fields; what the library refuses, so does the scanner.
func FuzzRow(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":[{"b":null},"\ud83d\ude00",-0.1e+5]}`, `{"\u0061":1,"a":2}`,
		`{"a":"\ud800"}`, `[1]`, `{"a":tru}`,
		"{\"a\":\"\x80\"}", `{"a":"x` + "\n" +
			`"}`, `{"a":01}`, `{"a":1}{`, ` {"a" : "b\\" } `, `{"a":"\\\"","b":{"c":"}"}}`, `{"a":"12345678é\\"}`} {
		f.Add([]byte(s))
	}
	var s Scanner
	f.Fuzz(func(t *testing.T, b []byte) {
		accepted := s.object(b)
		if !accepted {
			if s.what == "" {
				t.Fatalf("%q is refused without a reason", b)
			}
			return
		}
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q is accepted, but %v", b, err)
		}
		r := Row{b, slices.Clone(s.fields)}
		if len(r.Fields) != len(want) {
			t.Fatalf("%q: %d fields, want %d", b, len(r.Fields), len(want))
		}
		for name, raw := range want {
			v := r.Get(name)
			if string(v.Raw) != string(raw) {
				t.Fatalf("%q: %q is %s, want %s", b, name, v.Raw, raw)
			}
			var text string
			if v.Kind == String && (json.Unmarshal(raw, &text) != nil || v.Text() != text) {
				t.Fatalf("%q: %q says %q, want %q", b, name, v.Text(), text)
			}
			checkNested(t, v)
		}
		if b := repaired(b); !s.object(b) {
			t.Fatalf("repairing breaks %q", b)
		}
	})
}

// checkNested walks a value with our own iterators and with the library.
func checkNested(t *testing.T, v Value) {
	switch v.Kind {
	case Array:
		var want []json.RawMessage
		if err := json.Unmarshal(v.Raw, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, e := range Elements(v.Raw) {
			if n++; i >= len(want) || string(e.Raw) != string(want[i]) {
				t.Fatalf("%s: element %d is %s", v.Raw, i, e.Raw)
			}
			checkNested(t, e)
		}
		if n != len(want) {
			t.Fatalf("%s: %d elements, want %d", v.Raw, n, len(want))
		}
	case Object:
		var want map[string]json.RawMessage
		if err := json.Unmarshal(v.Raw, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		for key, e := range Members(v.Raw) {
			if n++; string(e.Raw) != string(want[string(Unescape(key))]) {
				t.Fatalf("%s: %s is %s", v.Raw, key, e.Raw)
			}
			checkNested(t, e)
		}
		if n != len(want) {
			t.Fatalf("%s: %d members, want %d", v.Raw, n, len(want))
		}
	}
}

// An object of very many keys costs no square of them, and its twins are found.
func TestManyKeys(t *testing.T) {
	raw := []byte{'{'}
	const n = 50_000
	for i := range n {
		raw = append(append(raw, '"', 'k'), strconv.Itoa(i)...)
		raw = append(raw, `":1,`...)
	}
	var s Scanner
	good := append(append([]byte{}, raw...), `"last":1}`...)
	if !s.object(good) || len(s.fields) != n+1 {
		t.Error(s.what)
	}
	if s.object(append(raw, `"\u006b77":1}`...)) {
		t.Error("a double key among many is not found")
	}
}
