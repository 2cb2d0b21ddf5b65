package conversation

import "nightshift/internal/rawjson"

// ToolChoice reads tool_choice and parallel_tool_calls as OpenAI's formats have
// them. inner is the member that holds the name of the tool that must be
// called; "" where the name stands beside the type.
func (t *Translation) ToolChoice(body rawjson.Value, inner string) Choice {
	c := Choice{Single: body.Get("parallel_tool_calls").IsFalse()}
	v := body.Get("tool_choice")
	switch {
	case !v.Set():
	case v.Get("type").Is("function"):
		named, member := v, "name"
		if inner != "" {
			named, member = v.Get(inner), inner
		}
		t.Only(v, "tool_choice", "type", member)
		c.Kind, c.Name = "tool", named.Get("name").String()
	case v.Is("auto"), v.Is("none"):
		c.Kind = v.String()
	case v.Is("required"):
		c.Kind = "any"
	default:
		t.Cannot("tool_choice", "")
	}
	return c
}

// ToolChoice writes what [Translation.ToolChoice] reads.
func (w *Writer) ToolChoice(c Choice, inner string) {
	switch c.Kind {
	case "auto", "none":
		w.Str("tool_choice", c.Kind)
	case "any":
		w.Str("tool_choice", "required")
	case "tool":
		w.In("tool_choice", '{')
		w.Str("type", "function")
		if inner != "" {
			w.In(inner, '{')
		}
		w.Str("name", c.Name)
		if inner != "" {
			w.Close('}')
		}
		w.Close('}')
	}
	if c.Single {
		w.Raw("parallel_tool_calls", []byte("false"))
	}
}
