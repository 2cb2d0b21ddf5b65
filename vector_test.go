package nightshift_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"nightshift"
)

func TestVectorJSON(t *testing.T) {
	for text, want := range map[string]nightshift.Vector{
		`[0.5,-1]`: {0.5, -1}, `"AAAAPwAAgL8="`: {0.5, -1}, `""`: {}, `[]`: {}, `null`: nil,
	} {
		var got nightshift.Vector
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`"AAA="`, `"!"`, `7`, `["a"]`} {
		if err := json.Unmarshal([]byte(text), new(nightshift.Vector)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
	if b, err := json.Marshal(nightshift.Vector{0.1, -3}); err != nil || string(b) != `"zczMPQAAQMA="` {
		t.Errorf("%s, %v", b, err)
	}
	if (nightshift.Vector{1, float32(math.NaN())}).Finite() || !(nightshift.Vector{1}).Finite() {
		t.Error("Finite")
	}
}
