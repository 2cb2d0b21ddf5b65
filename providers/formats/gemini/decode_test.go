package gemini

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

func decode(t *testing.T, body string) (nightshift.Response, *nightshift.Error) {
	t.Helper()
	root, err := rawjson.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if !(Format{}).Recognise(root) {
		t.Errorf("%s is not recognised", body)
	}
	var r nightshift.Response
	e := Format{}.Decode(&r, root)
	return r, e
}

// An answer that says why it ended, whatever it lacks, is one.
func TestStopReasons(t *testing.T) {
	const text, call = `{"parts":[{"text":"x"}]}`, `{"parts":[{"functionCall":{"name":"f","args":{}}}]}`
	for _, tc := range []struct {
		reason, content string
		want            nightshift.StopReason
	}{
		{`"STOP"`, text, nightshift.StopEnd}, {`1`, text, nightshift.StopEnd}, {`"STOP"`, call, nightshift.StopToolUse},
		{`1`, call, nightshift.StopToolUse},
		{`"STOP"`, `{}`, nightshift.StopEnd}, {`"STOP"`, `{"parts":[]}`, nightshift.StopEnd},
		{`"STOP"`, `null`, nightshift.StopEnd},
		{`"MAX_TOKENS"`, text, nightshift.StopMaxTokens}, {`2`, `{}`, nightshift.StopMaxTokens},
		{`"MAX_TOKENS"`, call, nightshift.StopMaxTokens},
		{`"SAFETY"`, `{}`, nightshift.StopContentFilter}, {`3`, `{}`, nightshift.StopContentFilter},
		{`"RECITATION"`, text, nightshift.StopContentFilter}, {`4`, `{}`, nightshift.StopContentFilter},
		{`"BLOCKLIST"`, `{}`, nightshift.StopContentFilter},
		{`"PROHIBITED_CONTENT"`, `{}`, nightshift.StopContentFilter}, {`"SPII"`, `{}`, nightshift.StopContentFilter},
		{`"MODEL_ARMOR"`, `{}`, nightshift.StopContentFilter}, {`"IMAGE_SAFETY"`, `{}`, nightshift.StopContentFilter},
		{`"IMAGE_PROHIBITED_CONTENT"`, `{}`, nightshift.StopContentFilter},
		{`"IMAGE_RECITATION"`, `{}`, nightshift.StopContentFilter},
		{`"LANGUAGE"`, `{}`, nightshift.StopOther}, {`"OTHER"`, `{}`, nightshift.StopOther},
		{`5`, `{}`, nightshift.StopOther}, {`"NO_IMAGE"`, `{}`, nightshift.StopOther},
		{`"MALFORMED_FUNCTION_CALL"`, `{}`, nightshift.StopOther},
		{`"UNEXPECTED_TOOL_CALL"`, call, nightshift.StopOther}, {`"TOO_MANY_TOOL_CALLS"`, `{}`, nightshift.StopOther},
		{`17`, `{}`, nightshift.StopOther}, {`"NEWER_THAN_THIS"`, text, nightshift.StopOther},
	} {
		body := `{"candidates":[{"content":` + tc.content + `,"finishReason":` + tc.reason + `}],"usageMetadata":{` +
			`"promptTokenCount":5,"totalTokenCount":5}}`
		r, e := decode(t, body)
		if e != nil || r.StopReason != tc.want || r.RawStopReason != strings.Trim(tc.reason, `"`) {
			t.Errorf("%s with %s: %q (%q), %v, want %q", tc.reason, tc.content, r.StopReason, r.RawStopReason, e, tc.want)
		}
		if tc.content == `{}` && tc.want == nightshift.StopEnd && !slices.Contains(r.Flags, answer.FlagEmpty) {
			t.Errorf("%s without a word is not flagged: %v", tc.reason, r.Flags)
		}
		unknown := tc.want == nightshift.StopOther
		if slices.Contains(r.Flags, answer.FlagStopUnknown) != unknown {
			t.Errorf("%s: %v", tc.reason, r.Flags)
		}
	}
}

func TestBlockedPrompts(t *testing.T) {
	for _, body := range []string{
		`{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}`,
		`{"candidates":[],"promptFeedback":{"blockReason":"JAILBREAK"}}`,
		`{"promptFeedback":{"blockReason":4}}`,
		`{"response":{"promptFeedback":{"blockReason":"OTHER"}}}`,
	} {
		r, e := decode(t, body)
		if e != nil || r.StopReason != nightshift.StopContentFilter || r.RawStopReason == "" || r.Text != nil {
			t.Errorf("%s: %q (%q), %v", body, r.StopReason, r.RawStopReason, e)
		}
	}
}

