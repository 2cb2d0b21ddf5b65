package responses

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
)

// Flags of this format.
const (
	flagReplaced = "text_replaced" // the whole text at the end differs from its pieces
	flagCap      = "cap_reached"   // the server calls an answer complete that used all the tokens it was allowed
)

// Decode implements the format. An answer that is still being made is an error
// of class bad_response with the code not_ready.
func (Format) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	var a assembly
	a.head(root)
	a.output(root.Get("output"))
	a.fill(resp)
	if e := a.failed(root); e != nil {
		a.readUsage(resp)
		return e
	}
	if root.Get("output").Kind() != rawjson.Array {
		a.readUsage(resp)
		return answer.Shapeless("no_output", "the answer has no output: "+root.Get("output").Kind().String())
	}
	a.finish(resp, root.Doc())
	return answer.Empty(resp)
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	var a assembly
	a.head(root)
	a.readUsage(resp)
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model, tier string
	status, reason  string  // the last that were said
	blocked         bool    // by a content filter beside the model
	background      bool    // the server goes on when nobody listens
	limit           int64   // max_output_tokens as the server repeats it; 0 without
	items           []*item // by index
	usage           []byte
	notFinite       bool // it held NaN or Infinity, null now
	replaced        bool // a whole form differs from its pieces
}

// head takes what a response object says of itself.
func (a *assembly) head(v rawjson.Value) {
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&a.id, v.Get("id").String()}, {&a.model, v.Get("model").String()}, {&a.tier, v.Get("service_tier").String()},
		{&a.status, v.Get("status").String()}, {&a.reason, v.Get("incomplete_details").Get("reason").String()},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if n, ok := v.Get("max_output_tokens").Int(); ok {
		a.limit = n
	}
	a.background = a.background || v.Get("background").IsTrue()
	for filter := v.Get("content_filters").First(); filter.Exists(); filter = filter.Next() {
		a.blocked = a.blocked || filter.Get("blocked").IsTrue()
	}
	if usage := v.Get("usage"); usage.Kind() == rawjson.Object {
		a.usage, a.notFinite = usage.JSON(), !usage.Finite()
	}
}

// output takes the items of a whole answer.
func (a *assembly) output(list rawjson.Value) {
	n := int64(0)
	for v := list.First(); v.Exists(); v = v.Next() {
		a.items = append(a.items, readItem(v, n))
		n++
	}
}

// failed is the error of an answer that is none; nil for one that may be.
func (a *assembly) failed(root rawjson.Value) *nightshift.Error {
	switch a.status {
	case "failed":
		if !root.Get("error").Says() {
			return serverError("failed", "the server says that the answer failed, and not why")
		}
		if e := providers.Classify(0, nil, root.Raw()); e != nil {
			e.MaybeBilled = e.MaybeBilled || len(a.items) > 0
			return e
		}
		return serverError("failed", "the server says that the answer failed, and not why")
	case "cancelled":
		return serverError("cancelled", "somebody else cancelled the answer at the server")
	case "queued", "in_progress":
		return answer.Shapeless(providers.CodeNotReady,
			"the server has taken the request and has no answer yet: its status is "+a.status)
	}
	return nil
}

func serverError(code, message string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassServer, Code: code, MaybeBilled: true, Message: message}
}

// fill writes the answer as far as it has come, without its usage, into an
// empty resp.
func (a *assembly) fill(resp *nightshift.Response) {
	resp.ID, resp.ServedModel = a.id, a.model
	slices.SortStableFunc(a.items, func(x, y *item) int { return int(x.index - y.index) })
	resp.Text, resp.Thinking = a.text(), a.thinking()
	for _, it := range a.calls() {
		resp.ToolCalls = append(resp.ToolCalls, it.toolCall())
	}
	refusal := a.refusal()
	if refusal != nil && (resp.Text == nil || *resp.Text == "") {
		resp.Text = refusal // what the model said instead
	}
	resp.StopReason, resp.RawStopReason = a.stop(refusal != nil && *refusal != "")
	var tags bool
	if resp.Text, resp.Thinking, tags = answer.TakeThink(resp.Text, resp.Thinking, resp.StopReason); tags {
		resp.Flag(answer.FlagThinkTags)
	}
	resp.Repeat = a.repeat()
}

// text is the answer: the messages of the final phase where there are any, else
// those that are no commentary, else all.
func (a *assembly) text() *string {
	for _, counts := range []func(phase string) bool{
		func(phase string) bool { return phase == "final_answer" },
		func(phase string) bool { return phase != "commentary" },
		func(string) bool { return true },
	} {
		var t answer.Text
		for _, it := range a.items {
			if it.kind == "message" && counts(it.phase) {
				it.addTo(&t, kindText)
			}
		}
		if t.Len() > 0 {
			return t.Pointer()
		}
	}
	return a.ofMessages(kindText)
}

// ofMessages is what all messages say in parts of a kind.
func (a *assembly) ofMessages(kind string) *string {
	var t answer.Text
	for _, it := range a.items {
		if it.kind == "message" {
			it.addTo(&t, kind)
		}
	}
	return t.Pointer()
}

