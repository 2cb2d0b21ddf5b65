package providertest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"sync"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// bodies are rows 18 to 20 and 29 to 32: answers that are not there, not
// whole, too large, or encoded strangely.
func bodies() []Fault {
	lost := func(class nightshift.ErrorClass) Want { return Want{Outcome: Unknown, Class: class} }
	partial := lost(nightshift.ClassCut)
	partial.Text = headText
	return []Fault{
		{Number: 18, Name: "200 with nothing", Respond: func(x *Exchange) {
			x.Answer(200, "", "Content-Type", x.contentType())
		}, Want: lost(nightshift.ClassEmptyResponse)},
		{Number: 18, Name: "200 with blank lines", Respond: func(x *Exchange) {
			x.Answer(200, "\n\n \r\n", "Content-Type", x.contentType())
		}, Want: lost(nightshift.ClassEmptyResponse)},
		{Number: 18, Name: "204", Respond: func(x *Exchange) {
			x.Head(204)
			x.kept = true
		}, Want: lost(nightshift.ClassEmptyResponse)},
		{Number: 18, Name: "206", Respond: func(x *Exchange) {
			x.Answer(206, x.good()[:20], "Content-Range", "bytes 0-19/400")
		}, Want: lost(nightshift.ClassCut)},
		{Number: 19, Name: "shorter than its length", Respond: func(x *Exchange) {
			body := strings.Join(x.cut(), "")
			x.Head(200, "Content-Type", x.contentType(), "Content-Length", fmt.Sprint(len(body)+100))
			x.Write(body)
		}, Want: partial},
		{Number: 19, Name: "chunks that stop", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", x.contentType(), "Transfer-Encoding", "chunked")
			for _, part := range x.cut() {
				x.Chunk(part)
			}
		}, Want: partial},
		{Number: 19, Name: "chunks that are none", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", x.contentType(), "Transfer-Encoding", "chunked")
			for _, part := range x.cut() {
				x.Chunk(part)
			}
			x.Write("zebra\r\n")
		}, Want: partial},
		{Number: 20, Name: "cut without a length", Respond: func(x *Exchange) {
			x.Head(200, "Content-Type", x.contentType(), "Connection", "close")
			x.Write(strings.Join(x.cut(), ""))
		}, Want: partial},
		{Number: 29, Name: "nested deeper than is read", Respond: func(x *Exchange) {
			id := quote(x.idKey())
			deep := strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)
			if x.Stream {
				x.GoodBody(strings.Replace(strings.Join(x.events()[:1], ""), id, `"deep":`+deep+`,`+id, 1))
				return
			}
			x.GoodBody(strings.Replace(x.good(), id, `"deep":`+deep+`,`+id, 1))
		}, Want: Want{Outcome: Fail, Class: nightshift.ClassBadResponse, MaybeBilled: true, Also: keepsRaw}},
		{Number: 30, Name: "above the cap", Respond: func(x *Exchange) {
			x.endless()
		}, MaxBody: 2 << 20, Want: lost(nightshift.ClassTooLong)},
		{Number: 31, Name: "gzip bomb", Respond: func(x *Exchange) {
			x.Answer(200, bomb(), "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, MaxBody: 2 << 20, Want: lost(nightshift.ClassTooLong)},
		{Number: 31, Name: "gzip bomb below the cap", Respond: func(x *Exchange) {
			x.Answer(200, bomb(), "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, Want: lost(nightshift.ClassTooLong)},
		{Number: 31, Name: "gzip, honest", Respond: func(x *Exchange) {
			x.Answer(200, zip(x.good()), "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, Want: Want{Outcome: OK, Text: fullText}},
		{Number: 32, Name: "an encoding that was not asked for", Respond: func(x *Exchange) {
			x.Answer(200, "\x1b\x03\x00\xf8\xa5", "Content-Type", x.contentType(), "Content-Encoding", "br")
		}, Want: lost(nightshift.ClassBadResponse)},
		{Number: 32, Name: "says gzip and is not", Respond: func(x *Exchange) {
			x.Answer(200, x.good(), "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, Want: lost(nightshift.ClassBadResponse)},
		{Number: 32, Name: "gzip without saying so", Respond: func(x *Exchange) {
			x.Answer(200, zip(x.good()), "Content-Type", x.contentType())
		}, Want: lost(nightshift.ClassBadResponse)},
		{Number: 32, Name: "gzip twice", Respond: func(x *Exchange) {
			x.Answer(200, zip(zip(x.good())), "Content-Type", x.contentType(), "Content-Encoding", "gzip, gzip")
		}, Want: lost(nightshift.ClassBadResponse)},
		{Number: 32, Name: "gzip twice, said once", Respond: func(x *Exchange) {
			x.Answer(200, zip(zip(x.good())), "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, Want: lost(nightshift.ClassBadResponse)},
		{Number: 32, Name: "gzip that is cut", Respond: func(x *Exchange) {
			packed := zip(x.good())
			x.Answer(200, packed[:len(packed)/2], "Content-Type", x.contentType(), "Content-Encoding", "gzip")
		}, Want: lost(nightshift.ClassCut)},
	}
}

// cut is the beginning of the answer: two thirds of a whole one, a stream up
// to its first content.
func (c Case) cut() []string {
	if c.Stream {
		return c.events()[:c.content()]
	}
	body := c.good()
	return []string{body[:len(body)/3], body[len(body)/3 : 2*len(body)/3]}
}

func keepsRaw(tb testing.TB, _ Case, x providers.Exchange) {
	if len(x.Response.Raw) == 0 {
		tb.Error("the raw body is not kept")
	}
}

// endless sends text until the client has had enough.
func (x *Exchange) endless() {
	x.Begin(x.content())
	if !x.Stream {
		x.Write(strings.Split(x.good(), quote(Text))[0] + `"`)
	}
	filler := strings.Repeat("x", 1<<20)
	if x.Stream {
		event := x.stream([]string{quote(strings.Repeat("x", 1<<20))}, notCounted)[x.content()-1]
		filler = event
	}
	for range 80 {
		if _, err := x.conn.Write([]byte(filler)); err != nil {
			return
		}
	}
}

// bomb is 32 MiB of blanks in 32 KiB.
var bomb = sync.OnceValue(func() string { return zip(strings.Repeat(" ", 32<<20)) })

func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}
