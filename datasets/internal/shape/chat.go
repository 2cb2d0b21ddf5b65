package shape

import (
	"bytes"
	"strings"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// roles that a message may have. "function" is the old name of a tool's answer
// and goes out as it is.
func knownRole(role string) bool {
	switch nightshift.Role(role) {
	case nightshift.RoleSystem, nightshift.RoleDeveloper, nightshift.RoleUser,
		nightshift.RoleAssistant, nightshift.RoleTool, "function":
		return true
	}
	return false
}

// chat reads a list of messages.
func (b *Builder) chat(r rowjson.Row) problem.Reason {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.Kind != rowjson.Array {
		return b.wrongType(b.prompt, v, "a list of messages")
	}
	return b.messages(b.prompt, v)
}

func (b *Builder) messages(p path, v rowjson.Value) problem.Reason {
	speaks := false
	for i, m := range rowjson.Elements(v.Raw) {
		role, c := b.message(m)
		if c.Bad() {
			c.What = placeOf(p.name, i) + ": " + c.What
			return c
		}
		speaks = speaks || role != nightshift.RoleSystem && role != nightshift.RoleDeveloper
	}
	if !speaks {
		return problem.Refuse(words.Quote(p.name)+" holds nothing to answer", "a user message is missing")
	}
	b.liftSystem()
	return problem.Reason{}
}

func placeOf(list string, i int) string { return list + "[" + words.Thousands(int64(i)) + "]" }

// liftSystem makes a plain system message that comes first the sample's system
// prompt, unless something else is.
func (b *Builder) liftSystem() {
	if b.check || b.s.System != "" || b.templates.system != nil || len(b.s.Messages) == 0 {
		return
	}
	if m := b.s.Messages[0]; m.Role == nightshift.RoleSystem && m.Raw == nil {
		b.s.System = m.Text
		b.s.Messages = b.s.Messages[1:]
	}
}

// message reads one message in either dialect.
func (b *Builder) message(m rowjson.Value) (nightshift.Role, problem.Reason) {
	if m.Kind != rowjson.Object {
		return "", problem.Refuse("the message is " + m.Kind.String() + ", not an object")
	}
	var role, content, calls rowjson.Value
	others, nulls := false, false
	for key, v := range rowjson.Members(m.Raw) {
		if v.Kind == rowjson.Null && string(key) != "content" {
			nulls = true
			continue // absent
		}
		switch string(key) {
		case "role":
			role = v
		case "content":
			content = v
		case "tool_calls", "function_call":
			calls, others = v, true
		default:
			others = true
		}
	}
	switch {
	case role.Kind != rowjson.String:
		return "", problem.Refuse("the message has no role")
	case !knownRole(role.Text()):
		return "", problem.Refuse("unknown role "+words.Quote(role.Text()),
			"system, developer, user, assistant or tool")
	}
	r := nightshift.Role(role.Text())
	if c := b.content(r, content, calls); c.Bad() {
		return r, c
	}
	if content.Kind == rowjson.String && !others {
		b.say(r, content)
		return r, problem.Reason{}
	}
	if nulls || bytes.Contains(m.Raw, []byte("null")) {
		m.Raw = sentMessage(m, content)
	}
	raw, c := b.inline(m.Raw)
	if c.Bad() || b.check {
		return r, c
	}
	b.s.Messages = append(b.s.Messages, nightshift.Message{Role: r, Raw: raw})
	return r, problem.Reason{}
}

// sentMessage is a message without its null members. A content that is null
// beside tool calls says that there is no text, and stays.
func sentMessage(m, content rowjson.Value) []byte {
	out := withoutNulls(m)
	if content.Kind == rowjson.Null {
		out = append(out[:len(out)-1], `,"content":null}`...)
	}
	return out
}

// content checks what a message says.
func (b *Builder) content(role nightshift.Role, content, calls rowjson.Value) problem.Reason {
	switch content.Kind {
	case rowjson.String:
		return problem.Reason{}
	case rowjson.Array:
		if content.Empty() && !calls.Given() {
			return problem.Refuse("the content is an empty list")
		}
		for _, part := range rowjson.Elements(content.Raw) {
			if part.Kind == rowjson.String {
				return problem.Refuse("a content part is a text", `write it as {"type": "text", "text": "…"}`)
			}
			if part.Kind != rowjson.Object || part.Get("type").Kind != rowjson.String {
				return problem.Refuse("a content part is no object with a type")
			}
		}
		return problem.Reason{}
	case rowjson.Missing, rowjson.Null:
		if role == nightshift.RoleAssistant && calls.Given() {
			return problem.Reason{}
		}
		return problem.Refuse("the message has no content")
	}
	return problem.Refuse("the content is " + content.Kind.String() + ", not a text or a list")
}

// conversation reads a ShareGPT chat.
func (b *Builder) conversation(r rowjson.Row) problem.Reason {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.Kind != rowjson.Array {
		return b.wrongType(b.prompt, v, "a list of {from, value}")
	}
	speaks := false
	for i, m := range rowjson.Elements(v.Raw) {
		role, c := b.shareGPT(m)
		if c.Bad() {
			c.What = placeOf(b.prompt.name, i) + ": " + c.What
			return c
		}
		speaks = speaks || role != nightshift.RoleSystem
	}
	if !speaks {
		return problem.Refuse(words.Quote(b.prompt.name)+" holds nothing to answer", "a human turn is missing")
	}
	b.liftSystem()
	return problem.Reason{}
}

func (b *Builder) shareGPT(m rowjson.Value) (nightshift.Role, problem.Reason) {
	if m.Kind != rowjson.Object {
		return "", problem.Refuse("the turn is " + m.Kind.String() + ", not an object")
	}
	from, said := m.Get("from"), m.Get("value")
	if from.Kind == rowjson.Missing && m.Get("role").Kind != rowjson.Missing {
		return b.message(m)
	}
	if from.Kind != rowjson.String {
		return "", problem.Refuse(`the turn has no "from"`)
	}
	role := shareGPTRole(from.Text())
	switch {
	case role == "":
		return "", problem.Refuse("unknown speaker "+words.Quote(from.Text()), "human, gpt or system")
	case said.Kind != rowjson.String:
		return "", problem.Refuse(`"value" is ` + said.Kind.String() + ", not a text")
	}
	b.say(role, said)
	return role, problem.Reason{}
}

func shareGPTRole(from string) nightshift.Role {
	switch strings.ToLower(from) {
	case "human", "user":
		return nightshift.RoleUser
	case "gpt", "assistant", "chatgpt", "model", "bot", "bing", "bard":
		return nightshift.RoleAssistant
	case "system":
		return nightshift.RoleSystem
	}
	return ""
}

// messagesWithoutNulls is a list of messages as they are sent.
func messagesWithoutNulls(list rowjson.Value) []byte {
	out := []byte{'['}
	for i, m := range rowjson.Elements(list.Raw) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, sentMessage(m, m.Get("content"))...)
	}
	return append(out, ']')
}

