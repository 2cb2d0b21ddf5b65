package providertest

import (
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
)

// streams are rows 41 to 46: event streams that stall, break off, or are
// written in unusual ways.
func streams() []Fault {
	lost := func(class nightshift.ErrorClass) Want { return Want{Outcome: Unknown, Class: class} }
	kept := func(class nightshift.ErrorClass) Want {
		w := lost(class)
		w.Text = headText
		return w
	}
	broken := func(o Outcome, class nightshift.ErrorClass) Want {
		return Want{Outcome: o, Class: class, MaybeBilled: true, Text: headText}
	}
	good := Want{Outcome: OK, Text: fullText}
	flagged := Want{Outcome: OK, Text: fullText, Also: countsOnce}
	after := func(n func(Case) int, s string) func(*Exchange) {
		return func(x *Exchange) {
			x.Begin(n(x.Case))
			x.Write(s)
		}
	}
	written := func(edit func(string) string) func(*Exchange) {
		return func(x *Exchange) {
			x.Head(200, "Content-Type", "text/event-stream", "Connection", "close")
			x.Write(edit(x.good()))
		}
	}
	faults := []Fault{
		{Number: 41, Name: "comments only", Respond: func(x *Exchange) {
			x.Begin(0)
			x.Drip(strings.Repeat(": keep-alive\n\n", 1<<20), 5*time.Millisecond)
		}, Timeouts: providers.Timeouts{FirstByte: 200 * time.Millisecond}, Want: lost(nightshift.ClassTimeoutFirstByte)},
		{Number: 41, Name: "pings only after the first content", Respond: func(x *Exchange) {
			x.Begin(x.content())
			x.Drip(strings.Repeat(`data: {"type":"ping"}`+"\n\n", 1<<20), 2*time.Millisecond)
		}, Timeouts: providers.Timeouts{Idle: 200 * time.Millisecond}, Want: kept(nightshift.ClassTimeoutIdle)},
		{Number: 42, Name: "ends without its end", Respond: after(Case.content, ""), Want: kept(nightshift.ClassCut)},
		{Number: 42, Name: "[DONE] after a cut", Respond: after(Case.content, "data: [DONE]\n\n"),
			Want: kept(nightshift.ClassCut)},
		{Number: 42, Name: "ends in the middle of an event",
			Respond: after(Case.content, `data: {"type":"content_block_delta","ind`), Want: kept(nightshift.ClassCut)},
		{Number: 42, Name: "the word null for a finish reason, cut", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", "text/event-stream", "Connection", "close")
			events := strings.Join(x.events()[:x.content()], "")
			x.Write(strings.ReplaceAll(events, `"finish_reason":null`, `"finish_reason":"null"`) + "data: [DONE]\n\n")
		}, Want: kept(nightshift.ClassCut)},
		{Number: 43, Name: "overloaded in the middle", Respond: func(x *Exchange) {
			x.Begin(x.content())
			x.Write("event: error\ndata: " + x.echoing(x.Request, 503, "overloaded_error", "overloaded_error",
				"Overloaded") + "\n\n")
		}, Want: broken(Unknown, nightshift.ClassOverloaded)},
		{Number: 43, Name: "a bare error line in the middle", Respond: func(x *Exchange) {
			x.Begin(x.content())
			x.Write(x.echoing(x.Request, 500, "api_error", "server_error", "upstream broke") + "\n")
		}, Want: broken(Unknown, nightshift.ClassServer)},
		{Number: 43, Name: "content policy in the middle", Respond: func(x *Exchange) {
			x.Begin(x.content())
			x.Write("data: " + x.echoing(x.Request, 400, "content_filter", "content_filter", "filtered") + "\n\n")
		}, Want: broken(Fail, nightshift.ClassContentPolicy)},
		{Number: 43, Name: "an error before anything", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", "text/event-stream", "Connection", "close")
			x.Write("event: error\ndata: " + x.echoing(x.Request, 503, "overloaded_error", "overloaded_error",
				"Overloaded") + "\n\n")
		}, Want: Want{Outcome: Break, Class: nightshift.ClassOverloaded}},
		{Number: 43, Name: "an error as JSON for a stream", Respond: func(x *Exchange) {
			x.Answer(200, x.echoing(x.Request, 503, "overloaded_error", "overloaded_error", "Overloaded"),
				"Content-Type", "text/event-stream")
		}, Want: Want{Outcome: Break, Class: nightshift.ClassOverloaded}},
		{Number: 44, Name: "a line of 100 MB", Respond: func(x *Exchange) {
			x.Begin(x.content())
			x.Write("data: ")
			filler := []byte(strings.Repeat("x", 1<<20))
			for range 100 {
				if _, err := x.conn.Write(filler); err != nil {
					return
				}
			}
		}, MaxLine: 256 << 10, Want: kept(nightshift.ClassTooLong)},
		{Number: 45, Name: "CRLF", Respond: written(func(s string) string {
			return strings.ReplaceAll(s, "\n", "\r\n")
		}), Want: good},
		{Number: 45, Name: "CR", Respond: written(func(s string) string {
			return strings.ReplaceAll(s, "\n", "\r")
		}), Want: good},
		{Number: 45, Name: "byte order mark", Respond: written(func(s string) string { return "\ufeff" + s }), Want: good},
		{Number: 45, Name: "comments and blank lines", Respond: written(func(s string) string {
			return ": PROCESSING\n\n\n\n" + strings.ReplaceAll(s, "\n\n", "\n\n\n: ping\n\n")
		}), Want: good},
		{Number: 45, Name: "no space after the colon", Respond: written(func(s string) string {
			return strings.ReplaceAll(s, ": ", ":")
		}), Want: good},
		{Number: 45, Name: "data over several lines", Respond: written(func(s string) string {
			return strings.ReplaceAll(s, `,"`, ",\ndata: \"")
		}), Want: good},
		{Number: 45, Name: "no last blank line", Respond: written(func(s string) string {
			return strings.TrimRight(s, "\n")
		}), Want: good},
		{Number: 45, Name: "no event names", Respond: written(func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			var b strings.Builder
			for _, line := range lines {
				if !strings.HasPrefix(line, "event:") {
					b.WriteString(line)
				}
			}
			return b.String()
		}), Want: good},
		{Number: 45, Name: "UTF-8 split across reads", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", "text/event-stream", "Connection", "close")
			x.Drip(x.answer(counted, `"héé"`, `"日本"`), 10*time.Microsecond)
		}, Want: Want{Outcome: OK, Text: func(Case) *string { s := "héé日本"; return &s }}},
		{Number: 46, Name: "events after the end", Respond: written(func(s string) string {
			return s + s
		}), Want: flagged, Applies: func(c Case) bool { return c.Stream && !c.goesOn() }},
		{Number: 46, Name: "end twice", Respond: written(func(s string) string {
			events := strings.SplitAfter(s, "\n\n")
			return s + events[len(events)-2]
		}), Want: flagged},
	}
	for i := range faults {
		if faults[i].Applies == nil {
			faults[i].Applies = streamed
		}
	}
	return faults
}

func countsOnce(tb testing.TB, _ Case, x providers.Exchange) {
	u := x.Response.Usage
	if u.Input.N() != inputTokens || u.Output.N() != outputTokens {
		tb.Errorf("usage %+v, want %d and %d", u, inputTokens, outputTokens)
	}
}
