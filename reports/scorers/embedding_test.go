package scorers

import (
	"math"
	"reflect"
	"testing"

	"nightshift"
)

func TestCosine(t *testing.T) {
	for _, tc := range []struct {
		a, b []float32
		want float64
		fits bool
	}{
		{[]float32{1, 0}, []float32{2, 0}, 1, true},
		{[]float32{1, 0}, []float32{0, 3}, 0, true},
		{[]float32{1, 2}, []float32{-1, -2}, -1, true},
		{[]float32{3, 4}, []float32{4, 3}, 0.96, true},
		{[]float32{1e30, 1e30}, []float32{1e30, 1e30}, 1, true},
		{[]float32{1}, []float32{1, 2}, 0, false},
		{[]float32{0, 0}, []float32{1, 2}, 0, false},
	} {
		got, err := Cosine(tc.a, tc.b)
		if (err == nil) != tc.fits || tc.fits && math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%v, %v: %v, %v; want %v", tc.a, tc.b, got, err, tc.want)
		}
	}
}

func TestEmbedder(t *testing.T) {
	build := func(params map[string]any) *Embedder {
		e, err := NewEmbedder(Spec{Type: "embedding", Params: params})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	plain, field := build(nil), build(map[string]any{"field": "gold"})
	for _, tc := range []struct {
		name    string
		e       *Embedder
		a       Answer
		target  *Target
		targets []string
		status  nightshift.ScoreStatus
	}{
		{"a target", plain, Answer{Text: "a"}, OneTarget("b"), []string{"b"}, ""},
		{"a list", plain, Answer{Text: "a"}, &Target{Texts: []string{"b", "c"}}, []string{"b", "c"}, ""},
		{"no target", plain, Answer{Text: "a"}, nil, nil, nightshift.Unscored},
		{"a blank target", plain, Answer{Text: "a"}, OneTarget(" \n"), nil, nightshift.Unscored},
		{"no answer", plain, Answer{Text: " "}, OneTarget("b"), nil, nightshift.NoAnswer},
		{"a field", field, Answer{Text: "a", Metadata: `{"gold":"g"}`}, OneTarget("b"), []string{"g"}, ""},
		{"a field with a list", field, Answer{Text: "a", Metadata: `{"gold":["g","h"]}`}, nil, []string{"g", "h"}, ""},
		{"a field that is missing", field, Answer{Text: "a", Metadata: `{"x":1}`}, OneTarget("b"), nil,
			nightshift.Unscored},
		{"a field that is no text", field, Answer{Text: "a", Metadata: `{"gold":{}}`}, nil, nil, nightshift.Unscored},
	} {
		text, targets, why := tc.e.Texts(tc.a, tc.target)
		if why != nil && why.Status != tc.status || why == nil && (tc.status != "" || text != tc.a.Text) ||
			!reflect.DeepEqual(targets, tc.targets) {
			t.Errorf("%s: %q %q %+v", tc.name, text, targets, why)
		}
	}
	up, down, side := []float32{0, 1}, []float32{0, -1}, []float32{1, 1}
	if r := plain.Score(up, [][]float32{down, side}); math.Abs(*r.Value-math.Sqrt(0.5)) > 1e-7 ||
		*r.Explanation != "cosine 0.7071" {
		t.Errorf("%+v", r)
	}
	if r := plain.Score(up, [][]float32{down}); *r.Value != 0 || *r.Explanation != "cosine -1.0000" {
		t.Errorf("below 0: %+v", r)
	}
	if r := plain.Score(up, [][]float32{{1}}); r.Status != nightshift.Unscored {
		t.Errorf("lengths: %+v", r)
	}
	least := build(map[string]any{"threshold": 0.7})
	if r := least.Score(up, [][]float32{side}); *r.Value != 1 {
		t.Errorf("at the threshold: %+v", r)
	}
	if _, err := NewEmbedder(Spec{Type: "embedding", Params: map[string]any{"threshold": 7}}); err == nil {
		t.Error("a threshold of 7 is taken")
	}
}