// withMember puts a member into a JSON object that is not empty, in the place
// of the one that has its name, or at the end. All else stays as written.
func withMember(object []byte, name string, put func(old rowjson.Value) []byte) []byte {
	out, found := []byte{'{'}, false
	for key, v := range rowjson.Members(object) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), '"', ':')
		if rowjson.KeyIs(key, name) {
			found = true
			out = append(out, put(v)...)
		} else {
			out = append(out, v.Raw...)
		}
	}
	if !found {
		out = append(append(append(out, ',', '"'), name...), '"', ':')
		out = append(out, put(rowjson.Value{})...)
	}
	return append(out, '}')
}

// withoutNulls leaves out the members of an object that are null, and those of
// objects and lists inside it. Tables give every object every key. What a tool
// is called with is data and stays as it is.
func withoutNulls(v rowjson.Value) []byte {
	switch v.Kind {
	case rowjson.Object:
		out := []byte{'{'}
		for key, member := range rowjson.Members(v.Raw) {
			if member.Kind == rowjson.Null {
				continue
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, '"'), key...), '"', ':')
			if string(key) == "arguments" || string(key) == "input" {
				out = append(out, member.Raw...)
			} else {
				out = append(out, withoutNulls(member)...)
			}
		}
		return append(out, '}')
	case rowjson.Array:
		out := []byte{'['}
		for i, e := range rowjson.Elements(v.Raw) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, withoutNulls(e)...)
		}
		return append(out, ']')
	}
	return v.Raw
}
