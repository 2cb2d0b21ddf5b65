package answer

import (
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
)

func TestStop(t *testing.T) {
	for word, want := range map[string]nightshift.StopReason{
		"": "", "end_turn": nightshift.StopEnd, "STOP": nightshift.StopEnd, "Length": nightshift.StopMaxTokens,
		"tool_calls": nightshift.StopToolUse,
		"SAFETY":     nightshift.StopContentFilter, "guardrail_intervened": nightshift.StopContentFilter,
		"IMAGE_SAFETY": nightshift.StopContentFilter,
		"blocked":      nightshift.StopContentFilter, "content_moderation": nightshift.StopContentFilter,
		"refusal": nightshift.StopRefusal, "lunch": nightshift.StopOther, "error": nightshift.StopOther,
	} {
		if got := Stop(word); got != want {
			t.Errorf("Stop(%q) = %q, want %q", word, got, want)
		}
	}
	if BrokenOff("stop") != nil || BrokenOff("") != nil || BrokenOff("Error") == nil ||
		!BrokenOff("network_error").MaybeBilled {
		t.Error("BrokenOff tells broken answers from whole ones wrongly")
	}
}

func TestText(t *testing.T) {
	var x Text
	if x.Pointer() != nil || x.Set() {
		t.Error("a text that never came is present")
	}
	x.Add("")
	if p := x.Pointer(); p == nil || *p != "" {
		t.Error("an empty text is not the same as none")
	}
	for _, s := range []string{"a", "", "b", "c"} {
		x.Add(s)
	}
	if x.String() != "abc" || x.Len() != 3 {
		t.Errorf("%q, %d", x.String(), x.Len())
	}
}

func TestCost(t *testing.T) {
	for _, tc := range []struct {
		json  string
		scale float64
		want  int64 // -1 for none
	}{
		{"0.000123", 1, 123_000}, {"0", 1, 0}, {"739000", 1e-10, 73_900}, {"-1", 1, -1}, {"1e999", 1, -1},
		{"NaN", 1, -1}, {`"1"`, 1, -1}, {"null", 1, -1}, {"1e9", 1, -1},
	} {
		v, err := rawjson.Scan([]byte(tc.json))
		if err != nil {
			t.Fatal(err)
		}
		got := dollars(v, tc.scale)
		if got == nil && tc.want != -1 || got != nil && int64(*got) != tc.want {
			t.Errorf("dollars(%s, %v) = %v, want %d", tc.json, tc.scale, got, tc.want)
		}
	}
}

func TestSplitThink(t *testing.T) {
	for _, tc := range []struct {
		text           string
		cutOff         bool
		thinking, rest string
		found          bool
	}{
		{"<think>a</think>b", false, "a", "b", true},
		{" \n<think>\na\n</think>\n\nb\n", false, "a", "b\n", true},
		{"<think></think>b", false, "", "b", true},
		{"<think>a", true, "a", "", true},
		{"<think>a", false, "", "<think>a", false},
		{"x<think>a</think>", false, "", "x<think>a</think>", false},
	} {
		thinking, rest, found := splitThink(tc.text, tc.cutOff)
		if thinking != tc.thinking || rest != tc.rest || found != tc.found {
			t.Errorf("SplitThink(%q, %v) = %q, %q, %v", tc.text, tc.cutOff, thinking, rest, found)
		}
	}
}
