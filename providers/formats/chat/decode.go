package chat

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/answer"
)

// Decode implements the format. An empty list of choices is no error.
func (Format) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	var a assembly
	a.head(root)
	choices := root.Get("choices")
	if choices.Kind() != rawjson.Array {
		a.fill(resp)
		a.readUsage(resp)
		return answer.Shapeless("no_choices", "the answer has no choices: "+choices.Kind().String())
	}
	for c := choices.First(); c.Exists(); c = c.Next() {
		a.wholeChoice(c)
	}
	a.fill(resp)
	a.finish(resp, root.Doc())
	if e := a.brokenOff(root); e != nil {
		return e
	}
	return answer.Empty(resp)
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model, fingerprint, tier string
	choices                      []*choice
	usage                        answer.OpenAIUsage
	single                       bool // one choice was asked for
	joined                       bool // several indexes were one answer
}

// A choice is one of the answers to a request.
type choice struct {
	index    int
	text     answer.Text
	refusal  answer.Text
	thinking answer.Text
	calls    []*call
	finish   string             // as answer.LaterStop decides
	finishID string             // id of the chunk that brought it
	conflict bool               // a plain end came after another reason
	roles    int                // chunks of a stream that named the role
	usage    answer.OpenAIUsage // of the choice alone
}

// A call is one tool call.
type call struct {
	index     int64
	id, name  string
	arguments answer.Text
	object    string // arguments that came as an object
	custom    bool   // a tool whose input is text
}

// head takes what an answer or a chunk says of itself: the first id, model
// and fingerprint that are not empty, and the last usage.
func (a *assembly) head(v rawjson.Value) {
	keep(&a.id, v.Get("id"))
	keep(&a.model, v.Get("model"))
	keep(&a.fingerprint, v.Get("system_fingerprint"))
	if tier := v.Get("service_tier").String(); tier != "" {
		a.tier = tier
	}
	a.usage.Add(topUsage(v))
}

func keep(s *string, v rawjson.Value) {
	if *s == "" {
		*s = v.String()
	}
}

// choice returns the choice with an index; an absent one, and Bedrock's -1,
// are 0.
func (a *assembly) choice(v rawjson.Value) *choice {
	c := a.indexed(v)
	c.usage.Add(v.Get("usage"))
	return c
}

func (a *assembly) indexed(v rawjson.Value) *choice {
	n, _ := v.Get("index").Int()
	n = max(n, 0)
	for _, c := range a.choices {
		if c.index == int(n) {
			return c
		}
	}
	c := &choice{index: int(n)}
	a.choices = append(a.choices, c)
	return c
}

// join makes one answer of choices that are its blocks: one choice was asked
// for, several indexes came, and not all of them have an end (new-api in front
// of Claude).
func (a *assembly) join() {
	if !a.single || len(a.choices) < 2 || a.allFinished() {
		return
	}
	a.joined = true
	a.sort()
	whole := a.choices[0]
	for _, c := range a.choices[1:] {
		whole.absorb(c)
	}
	a.choices = a.choices[:1]
}

func (c *choice) absorb(d *choice) {
	for _, t := range []struct{ to, from *answer.Text }{{&c.text, &d.text}, {&c.refusal, &d.refusal},
		{&c.thinking, &d.thinking}} {
		if t.from.Set() {
			t.to.Add(t.from.String())
		}
	}
	c.calls = append(c.calls, d.calls...)
	if c.finish == "" || answer.BrokenOff(d.finish) != nil {
		c.finish = d.finish
	}
	if c.usage.JSON() == nil {
		c.usage = d.usage
	}
}

func (a *assembly) sort() {
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return x.index - y.index })
}

// allFinished reports whether every choice that was seen has a finish reason,
// and one of the model's.
func (a *assembly) allFinished() bool { return len(a.choices) > 0 && a.count(false) == 0 }

// count is the number of choices that have, or have not, a finish reason of
// the model's.
func (a *assembly) count(finished bool) (n int) {
	for _, c := range a.choices {
		if (c.finish != "" && answer.BrokenOff(c.finish) == nil) == finished {
			n++
		}
	}
	return n
}

// wholeChoice adds a choice of an answer that was not streamed. A second one
// with the same index is another choice: some servers number none of them.
func (a *assembly) wholeChoice(v rawjson.Value) {
	c := a.choice(v)
	if c.text.Set() || c.finish != "" || len(c.calls) > 0 {
		c = &choice{index: len(a.choices)}
		a.choices = append(a.choices, c)
	}
	c.finish = v.Get("finish_reason").String()
	message := v.Get("message")
	if !message.Set() {
		message = v.Get("delta")
	}
	if !message.Set() { // a text completion; filtered choices have neither
		c.text.AddValue(v.Get("text"))
		return
	}
	c.add(message)
}

// add takes a message or a delta and reports whether it held anything.
func (c *choice) add(m rawjson.Value) (content bool) {
	content = c.addContent(m.Get("content"))
	content = c.addReasoning(m) || content
	content = c.refusal.AddValue(m.Get("refusal")) || content
	if audio := m.Get("audio"); audio.Set() {
		content = c.text.AddValue(audio.Get("transcript")) || content
	}
	for t := m.Get("tool_calls").First(); t.Exists(); t = t.Next() {
		c.addCall(t)
		content = true
	}
	if f := m.Get("function_call"); f.Set() {
		c.addFunction(f)
		content = true
	}
	return content
}