func TestNoAnswers(t *testing.T) {
	for body, class := range map[string]nightshift.ErrorClass{
		`{"candidates":[]}`: nightshift.ClassEmptyResponse,
		`{"candidates":[{"content":{"parts":[{"text":""}]}}],"usageMetadata":{"promptTokenCount":3,` +
			`"totalTokenCount":3}}`: nightshift.ClassEmptyResponse,
		`{"candidates":[{"finishReason":"STOP"}]}`:                                        nightshift.ClassEmptyResponse,
		`{"candidates":[{"finishReason":"OTHER","finishMessage":"An internal error."}]}`:  nightshift.ClassServer,
		`{"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3},"modelVersion":"m"}`: nightshift.ClassEmptyResponse,
	} {
		if _, e := decode(t, body); e == nil || e.Class != class || !e.MaybeBilled {
			t.Errorf("%s: %v, want %s", body, e, class)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		name, usage string
		want        nightshift.Usage
		flag        string
	}{
		{"all parts",
			`{"promptTokenCount":100,"cachedContentTokenCount":40,"toolUsePromptTokenCount":7,` +
				`"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":115}`,
			nightshift.Usage{Input: nightshift.Tokens(67), CacheRead: nightshift.Tokens(40),
				Output: nightshift.Tokens(8), Reasoning: nightshift.Tokens(3)}, ""},
		{"no candidates counted", `{"promptTokenCount":10,"thoughtsTokenCount":3,"totalTokenCount":20}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(10), Reasoning: nightshift.Tokens(3)}, ""},
		{"thoughts inside the candidates",
			`{"promptTokenCount":10,"candidatesTokenCount":9,"thoughtsTokenCount":3,"totalTokenCount":19}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(9),
				Reasoning: nightshift.Tokens(3)}, answer.FlagUsageOdd},
		{"no total", `{"promptTokenCount":10,"candidatesTokenCount":9}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(9)}, ""},
		{"a total that is too small", `{"promptTokenCount":10,"candidatesTokenCount":9,"totalTokenCount":4}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(9)}, answer.FlagUsageOdd},
		{"cached beside the prompt",
			`{"promptTokenCount":10,"cachedContentTokenCount":90,"candidatesTokenCount":1,"totalTokenCount":11}`,
			nightshift.Usage{Input: nightshift.Tokens(10), CacheRead: nightshift.Tokens(90),
				Output: nightshift.Tokens(1)}, answer.FlagCacheExcluded},
		{"audio and pictures",
			`{"promptTokenCount":10,"candidatesTokenCount":9,"totalTokenCount":19,` +
				`"promptTokensDetails":[{"modality":"TEXT","tokenCount":2},{"modality":"AUDIO","tokenCount":8}],` +
				`"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":9}],"serviceTier":"STANDARD"}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(9),
				AudioInput: nightshift.Tokens(8), ImageOutput: nightshift.Tokens(9), ServiceTier: "standard"}, ""},
		{"numbers for words",
			`{"promptTokenCount":10,"candidatesTokenCount":9,"totalTokenCount":19,` +
				`"promptTokensDetails":[{"modality":1,"tokenCount":10}],"trafficType":1}`,
			nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(9)}, ""},
		{"provisioned",
			`{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2,"trafficType":"PROVISIONED_THROUGHPUT"}`,
			nightshift.Usage{Input: nightshift.Tokens(1), Output: nightshift.Tokens(1), ServiceTier: "provisioned"}, ""},
		{"no counts that can be", `{"promptTokenCount":-1,"candidatesTokenCount":1e12}`, nightshift.Usage{},
			"usage_invalid"},
	} {
		r, e := decode(t,
			`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":`+tc.usage+`}`)
		if e != nil || r.Usage != tc.want {
			t.Errorf("%s: %+v, %v, want %+v", tc.name, r.Usage, e, tc.want)
		}
		if tc.flag != "" && !slices.Contains(r.Flags, tc.flag) {
			t.Errorf("%s: flags %v, want %s", tc.name, r.Flags, tc.flag)
		}
	}
}

func TestSearches(t *testing.T) {
	for model, want := range map[string]int64{"gemini-2.5-flash": 1, "models/gemini-3-pro-preview": 2,
		"gemini-flash-latest": 1} {
		r, _ := decode(t,
			`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP",`+
				`"groundingMetadata":{"webSearchQueries":["a","b"]}}],"modelVersion":"`+model+`","usageMetadata":{`+
				`"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}`)
		if r.Usage.Searches.N() != want {
			t.Errorf("%s: %v searches, want %d", model, r.Usage.Searches, want)
		}
	}
}

func feed(s answer.Stream, events ...string) (nightshift.Response, *nightshift.Error) {
	for _, ev := range events {
		if _, err := s.Event([]byte(ev)); err != nil {
			break
		}
	}
	return s.End()
}

