// Package answertest holds what the tests of several wire formats share.
package answertest

import (
	"encoding/json"
	"slices"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// Decode reads a whole answer.
func Decode(f interface {
	Decode(*nightshift.Response, rawjson.Value) *nightshift.Error
}, body []byte) (resp nightshift.Response, e *nightshift.Error) {
	doc := rawjson.Borrow()
	defer doc.Return()
	root, err := doc.Scan(body)
	if err != nil {
		return resp, answer.Unreadable(err)
	}
	e = f.Decode(&resp, root)
	return resp, e
}

// CheckSane sees that an answer is one that can be written down, whatever it was
// read from.
func CheckSane(t *testing.T, r nightshift.Response, err *nightshift.Error) {
	t.Helper()
	u := r.Usage
	for _, c := range []nightshift.Count{u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h, u.Output, u.Reasoning,
		u.Searches} {
		if c.N() < 0 {
			t.Fatalf("negative count in %+v", u)
		}
	}
	if u.Output.Known() && u.Reasoning.N() > u.Output.N() {
		t.Fatalf("more reasoning than output: %+v", u)
	}
	if r.UsageRaw != nil && !json.Valid(r.UsageRaw) {
		t.Fatalf("UsageRaw is not JSON: %s", r.UsageRaw)
	}
	if _, e := json.Marshal(r); e != nil {
		t.Fatalf("the response cannot be written down: %v", e)
	}
	seen := slices.Clone(r.Flags)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(r.Flags) {
		t.Fatalf("a flag twice: %v", r.Flags)
	}
	if err != nil && err.Class == "" {
		t.Fatalf("an error without a class: %+v", err)
	}
}