// addContent takes a text, a list of parts, or one part by itself. A list or
// an object that holds no parts is the answer itself: in JSON mode some
// servers send it parsed.
func (c *choice) addContent(v rawjson.Value) (content bool) {
	first := v.First()
	switch {
	case v.Kind() == rawjson.Array &&
		(!first.Exists() || first.Kind() == rawjson.String || first.Get("type").Set() || first.Get("text").Set()):
		for part := first; part.Exists(); part = part.Next() {
			content = c.addPart(part) || content
		}
		return content
	case partKinds[v.Get("type").String()]:
		return c.addPart(v)
	}
	return c.text.AddValue(v)
}

// partKinds are the kinds of parts that hold words.
var partKinds = map[string]bool{"text": true, "output_text": true, "thinking": true, "reasoning": true, "refusal": true}

// addPart takes one part of the content, which may be reasoning (Mistral).
func (c *choice) addPart(v rawjson.Value) bool {
	switch v.Get("type").String() {
	case "thinking", "reasoning":
		return c.addThought(v)
	case "refusal":
		return c.refusal.AddValue(v.Get("refusal"))
	}
	if v.Kind() == rawjson.Object {
		return c.text.AddValue(v.Get("text"))
	}
	return c.text.AddValue(v)
}

// reasoningFields are the names under which servers send the reasoning:
// DeepSeek and most others; OpenRouter, Groq, vLLM, Ollama; Ollama's own,
// Cohere; GitHub Copilot; Poe; lists of blocks from OpenRouter and LiteLLM.
var reasoningFields = [...]string{
	"reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content", "thought", "thoughts",
	"cot_summary",
	"reasoning_details", "thinking_blocks",
}

// addReasoning takes the reasoning from the first of the fields that has any:
// servers that send it twice send the same.
func (c *choice) addReasoning(m rawjson.Value) bool {
	for _, name := range reasoningFields {
		if v := m.Get(name); v.Set() && c.addThought(v) {
			return true
		}
	}
	return false
}

// addThought takes reasoning in any of the forms that servers give it: a text,
// a list of blocks, a block with the text in one of its fields.
func (c *choice) addThought(v rawjson.Value) (content bool) {
	switch v.Kind() {
	case rawjson.String, rawjson.Number:
		return c.thinking.AddValue(v)
	case rawjson.Array:
		for block := v.First(); block.Exists(); block = block.Next() {
			content = c.addThought(block) || content
		}
	case rawjson.Object:
		for _, name := range []string{"thinking", "text", "summary", "content", "reasoning"} {
			content = c.addThought(v.Get(name)) || content
		}
	}
	return content
}

// addCall takes a tool call, or a piece of one.
func (c *choice) addCall(v rawjson.Value) {
	function, custom := v.Get("function"), v.Get("custom")
	if custom.Set() {
		function = custom
	}
	t := c.call(v, function)
	keep(&t.id, v.Get("id"))
	t.addName(function.Get("name").String())
	t.custom = t.custom || custom.Set()
	if t.custom {
		t.arguments.AddValue(function.Get("input"))
		return
	}
	t.addArguments(function.Get("arguments"))
}

// addName takes a name, the same name again, or a piece that continues it.
func (t *call) addName(name string) {
	switch {
	case name == t.name:
	case strings.HasPrefix(name, t.name): // as far as it has come
		t.name = name
	default:
		t.name += name
	}
}

// addArguments takes a piece of the arguments, or all of them as an object.
func (t *call) addArguments(v rawjson.Value) {
	whole := v.Kind() == rawjson.Object || v.Kind() == rawjson.Array
	if whole && t.arguments.Len() == 0 {
		t.object = string(v.JSON())
		return
	}
	t.arguments.AddValue(v)
}

// addFunction takes the function call of the old format, which has no id.
func (c *choice) addFunction(v rawjson.Value) {
	if len(c.calls) == 0 {
		c.calls = append(c.calls, &call{})
	}
	t := c.calls[0]
	t.addName(v.Get("name").String())
	t.addArguments(v.Get("arguments"))
}

// call finds the call that a piece belongs to, or begins one. Pieces name it
// by index. Without one a new id begins a call, and anything else belongs to
// the last. Some servers send all calls with the same index: another id
// beside another name is then another call, and so is a name after arguments
// that are complete.
func (c *choice) call(v, function rawjson.Value) *call {
	id, name := v.Get("id").String(), function.Get("name").String()
	index, numbered := v.Get("index").Int()
	index = max(index, 0)
	var last *call
	for _, t := range c.calls {
		if !numbered || t.index == index {
			last = t
		}
	}
	if !numbered {
		index = int64(len(c.calls))
	}
	if last == nil || last.endsBefore(id, name, function, numbered) {
		last = &call{index: index}
		c.calls = append(c.calls, last)
	}
	return last
}

