package providertest

import (
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// contents are rows 21 to 28: whole answers that say odd things. All of them
// are on record.
func contents() []Fault {
	body := func(edit func(c Case) string) func(*Exchange) {
		return func(x *Exchange) { x.GoodBody(edit(x.Case)) }
	}
	replace := func(old, with string) func(c Case) string {
		return func(c Case) string { return strings.ReplaceAll(c.good(), old, with) }
	}
	text := func(json string) func(c Case) string {
		return func(c Case) string { return c.answer(counted, json) }
	}
	// before puts something before a member of the answer.
	before := func(what string, key func(Case) string) func(c Case) string {
		return func(c Case) string { return strings.ReplaceAll(c.good(), quote(key(c))+":", what+quote(key(c))+":") }
	}
	reads := func(s string) func(Case) *string { return func(Case) *string { return &s } }
	usageUnknown := func(tb testing.TB, _ Case, x providers.Exchange) {
		if u := x.Response.Usage; u.Known() {
			tb.Errorf("usage %+v, want it unknown", u)
		}
	}
	stopIs := func(reason nightshift.StopReason) func(testing.TB, Case, providers.Exchange) {
		return func(tb testing.TB, _ Case, x providers.Exchange) {
			if x.Response.StopReason != reason {
				tb.Errorf("stop reason %q (%q), want %q", x.Response.StopReason, x.Response.RawStopReason, reason)
			}
		}
	}
	stop := func(why ending) func(*Exchange) {
		return body(func(c Case) string { return c.stopped(c.good(), why) })
	}
	return []Fault{
		{Number: 21, Name: "no usage", Respond: body(func(c Case) string {
			return c.answer(notCounted, quote(head), quote(tail))
		}), Want: Want{Outcome: OK, Text: fullText, Flags: []string{"usage_missing"}, Also: usageUnknown}},
		{Number: 22, Name: "no content", Respond: body(func(c Case) string {
			return c.empty("[]", counted)
		}), Want: Want{Outcome: OK, Also: isEmpty}},
		{Number: 22, Name: "null content", Respond: body(func(c Case) string {
			return c.empty("null", counted)
		}), Want: Want{Outcome: OK, Also: isEmpty}},
		{Number: 22, Name: "empty content", Respond: body(text(`""`)), Want: Want{Outcome: OK, Also: isEmpty}},
		{Number: 22, Name: "nothing, and nothing counted", Respond: body(func(c Case) string {
			return c.empty("null", "0")
		}), Want: Want{Outcome: Unknown, Class: nightshift.ClassEmptyResponse}, Differs: func(c Case, w Want) Want {
			if c.maySayNothing() {
				return Want{Outcome: OK, Also: isEmpty}
			}
			return w
		}},
		{Number: 22, Name: "an error object that says nothing",
			Respond: body(before(`"error":{"message":"","type":"","code":null},`, Case.modelKey)),
			Want:    Want{Outcome: OK, Text: fullText}},
		{Number: 22, Name: "a number as text", Respond: body(text(`7`)),
			Want: Want{Outcome: OK, Text: reads("7"), Flags: []string{"text_not_a_string"}}},
		{Number: 22, Name: "reasoning before a closing tag", Respond: body(text(`"2+2\n</think>\n\n4"`)),
			Want: Want{Outcome: OK, Text: reads("4"), Flags: []string{"think_tags"},
				Also: func(tb testing.TB, _ Case, x providers.Exchange) {
					if t := x.Response.Thinking; t == nil || *t != "2+2" {
						tb.Errorf("thinking %v", t)
					}
				}}},
		{Number: 23, Name: "unknown stop reason", Respond: stop(byUnknown),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"stop_reason_unknown"}, Also: stopIs(nightshift.StopOther)}},
		{Number: 23, Name: "stopped by length", Respond: stop(byLength),
			Want: Want{Outcome: OK, Text: fullText, Also: stopIs(nightshift.StopMaxTokens)}},
		{Number: 23, Name: "refusal", Respond: stop(byRefusal),
			Want: Want{Outcome: OK, Text: fullText, Also: func(tb testing.TB, c Case, x providers.Exchange) {
				if r := x.Response.StopReason; r != nightshift.StopRefusal && r != nightshift.StopContentFilter {
					tb.Errorf("stop reason %q", r)
				}
			}}},
		{Number: 24, Name: "another model", Respond: body(replace(Model, "other-model-9")),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"model_mismatch"},
				Also: func(tb testing.TB, _ Case, x providers.Exchange) {
					if x.Response.ServedModel != "other-model-9" {
						tb.Errorf("served model %q", x.Response.ServedModel)
					}
				}}},
		{Number: 24, Name: "the same model with a date", Respond: body(replace(Model, Model+"-20251001")),
			Want: Want{Outcome: OK, Text: fullText, Also: func(tb testing.TB, _ Case, x providers.Exchange) {
				for _, flag := range x.Response.Flags {
					if flag == "model_mismatch" {
						tb.Error("a date in the name is no other model")
					}
				}
			}}},
		{Number: 25, Name: "invalid UTF-8", Respond: body(text("\"a\xffb\"")),
			Want: Want{Outcome: OK, Text: reads("a\uFFFDb"), Flags: []string{"text_repaired"}, Also: rawHolds("a\xffb")}},
		{Number: 25, Name: "lone surrogate", Respond: body(text(`"a\ud800b"`)),
			Want: Want{Outcome: OK, Text: reads("a\uFFFDb"), Flags: []string{"text_repaired"}, Also: rawHolds(`a\ud800b`)}},
		{Number: 26, Name: "control characters", Respond: body(text(`"\u0000\u001b[31m\u202ered\u2066"`)),
			Want: Want{Outcome: OK, Text: reads("\x00\x1b[31m\u202ered\u2066")}},
		{Number: 27, Name: "keys that differ by case",
			Respond: body(before(`"Content":"no","CONTENT":"no","Choices":[],`, Case.idKey)),
			Want:    Want{Outcome: OK, Text: fullText}},
		{Number: 27, Name: "a key twice", Respond: body(func(c Case) string {
			return before(quote(c.modelKey())+`:"first",`, Case.modelKey)(c)
		}), Want: Want{Outcome: OK, Text: fullText, Flags: []string{"duplicate_keys"}, Also: rawHolds(`:"first"`)}},
		{Number: 28, Name: "NaN tokens", Respond: body(tokens("NaN")),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"usage_invalid"}, Also: neverSummed}},
		{Number: 28, Name: "1e999 tokens", Respond: body(tokens("1e999")),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"usage_invalid"}, Also: neverSummed}},
		{Number: 28, Name: "negative tokens", Respond: body(tokens("-5")),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"usage_invalid"}, Also: neverSummed}},
		{Number: 28, Name: "ten thousand million tokens", Respond: body(tokens("10000000000")),
			Want: Want{Outcome: OK, Text: fullText, Flags: []string{"usage_invalid"}, Also: neverSummed}},
	}
}

