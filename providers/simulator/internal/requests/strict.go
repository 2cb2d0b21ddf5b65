package requests

import (
	"fmt"
	"strings"
)

// Models that refuse sampling parameters, by the prefix of their names.
var (
	coldClaudes = []string{"claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-fable-5",
		"claude-mythos-5"}
	noPrefill = []string{"claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5",
		"claude-fable-5"}
	reasoners = []string{"o1", "o3", "o4", "gpt-5"}
)

// Strict refuses what particular vendor models refuse.
func Strict(a *Request) *Error {
	if a.Protocol == Chat {
		return strictChat(a)
	}
	if prefixed(a.Model, coldClaudes) && a.sampling != "" {
		return &Error{Message: fmt.Sprintf("`%s` is not supported on this model.", a.sampling)}
	}
	if prefixed(a.Model, coldClaudes) && a.Budget > 0 {
		return &Error{
			Message: `"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and ` +
				`"output_config.effort" to control thinking behavior.`}
	}
	if n := len(a.Turns); prefixed(a.Model, noPrefill) && n > 0 && a.Turns[n-1].role == "assistant" {
		return &Error{
			Message: "This model does not support assistant message prefill. The conversation must end with a user message."}
	}
	return nil
}

func strictChat(a *Request) *Error {
	if !prefixed(a.Model, reasoners) || strings.HasPrefix(a.Model, "gpt-5-chat") {
		return nil
	}
	unsupported := func(param, message string) *Error {
		return &Error{Message: message, Param: param, Code: "unsupported_parameter"}
	}
	switch {
	case a.oldCap:
		return unsupported("max_tokens",
			"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
	case a.sampling != "":
		return unsupported(a.sampling,
			fmt.Sprintf("Unsupported parameter: '%s' is not supported with this model.", a.sampling))
	}
	return nil
}

func prefixed(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