func (t *call) endsBefore(id, name string, function rawjson.Value, numbered bool) bool {
	if id != "" && t.id != "" && id != t.id {
		return name != "" || !numbered
	}
	if id == "" && name != "" && t.name != "" {
		return t.complete() && (function.Get("arguments").String() != "" || name != t.name || !numbered)
	}
	return false
}

// complete reports whether a call's arguments are whole.
func (t *call) complete() bool {
	if t.object != "" || t.arguments.Len() == 0 {
		return t.object != ""
	}
	v, err := rawjson.Scan([]byte(t.arguments.String()))
	return err == nil && v.Kind() == rawjson.Object
}

func (t *call) toolCall() nightshift.ToolCall {
	arguments := t.arguments.String()
	switch {
	case t.object != "" && arguments == "":
		arguments = t.object
	case !t.custom:
		arguments = answer.OrEmptyObject(arguments)
	}
	return nightshift.ToolCall{ID: t.id, Name: t.name, Arguments: arguments}
}

// toolCalls are the choice's calls in the order of their indexes.
func (c *choice) toolCalls() []nightshift.ToolCall {
	slices.SortStableFunc(c.calls, func(a, b *call) int { return int(a.index - b.index) })
	var calls []nightshift.ToolCall
	for _, t := range c.calls {
		calls = append(calls, t.toolCall())
	}
	return calls
}

// stopReason is the choice's finish reason in our words. A refusal and tool
// calls count whatever the server calls the end.
func (c *choice) stopReason() nightshift.StopReason {
	stop := answer.Stop(c.finish)
	switch {
	case c.refusal.Len() > 0 && (stop == nightshift.StopEnd || stop == ""):
		return nightshift.StopRefusal
	case len(c.calls) > 0 && stop == nightshift.StopEnd:
		return nightshift.StopToolUse
	}
	return stop
}

// A reading is a choice read to its end.
type reading struct {
	nightshift.Choice
	text, thinking *string
	thinkTags      bool
}

func (c *choice) read() reading {
	r := reading{text: c.text.Pointer(), thinking: c.thinking.Pointer()}
	if c.refusal.Len() > 0 && (r.text == nil || *r.text == "") {
		r.text = c.refusal.Pointer() // what the model said instead
	}
	stop := c.stopReason()
	r.text, r.thinking, r.thinkTags = answer.TakeThink(r.text, r.thinking, stop)
	r.Choice = nightshift.Choice{Index: c.index, ToolCalls: c.toolCalls(), StopReason: stop, RawStopReason: c.finish}
	if r.text != nil {
		r.Choice.Text = *r.text
	}
	if r.thinking != nil {
		r.Choice.Thinking = *r.thinking
	}
	return r
}

// fill writes the answer as far as it has come, without its usage, into an
// empty resp.
func (a *assembly) fill(resp *nightshift.Response) {
	resp.ID, resp.ServedModel, resp.Fingerprint = a.id, a.model, a.fingerprint
	a.join()
	a.sort()
	for i, c := range a.choices {
		r := c.read()
		if r.thinkTags {
			resp.Flag(answer.FlagThinkTags)
		}
		if c.conflict {
			resp.Flag(answer.FlagStopConflict)
		}
		if i == 0 {
			resp.Text, resp.Thinking, resp.ToolCalls = r.text, r.thinking, r.ToolCalls
			resp.StopReason, resp.RawStopReason = r.StopReason, r.RawStopReason
		}
		if len(a.choices) > 1 {
			resp.Choices = append(resp.Choices, r.Choice)
		}
	}
}

// finish adds usage and flags to an answer that came to its end.
func (a *assembly) finish(resp *nightshift.Response, doc *rawjson.Doc) {
	a.readUsage(resp)
	answer.Marks(resp, doc)
	if len(a.choices) == 0 {
		resp.Flag("no_choices")
	} else {
		answer.MarkStop(resp)
	}
	for _, c := range a.choices {
		for _, t := range c.calls {
			if !t.custom {
				answer.MarkToolCalls(resp, []nightshift.ToolCall{t.toolCall()})
			}
		}
	}
	if a.joined {
		resp.Flag("choices_joined")
	}
	if !answered(resp) && resp.StopReason == nightshift.StopEnd && resp.Usage.Output.N() > 0 {
		resp.Flag(answer.FlagEmpty)
	}
}

func answered(resp *nightshift.Response) bool {
	return answer.Spoke(resp) || resp.Thinking != nil && *resp.Thinking != ""
}

// brokenOff is the error of an answer whose finish reason says that the
// server broke off, with the server's own words where root has them.
func (a *assembly) brokenOff(root rawjson.Value) *nightshift.Error {
	for _, c := range a.choices {
		err := answer.BrokenOff(c.finish)
		if err == nil {
			continue
		}
		for v := root.Get("choices").First(); v.Exists(); v = v.Next() {
			if v.Get("error").Set() {
				if said := providers.Classify(0, nil, v.JSON()); said != nil {
					said.MaybeBilled = true
					return said
				}
			}
		}
		return err
	}
	return nil
}
