package rawjson_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
)

// FuzzUnmarshal compares with encoding/json for text whose names are written
// as they are meant, and once each.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`[]`, `[{}]`, `[{"n":1}]`, `[ {"n" : 1} ]`, `[{"n":1}`, `null`, `[{"n":1"status":2}]`, `[{"n":01}]`, `[{"n":+1}]`,
		`[{"n":1,"started_at":"2026-01-02T03:04:05.000006Z","duration_ms":12.5,"usage":{"input":1},"worst_tokens":3}]`,
		`[{"n":1},{"n":2,"class":"server","message":"a \"b\""}]`, `[{"duration_ms":0x1p2}]`, `[{"usage":{}}]`,
		`[{"usage":{"input":null}}]`, `[{"started_at":"0000-01-01T00:00:00Z"}]`, "[{\"route\":\"\xff\x01\"}]",
		`[{"route":"\ud800","unknown":[1,{"a":null}],"partial":"\ud83d\ude00"}]`, `[{"n":1e2}]`, `[{"n":null}]`,
		`{"record":{"row":1,"id":"x","flags":null,"raw_bytes":"AAE=","new_column":[1,{"a":"}"}]},"raw_s2":"AAAA"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := rawjson.Scan([]byte(s)); err == nil && !exactNames(v) {
			return
		}
		var log, wantLog []nightshift.Attempt
		same(t, s, &log, &wantLog)
		var line, wantLine struct {
			Record *nightshift.Record `json:"record"`
			Packed string             `json:"raw_s2"`
		}
		same(t, s, &line, &wantLine)
	})
}

func same(t *testing.T, s string, got, want any) {
	t.Helper()
	err, wantErr := rawjson.Unmarshal([]byte(s), got), json.Unmarshal([]byte(s), want)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: error %v, of encoding/json %v", s, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is read as\n%+v, by encoding/json as\n%+v", s, got, want)
	}
}

// exactNames reports whether every name is lower-case ASCII and occurs once.
func exactNames(v rawjson.Value) bool {
	seen := map[string]bool{}
	for c := v.First(); c.Exists(); c = c.Next() {
		key := c.Key()
		if v.Kind() == rawjson.Object {
			if seen[key] || strings.ContainsFunc(key, func(r rune) bool { return r > '~' || 'A' <= r && r <= 'Z' }) {
				return false
			}
			seen[key] = true
		}
		if !exactNames(c) {
			return false
		}
	}
	return true
}