func (it *item) addTo(t *answer.Text, kind string) {
	texts, _ := it.texts(kind)
	for _, text := range texts {
		t.Add(text)
	}
}

func (a *assembly) refusal() *string { return a.ofMessages(kindRefusal) }

// thinking is the reasoning itself where the server shows it, else its
// summary. Paragraphs keep apart what stands in parts of its own.
func (a *assembly) thinking() *string {
	var paragraphs []string
	any := false
	for _, it := range a.items {
		if it.kind != "reasoning" {
			continue
		}
		texts, set := it.texts(kindReasoning)
		if strings.Join(texts, "") == "" {
			var summary bool
			texts, summary = it.texts(kindSummary)
			set = set || summary
		}
		any = any || set
		paragraphs = append(paragraphs, texts...)
	}
	if !any {
		return nil
	}
	text := strings.Join(paragraphs, "\n\n")
	return &text
}

// calls are the items that wait for the client. A call whose result stands in
// the answer itself has been served.
func (a *assembly) calls() (calls []*item) {
	served := func(call *item) bool {
		return slices.ContainsFunc(a.items, func(it *item) bool {
			return it.callID == call.callID && it.callID != "" && strings.HasSuffix(it.kind, "_output")
		})
	}
	for _, it := range a.items {
		if _, isCall := callFields[it.kind]; isCall && !served(it) {
			calls = append(calls, it)
		}
	}
	return calls
}

// unfinished are the states in which an answer has no end that it came to.
var unfinished = map[string]bool{"failed": true, "cancelled": true, "queued": true, "in_progress": true}

// stop says why the answer ended. The raw word is the reason where there is
// one, else the status.
func (a *assembly) stop(refused bool) (stop nightshift.StopReason, raw string) {
	raw = a.status
	switch {
	case a.status == "incomplete" && a.reason != "":
		return answer.Stop(a.reason), a.reason
	case a.status == "incomplete":
		return nightshift.StopOther, raw
	case a.blocked:
		return nightshift.StopContentFilter, raw
	case unfinished[a.status]:
		return "", raw
	case a.status != "completed" && a.status != "":
		return nightshift.StopOther, raw
	case len(a.calls()) > 0:
		return nightshift.StopToolUse, raw
	case a.status == "":
		return "", ""
	case refused:
		return nightshift.StopRefusal, raw
	}
	return nightshift.StopEnd, raw
}

// repeat is the answer as messages that a further turn puts back. Without
// encrypted reasoning the text says it all, and calls that nobody answers
// cannot be put back.
func (a *assembly) repeat() (messages []nightshift.Message) {
	sealed := func(it *item) bool { return it.sealed }
	whole := func(it *item) bool { return it.raw != nil }
	if !slices.ContainsFunc(a.items, sealed) || len(a.calls()) > 0 {
		return nil
	}
	for _, it := range a.items {
		if !whole(it) {
			return nil
		}
		messages = append(messages, nightshift.Message{Role: nightshift.RoleAssistant, Raw: it.raw})
	}
	return messages
}

// finish adds usage and flags to an answer that came to its end.
func (a *assembly) finish(resp *nightshift.Response, doc *rawjson.Doc) {
	a.readUsage(resp)
	answer.Marks(resp, doc)
	answer.MarkStop(resp)
	for _, it := range a.calls() {
		if it.kind != "custom_tool_call" {
			answer.MarkToolCalls(resp, []nightshift.ToolCall{it.toolCall()})
		}
	}
	if a.replaced {
		resp.Flag(flagReplaced)
	}
	output := resp.Usage.Output.N()
	if resp.StopReason == nightshift.StopEnd && a.limit > 0 && output >= a.limit {
		resp.Flag(flagCap)
	}
	if resp.StopReason == nightshift.StopEnd && !answer.Spoke(resp) && resp.Thinking == nil && output > 0 {
		resp.Flag(answer.FlagEmpty)
	}
}

// readUsage sorts the usage object into disjoint classes.
func (a *assembly) readUsage(resp *nightshift.Response) {
	tier := a.tier
	if tier == "auto" || tier == "default" { // what was asked for, and what everybody gets
		tier = ""
	}
	resp.Usage.ServiceTier = tier
	answer.ReadUsage(resp, a.usage, a.notFinite, false, func(r *answer.UsageReader) nightshift.Usage {
		u := r.OpenAI()
		u.ServiceTier, u.Searches = tier, a.searches(r, u.Searches)
		if resp.StopReason == nightshift.StopMaxTokens && u.Output.Known() && u.Output.N() == 0 {
			// The cap was used up and nothing is counted, which cannot be.
			r.Flag(answer.FlagUsagePartial)
			u.Output, u.Reasoning = nightshift.Count{}, nightshift.Count{}
		}
		return u
	})
}

// searches counts what the server searched: as it says (xAI), or by the items
// of the answer.
func (a *assembly) searches(r *answer.UsageReader, counted nightshift.Count) nightshift.Count {
	if n := r.Count(r.Raw.Get("num_server_side_tools_used")); n.Known() {
		counted = n
	}
	n := int64(0)
	for _, it := range a.items {
		if it.search {
			n++
		}
	}
	if n > counted.N() {
		return nightshift.Tokens(n)
	}
	return counted
}
