package datasets

import (
	"bytes"
	"strings"

	"nightshift"
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
func (b *builder) chat(r row) rowError {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.kind != kindArray {
		return b.wrongType(b.prompt, v, "a list of messages")
	}
	return b.messages(b.prompt, v)
}

func (b *builder) messages(p path, v value) rowError {
	speaks := false
	for i, m := range elements(v.raw) {
		role, c := b.message(m)
		if c.bad() {
			c.what = placeOf(p.name, i) + ": " + c.what
			return c
		}
		speaks = speaks || role != nightshift.RoleSystem && role != nightshift.RoleDeveloper
	}
	if !speaks {
		return rowError{quoteShort(p.name) + " holds nothing to answer", "a user message is missing"}
	}
	b.liftSystem()
	return rowError{}
}

func placeOf(list string, i int) string { return list + "[" + thousands(int64(i)) + "]" }

// liftSystem makes a plain system message that comes first the sample's system
// prompt, unless something else is.
func (b *builder) liftSystem() {
	if b.check || b.s.System != "" || b.templates.system != nil || len(b.s.Messages) == 0 {
		return
	}
	if m := b.s.Messages[0]; m.Role == nightshift.RoleSystem && m.Raw == nil {
		b.s.System = m.Text
		b.s.Messages = b.s.Messages[1:]
	}
}

// message reads one message in either dialect.
func (b *builder) message(m value) (nightshift.Role, rowError) {
	if m.kind != kindObject {
		return "", rowError{"the message is " + m.kind.String() + ", not an object", ""}
	}
	var role, content, calls value
	others, nulls := false, false
	for key, v := range members(m.raw) {
		if v.kind == kindNull && string(key) != "content" {
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
	case role.kind != kindString:
		return "", rowError{"the message has no role", ""}
	case !knownRole(role.text()):
		return "", rowError{"unknown role " + quoteShort(role.text()), "system, developer, user, assistant or tool"}
	}
	r := nightshift.Role(role.text())
	if c := b.content(r, content, calls); c.bad() {
		return r, c
	}
	if content.kind == kindString && !others {
		b.say(r, content)
		return r, rowError{}
	}
	if nulls || bytes.Contains(m.raw, []byte("null")) {
		m.raw = sentMessage(m, content)
	}
	raw, c := b.inline(m.raw)
	if c.bad() || b.check {
		return r, c
	}
	b.s.Messages = append(b.s.Messages, nightshift.Message{Role: r, Raw: raw})
	return r, rowError{}
}

// sentMessage is a message without its null members. A content that is null
// beside tool calls says that there is no text, and stays.
func sentMessage(m, content value) []byte {
	out := withoutNulls(m)
	if content.kind == kindNull {
		out = append(out[:len(out)-1], `,"content":null}`...)
	}
	return out
}

// content checks what a message says.
func (b *builder) content(role nightshift.Role, content, calls value) rowError {
	switch content.kind {
	case kindString:
		return rowError{}
	case kindArray:
		if content.empty() && !calls.given() {
			return rowError{"the content is an empty list", ""}
		}
		for _, part := range elements(content.raw) {
			if part.kind == kindString {
				return rowError{"a content part is a text", `write it as {"type": "text", "text": "…"}`}
			}
			if part.kind != kindObject || part.get("type").kind != kindString {
				return rowError{"a content part is no object with a type", ""}
			}
		}
		return rowError{}
	case missing, kindNull:
		if role == nightshift.RoleAssistant && calls.given() {
			return rowError{}
		}
		return rowError{"the message has no content", ""}
	}
	return rowError{"the content is " + content.kind.String() + ", not a text or a list", ""}
}

// conversation reads a ShareGPT chat.
func (b *builder) conversation(r row) rowError {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.kind != kindArray {
		return b.wrongType(b.prompt, v, "a list of {from, value}")
	}
	speaks := false
	for i, m := range elements(v.raw) {
		role, c := b.shareGPT(m)
		if c.bad() {
			c.what = placeOf(b.prompt.name, i) + ": " + c.what
			return c
		}
		speaks = speaks || role != nightshift.RoleSystem
	}
	if !speaks {
		return rowError{quoteShort(b.prompt.name) + " holds nothing to answer", "a human turn is missing"}
	}
	b.liftSystem()
	return rowError{}
}

func (b *builder) shareGPT(m value) (nightshift.Role, rowError) {
	if m.kind != kindObject {
		return "", rowError{"the turn is " + m.kind.String() + ", not an object", ""}
	}
	from, said := m.get("from"), m.get("value")
	if from.kind == missing && m.get("role").kind != missing {
		return b.message(m)
	}
	if from.kind != kindString {
		return "", rowError{`the turn has no "from"`, ""}
	}
	role := shareGPTRole(from.text())
	switch {
	case role == "":
		return "", rowError{"unknown speaker " + quoteShort(from.text()), "human, gpt or system"}
	case said.kind != kindString:
		return "", rowError{`"value" is ` + said.kind.String() + ", not a text", ""}
	}
	b.say(role, said)
	return role, rowError{}
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
func messagesWithoutNulls(list value) []byte {
	out := []byte{'['}
	for i, m := range elements(list.raw) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, sentMessage(m, m.get("content"))...)
	}
	return append(out, ']')
}

// withMember puts a member into a JSON object that is not empty, in the place
// of the one that has its name, or at the end. All else stays as written.
func withMember(object []byte, name string, put func(old value) []byte) []byte {
	out, found := []byte{'{'}, false
	for key, v := range members(object) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), '"', ':')
		if keyIs(key, name) {
			found = true
			out = append(out, put(v)...)
		} else {
			out = append(out, v.raw...)
		}
	}
	if !found {
		out = append(append(append(out, ',', '"'), name...), '"', ':')
		out = append(out, put(value{})...)
	}
	return append(out, '}')
}

// withoutNulls leaves out the members of an object that are null, and those of
// objects and lists inside it. Tables give every object every key. What a tool
// is called with is data and stays as it is.
func withoutNulls(v value) []byte {
	switch v.kind {
	case kindObject:
		out := []byte{'{'}
		for key, member := range members(v.raw) {
			if member.kind == kindNull {
				continue
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, '"'), key...), '"', ':')
			if string(key) == "arguments" || string(key) == "input" {
				out = append(out, member.raw...)
			} else {
				out = append(out, withoutNulls(member)...)
			}
		}
		return append(out, '}')
	case kindArray:
		out := []byte{'['}
		for i, e := range elements(v.raw) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, withoutNulls(e)...)
		}
		return append(out, ']')
	}
	return v.raw
}