// tokens makes an answer that counts its output so.
func tokens(count string) func(Case) string {
	return func(c Case) string { return c.answer(count, quote(head), quote(tail)) }
}

func neverSummed(tb testing.TB, _ Case, x providers.Exchange) {
	if out := x.Response.Usage.Output; out.Known() && (out.N() < 0 || out.N() > 1e9) {
		tb.Errorf("output tokens %v", out)
	}
}

// empty is an answer that says nothing.
func (c Case) empty(content, output string) string {
	if c.Stream {
		return strings.Join(c.stream(nil, output), "")
	}
	return c.hollow(content, output)
}

func (c Case) idKey() string { id, _ := c.keys(); return id }

func (c Case) modelKey() string { _, model := c.keys(); return model }

func isEmpty(tb testing.TB, _ Case, x providers.Exchange) {
	if t := x.Response.Text; t != nil && *t != "" {
		tb.Errorf("text %q", *t)
	}
	if len(x.Response.ToolCalls) > 0 {
		tb.Errorf("tool calls %v", x.Response.ToolCalls)
	}
}

func rawHolds(part string) func(testing.TB, Case, providers.Exchange) {
	return func(tb testing.TB, _ Case, x providers.Exchange) {
		if !strings.Contains(string(x.Response.Raw), part) {
			tb.Errorf("the raw body does not hold %q", part)
		}
	}
}
