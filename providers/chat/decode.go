package chat

import (
	"slices"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/internal/answer"
	"nightshift/providers/internal/jsonscan"
)

// Decode reads a whole answer that was not streamed: an object with choices,
// already unwrapped. Response.Raw is left to the caller, who has the body.
//
// Unknown fields and finish reasons are no errors, and neither is an empty
// list of choices. What was odd about the answer is in its Flags.
func Decode(body []byte) (resp nightshift.Response, e *nightshift.Error) {
	doc := jsonscan.Borrow()
	defer doc.Return()
	root, err := doc.Scan(body)
	if err != nil {
		return resp, answer.Unreadable(err)
	}
	e = DecodeValue(&resp, root)
	return resp, e
}

// DecodeValue is Decode for an answer that has been scanned already; it fills
// in resp. A Response is large: with one in each frame of the calls, every
// worker's stack would double.
func DecodeValue(resp *nightshift.Response, root jsonscan.Value) *nightshift.Error {
	var a assembly
	a.head(root)
	choices := root.Get("choices")
	if choices.Kind() != jsonscan.Array {
		a.fill(resp)
		return answer.Shapeless("no_choices", "the answer has no choices: "+choices.Kind().String())
	}
	for c := choices.First(); c.Exists(); c = c.Next() {
		a.wholeChoice(c)
	}
	a.fill(resp)
	a.finish(resp, root.Doc())
	return a.brokenOff(root)
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model, fingerprint, tier string
	choices                      []*choice
	usage                        []byte // the last usage object
	notFinite                    bool   // which held NaN or Infinity, null now
}

// A choice is one of the answers to a request.
type choice struct {
	index    int
	text     answer.Text
	refusal  answer.Text
	thinking answer.Text
	calls    []*call
	finish   string // the last one that was not empty
	finishID string // id of the chunk that brought it
	roles    int    // chunks of a stream that named the role
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
func (a *assembly) head(v jsonscan.Value) {
	keep(&a.id, v.Get("id"))
	keep(&a.model, v.Get("model"))
	keep(&a.fingerprint, v.Get("system_fingerprint"))
	if tier := v.Get("service_tier").String(); tier != "" {
		a.tier = tier
	}
	usage := v.Get("usage")
	if !usage.Set() {
		usage = v.Get("x_groq").Get("usage")
	}
	if usage.Kind() == jsonscan.Object && (a.usage == nil || counted(usage)) {
		a.usage, a.notFinite = usage.JSON(), !usage.Finite()
	}
}

// counted reports whether a usage object counts anything. One that does not
// must not displace one that did.
func counted(usage jsonscan.Value) bool {
	in, _ := answer.Count(first(usage, "prompt_tokens", "input_tokens"))
	out, _ := answer.Count(first(usage, "completion_tokens", "output_tokens"))
	return in.N()+out.N() > 0
}

func keep(s *string, v jsonscan.Value) {
	if *s == "" {
		*s = v.String()
	}
}

// choice returns the choice with an index; an absent one, and Bedrock's -1,
// are 0.
func (a *assembly) choice(v jsonscan.Value) *choice {
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

// wholeChoice adds a choice of an answer that was not streamed. A second one
// with the same index is another choice: some servers number none of them.
func (a *assembly) wholeChoice(v jsonscan.Value) {
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
func (c *choice) add(m jsonscan.Value) (content bool) {
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

// addContent takes a text or a list of parts, of which those of thinking are
// reasoning (Mistral).
func (c *choice) addContent(v jsonscan.Value) (content bool) {
	if v.Kind() != jsonscan.Array {
		return c.text.AddValue(v)
	}
	for part := v.First(); part.Exists(); part = part.Next() {
		switch part.Get("type").String() {
		case "thinking":
			content = c.addThinking(part.Get("thinking")) || content
		case "refusal":
			content = c.refusal.AddValue(part.Get("refusal")) || content
		default:
			content = c.text.AddValue(part.Get("text")) || content
		}
	}
	return content
}

func (c *choice) addThinking(v jsonscan.Value) (content bool) {
	if v.Kind() != jsonscan.Array {
		return c.thinking.AddValue(v)
	}
	for part := v.First(); part.Exists(); part = part.Next() {
		content = c.thinking.AddValue(part.Get("text")) || content
	}
	return content
}

// addReasoning takes the reasoning from the first of the fields that has any:
// servers that send it twice send the same.
func (c *choice) addReasoning(m jsonscan.Value) bool {
	for _, name := range []string{"reasoning_content", "reasoning"} {
		if c.thinking.AddValue(m.Get(name)) {
			return true
		}
	}
	content := false
	for d := m.Get("reasoning_details").First(); d.Exists(); d = d.Next() {
		content = c.thinking.AddValue(d.Get("text")) || content
		content = c.thinking.AddValue(d.Get("summary")) || content
	}
	return content
}

// addCall takes a tool call, or a piece of one.
func (c *choice) addCall(v jsonscan.Value) {
	function, custom := v.Get("function"), v.Get("custom")
	if custom.Set() {
		function = custom
	}
	t := c.call(v, function)
	keep(&t.id, v.Get("id"))
	keep(&t.name, function.Get("name"))
	t.custom = t.custom || custom.Set()
	if t.custom {
		t.arguments.AddValue(function.Get("input"))
		return
	}
	t.addArguments(function.Get("arguments"))
}

func (t *call) addArguments(v jsonscan.Value) {
	if v.Kind() == jsonscan.Object || v.Kind() == jsonscan.Array {
		t.object = string(v.JSON())
		return
	}
	t.arguments.AddValue(v)
}

// addFunction takes the function call of the old format, which has no id.
func (c *choice) addFunction(v jsonscan.Value) {
	if len(c.calls) == 0 {
		c.calls = append(c.calls, &call{})
	}
	t := c.calls[0]
	keep(&t.name, v.Get("name"))
	t.addArguments(v.Get("arguments"))
}

// call finds the call that a piece belongs to, or begins one. Pieces name it
// by index. Without one a new id begins a call, and anything else belongs to
// the last. Some servers send all calls with the same index: another id
// beside another name is then another call, and so is a name after arguments
// that are complete.
func (c *choice) call(v, function jsonscan.Value) *call {
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

func (t *call) endsBefore(id, name string, function jsonscan.Value, numbered bool) bool {
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
	v, err := jsonscan.Scan([]byte(t.arguments.String()))
	return err == nil && v.Kind() == jsonscan.Object
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
	if r.text != nil && (r.thinking == nil || *r.thinking == "") {
		thinking, rest, found := answer.SplitThink(*r.text, stop == nightshift.StopMaxTokens)
		if found {
			r.thinking, r.text, r.thinkTags = &thinking, &rest, true
		}
	}
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
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return x.index - y.index })
	for i, c := range a.choices {
		r := c.read()
		if r.thinkTags {
			resp.Flag(answer.FlagThinkTags)
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
func (a *assembly) finish(resp *nightshift.Response, doc *jsonscan.Doc) {
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
	if !answered(resp) && resp.StopReason == nightshift.StopEnd && resp.Usage.Output.N() > 0 {
		resp.Flag(answer.FlagEmpty)
	}
}

func answered(resp *nightshift.Response) bool {
	return resp.Text != nil && *resp.Text != "" || resp.Thinking != nil && *resp.Thinking != "" ||
		len(resp.ToolCalls) > 0 || len(resp.Choices) > 1
}

// brokenOff is the error of an answer whose finish reason says that the
// server broke off, with the server's own words where root has them.
func (a *assembly) brokenOff(root jsonscan.Value) *nightshift.Error {
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
