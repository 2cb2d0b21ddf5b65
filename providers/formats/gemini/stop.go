package gemini

import (
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// reasons are the numbers that stand for finish reasons where a client asked
// for enums as numbers. Above these the two APIs of Google number differently.
var reasons = map[string]string{
	"0": "FINISH_REASON_UNSPECIFIED", "1": "STOP", "2": "MAX_TOKENS", "3": "SAFETY", "4": "RECITATION", "5": "OTHER",
}

// word is the text of an enum, which may be a number.
func word(v rawjson.Value) string {
	if v.Kind() == rawjson.Number {
		return string(v.Raw())
	}
	return v.String()
}

// name is the name of a finish reason; one without a known name is its own.
func name(reason string) string {
	if known, ok := reasons[reason]; ok {
		return known
	}
	return reason
}

// stopReason is a finish reason in our words. Unknown ones are other.
func stopReason(reason string) nightshift.StopReason {
	if strings.Contains(name(reason), "RECITATION") {
		return nightshift.StopContentFilter
	}
	return answer.Stop(name(reason))
}

// later decides between two finish reasons of one candidate, of which a stream
// may have any number; see [answer.LaterStop].
func later(earlier, reason string) (kept string, conflict bool) {
	if answer.StopWord(name(reason)) == "" {
		return earlier, false
	}
	if _, conflict = answer.LaterStop(name(earlier), name(reason)); conflict {
		return earlier, true
	}
	return reason, false
}
