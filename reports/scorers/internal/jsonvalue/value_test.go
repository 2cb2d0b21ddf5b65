package jsonvalue

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJSON holds the reader to encoding/json, and what is equal to itself.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.0,null,true]}`, `{"a":1,"a":1e0}`, `"x"`, `[[[`, "```json\n{}\n```",
		`{"\u0000":-0.0}`, `1e99999999999`, `[1e400, "<>&\u2028"]`,
		` [ -0.5e+3 , "é\n\"\ud83d\ude00" , {} , [] ] `, `01`, `-`, `1.`, `1e`, `"\`, `"\u12"`, "\"\xff\"", "\"\n\"",
		`{"a":1,}`, `[1 2]`, `{} {}`, `nul`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := Parse(a)
		if (err == nil) != json.Valid([]byte(a)) && strings.TrimSpace(a) == a {
			t.Errorf("parseJSON(%q) = %v, encoding/json says %v", a, err, json.Valid([]byte(a)))
		}
		plain, ok := parsePlain(a)
		if decoded, err := decodeJSON(strings.TrimSpace(a)); ok && (err != nil || !reflect.DeepEqual(plain, decoded)) {
			t.Errorf("%q is %#v, encoding/json says %#v, %v", a, plain, decoded, err)
		} else if json.Valid([]byte(a)) && !ok && utf8.ValidString(a) &&
			strings.Count(a, "[")+strings.Count(a, "{") < plainDepth {
			t.Errorf("%q is left to encoding/json", a)
		}
		if err == nil {
			again, err := Parse(Canonical(v))
			if err != nil || !(Equality{}).Equal(v, again) || Canonical(again) != Canonical(v) {
				t.Errorf("canonical(%q) = %q", a, Canonical(v))
			}
		}
		w, err := Parse(b)
		e := Equality{}
		if err == nil && e.Equal(v, w) != e.Equal(w, v) {
			t.Errorf("%q and %q: equality has a direction", a, b)
		}
	})
}