func TestStream(t *testing.T) {
	const (
		one = `{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":3,` +
			`"totalTokenCount":4},"modelVersion":"m","responseId":"r"}`
		two = `{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],` +
			`"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}}`
		empty = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}`
		fault = `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`
		block = `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":3,` +
			`"totalTokenCount":3}}`
	)
	for _, tc := range []struct {
		name   string
		events []string
		text   string
		stop   nightshift.StopReason
		class  nightshift.ErrorClass
		output int64
	}{
		{"two pieces", []string{one, two}, "ab", nightshift.StopEnd, "", 2},
		{"an end before the words", []string{empty, one}, "a", nightshift.StopEnd, "", 1},
		{"an end on every piece", []string{two, two}, "bb", nightshift.StopEnd, "", 2},
		{"[DONE]", []string{one, two, "[DONE]"}, "ab", nightshift.StopEnd, "", 2},
		{"[DONE] without an end", []string{one, "[DONE]"}, "a", "", nightshift.ClassCut, 1},
		{"no end", []string{one}, "a", "", nightshift.ClassCut, 1},
		{"nothing", nil, "", "", nightshift.ClassEmptyResponse, 0},
		{"half an event", []string{one, `{"candidates":[{"cont`}, "a", "", nightshift.ClassCut, 1},
		{"an error", []string{one, fault}, "a", "", nightshift.ClassOverloaded, 1},
		{"an error after an end", []string{two, fault}, "b", nightshift.StopEnd, nightshift.ClassOverloaded, 2},
		{"an error in a list", []string{one, "[" + fault + "]"}, "a", "", nightshift.ClassOverloaded, 1},
		{"blocked", []string{block}, "", nightshift.StopContentFilter, "", 0},
		{"blocked in the end", []string{one, block}, "a", nightshift.StopContentFilter, "", 0},
		{"wrapped", []string{`{"response":` + one + `}`, `{"response":` + two + `}`}, "ab", nightshift.StopEnd, "", 2},
		{"a reason that is none yet",
			[]string{`{"candidates":[{"content":{"parts":[{"text":"a"}]},` +
				`"finishReason":"FINISH_REASON_UNSPECIFIED"}]}`}, "a", "", nightshift.ClassCut, 0},
	} {
		r, e := feed(Format{}.NewStream(answer.StreamOptions{}), tc.events...)
		text := ""
		if r.Text != nil {
			text = *r.Text
		}
		var class nightshift.ErrorClass
		if e != nil {
			class = e.Class
		}
		if text != tc.text || r.StopReason != tc.stop || class != tc.class || r.Usage.Output.N() != tc.output {
			t.Errorf("%s: %q, %q, %v, %v tokens", tc.name, text, r.StopReason, e, r.Usage.Output)
		}
	}
}

func TestArgumentsInPieces(t *testing.T) {
	var n node
	for _, piece := range []string{
		`{"jsonPath":"$.place.names[0]","stringValue":"Bos"}`, `{"jsonPath":"$.place.names[0]","stringValue":"ton"}`,
		`{"jsonPath":"$.place.names[1]","stringValue":"x\""}`,
		`{"jsonPath":"$['n.m']","numberValue":2.50}`, `{"jsonPath":"$.ok","boolValue":true}`,
		`{"jsonPath":"$.none","nullValue":"NULL_VALUE"}`,
		`{"jsonPath":"$.far[9999999]","stringValue":"x"}`,
		`{"jsonPath":"$` + strings.Repeat(".a", 100) + `","stringValue":"x"}`, `{"jsonPath":"$.b[","stringValue":"x"}`,
	} {
		v, err := rawjson.Scan([]byte(piece))
		if err != nil {
			t.Fatal(err)
		}
		n.put(v)
	}
	got := string(n.append(nil))
	if want := `{"place":{"names":["Boston","x\""]},"n.m":2.50,"ok":true,"none":null,"far":{},"b":"x"}`; got != want ||
		!json.Valid([]byte(got)) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"},{"functionCall":{"name":"f","args":{}}}]},` +
		`"finishReason":1,"index":-3}],"usageMetadata":{"promptTokenCount":1}}`))
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0].b",` +
		`"stringValue":"x"}],"willContinue":true}}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := rawjson.Scan(data)
		if err != nil {
			return
		}
		var r nightshift.Response
		e := Format{}.Decode(&r, root)
		if e == nil && r.StopReason == "" {
			t.Fatalf("%s: an answer without an end", data)
		}
		for _, c := range r.ToolCalls {
			if !json.Valid([]byte(c.Arguments)) && !slices.Contains(r.Flags, answer.FlagToolArguments) {
				t.Fatalf("%s: arguments %q", data, c.Arguments)
			}
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n" +
		"{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"totalTokenCount\":3}}")
	f.Add("[DONE]\n{}")
	f.Fuzz(func(t *testing.T, text string) {
		s := Format{}.NewStream(answer.StreamOptions{})
		r, e := feed(s, strings.Split(text, "\n")...)
		if e == nil && r.RawStopReason == "" {
			t.Fatalf("%q: an answer without an end", text)
		}
	})
}
