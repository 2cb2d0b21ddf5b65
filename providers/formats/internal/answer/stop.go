package answer

import (
	"slices"
	"strings"

	"nightshift"
)

// stops are the words of all formats, and those that gateways pass on from
// the formats behind them, in lower case.
var stops = map[string]nightshift.StopReason{
	"end_turn":  nightshift.StopEnd,
	"stop":      nightshift.StopEnd,
	"eos":       nightshift.StopEnd, // Together
	"eos_token": nightshift.StopEnd, // TGI
	"end":       nightshift.StopEnd,

	"stop_sequence": nightshift.StopSequence,

	"max_tokens":        nightshift.StopMaxTokens, // also Gemini's, in capitals
	"length":            nightshift.StopMaxTokens,
	"max_output_tokens": nightshift.StopMaxTokens,

	"model_context_window_exceeded": nightshift.StopContextWindow,
	"context_length_exceeded":       nightshift.StopContextWindow,
	"model_length":                  nightshift.StopContextWindow, // Mistral

	"tool_use":      nightshift.StopToolUse,
	"tool_calls":    nightshift.StopToolUse,
	"function_call": nightshift.StopToolUse,

	"refusal": nightshift.StopRefusal,

	"content_filter":     nightshift.StopContentFilter,
	"content_filtered":   nightshift.StopContentFilter,
	"sensitive":          nightshift.StopContentFilter, // Zhipu
	"safety":             nightshift.StopContentFilter, // Gemini, from here on
	"recitation":         nightshift.StopContentFilter,
	"blocklist":          nightshift.StopContentFilter,
	"prohibited_content": nightshift.StopContentFilter,
	"spii":               nightshift.StopContentFilter,

	"pause_turn": nightshift.StopPause,
	"compaction": nightshift.StopPause,
}

// failures are the words with which a server says that it broke off: what
// came is no answer of the model.
var failures = map[string]nightshift.ErrorClass{
	"error":                        nightshift.ClassServer,     // OpenRouter
	"network_error":                nightshift.ClassServer,     // Zhipu
	"insufficient_system_resource": nightshift.ClassOverloaded, // DeepSeek
	"abort":                        nightshift.ClassServer,     // vLLM
	"aborted":                      nightshift.ClassServer,
}

// filterWords are parts of stop words with which filters of every make end an
// answer: "blocked", "guardrail_intervened" (Bedrock), "image_safety" and
// "model_armor" (Google), "content_moderation".
var filterWords = []string{"filter", "safety", "moderat", "guardrail", "blocked", "prohibit", "sensitiv", "policy",
	"censor", "violation", "model_armor", "inspection"}

// Stop translates a server's stop word, whatever its case. A word of a filter
// that is not known is one of a filter all the same; any other unknown word is
// [nightshift.StopOther]; no word is no reason.
func Stop(word string) nightshift.StopReason {
	if word == "" {
		return ""
	}
	if s, ok := stops[word]; ok {
		return s
	}
	word = strings.ToLower(word)
	if s, ok := stops[word]; ok {
		return s
	}
	if slices.ContainsFunc(filterWords, func(part string) bool { return strings.Contains(word, part) }) {
		return nightshift.StopContentFilter
	}
	return nightshift.StopOther
}

// BrokenOff is the error of an answer whose stop word says that the server
// broke off; nil for all other words.
func BrokenOff(word string) *nightshift.Error {
	class, ok := failures[strings.ToLower(word)]
	if !ok {
		return nil
	}
	return &nightshift.Error{Class: class, Code: word, MaybeBilled: true,
		Message: "the server broke off the answer: " + word}
}

// noStops are words with which servers say that a stream has not stopped yet.
var noStops = map[string]bool{"null": true, "none": true, "nil": true, "undefined": true, "unspecified": true,
	"finish_reason_unspecified": true}

// StopWord is the stop word of a piece of a stream; "" where the piece says
// that there is none, be it in words.
func StopWord(word string) string {
	if noStops[strings.ToLower(strings.TrimSpace(word))] {
		return ""
	}
	return word
}

// LaterStop decides between two stop words of one answer, the first of which
// may be empty. A plain end does not take back that the answer was cut off,
// refused or filtered; otherwise the later word counts. conflict is true when
// the earlier one does.
func LaterStop(earlier, later string) (word string, conflict bool) {
	if later == "" {
		return earlier, false
	}
	switch Stop(earlier) {
	case nightshift.StopMaxTokens, nightshift.StopContextWindow, nightshift.StopRefusal, nightshift.StopContentFilter,
		nightshift.StopPause:
	default:
		return later, false
	}
	switch Stop(later) {
	case nightshift.StopEnd, nightshift.StopSequence, nightshift.StopToolUse:
		return earlier, true
	}
	return later, false
}

// MarkStop flags a missing or unknown stop reason.
func MarkStop(r *nightshift.Response) {
	switch r.StopReason {
	case "":
		r.Flag(FlagStopMissing)
	case nightshift.StopOther:
		r.Flag(FlagStopUnknown)
	}
}
