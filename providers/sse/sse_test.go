package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// show writes the events of a stream in one line each.
func show(r *Reader) (string, error) {
	var b strings.Builder
	for {
		ev, err := r.Next()
		if err != nil {
			return b.String(), err
		}
		switch {
		case ev.Comment:
			fmt.Fprintf(&b, "#%s|", ev.Data)
		case ev.Bare:
			fmt.Fprintf(&b, "!%s|", ev.Data)
		default:
			fmt.Fprintf(&b, "%s=%q|", ev.Name, ev.Data)
		}
	}
}

var streams = []struct{ name, in, want string }{
	{"LF", "data: a\n\ndata: b\n\n", `="a"|="b"|`},
	{"CRLF", "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", `x="a"|="b"|`},
	{"CR", "data: a\r\rdata: b\r\r", `="a"|="b"|`},
	{"all three mixed", "data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\r", `="a\nb\nc"|="d"|`},
	{"byte order mark", "\ufeffdata: a\n\n", `="a"|`},
	{"only the first mark is one", "\ufeff\ufeffdata: a\n\ndata: b\n\n", `="b"|`},
	{"no space after the colon", "data:{\"a\":1}\n\n", `="{\"a\":1}"|`},
	{"one space only is dropped", "data:  a\n\n", `=" a"|`},
	{"several data lines", "data: a\ndata: b\ndata\ndata: \n\n", `="a\nb\n\n"|`},
	{"empty data", "data\n\n", `=""|`},
	{"comments", ": OPENROUTER PROCESSING\n\n:\n\ndata: a\n\n", `#OPENROUTER PROCESSING|#|="a"|`},
	{"a comment inside an event", "event: x\ndata: a\n: ping\ndata: b\n\n", `#ping|x="a\nb"|`},
	{"extra blank lines", "\n\n\ndata: a\n\n\n\ndata: b\n\n\n", `="a"|="b"|`},
	{"an event without data is none", "event: x\n\ndata: a\n\n", `="a"|`},
	{"unknown fields", "id: 1\nretry: 5\nfoo: bar\nbaz\ndata: a\n\n", `="a"|`},
	{"end without a blank line", "data: a\n\ndata: b\n", `="a"|="b"|`},
	{"end without a line end", "data: a\n\nevent: x\ndata: b", `="a"|x="b"|`},
	{"bare error after an event", "data: a\n\n{\"error\":{}}\n", `="a"|!{"error":{}}|`},
	{"bare error in the middle of an event", "event: x\ndata: a\n{\"error\":{}}\n\ndata: b\n\n",
		`x="a"|!{"error":{}}|="b"|`},
	{"bare error over several lines",
		"data: a\r\n\r\n{\r\n  \"error\": {\r\n    \"m\": \"}\"\r\n  }\r\n}\r\ndata: b\r\n\r\n",
		"=\"a\"|!{\n  \"error\": {\n    \"m\": \"}\"\n  }\n}|=\"b\"|"},
	{"bare error that is cut off", "data: a\n\n{\n  \"error\": {\n", "=\"a\"|!{\n  \"error\": {|"},
	{"bare error that an event cuts off", "{\n  \"error\"\ndata: b\n\n", "!{\n  \"error\"|=\"b\"|"},
	{"bare error in an event, over two lines", "data: a\n{\"error\":\n{}}\n\ndata: b\n\n",
		"=\"a\"|!{\"error\":\n{}}|=\"b\"|"},
	{"bare list at the end", "[{\"error\":{}}]", `![{"error":{}}]|`},
	{"last name wins", "event: x\nevent: y\ndata: a\n\n", `y="a"|`},
	{"empty", "", ""},
	{"colon in the value", "data: a: b\n\n", `="a: b"|`},
}

func TestReader(t *testing.T) {
	for _, tc := range streams {
		for how, r := range map[string]io.Reader{
			"at once":      strings.NewReader(tc.in),
			"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
			"with the end": iotest.DataErrReader(strings.NewReader(tc.in)),
		} {
			if got, err := show(NewReader(r, 0)); got != tc.want || err != io.EOF {
				t.Errorf("%s, %s: read %s (%v), want %s", tc.name, how, got, err, tc.want)
			}
		}
	}
}

func TestUTF8SplitAcrossReads(t *testing.T) {
	if got, _ := show(NewReader(iotest.OneByteReader(strings.NewReader("data: é😀\n\n")), 0)); got != `="é😀"|` {
		t.Errorf("read %s", got)
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	if got, err := show(NewReader(strings.NewReader("data: "+long+"\n\n"), 0)); got != `="`+long+`"|` || err != io.EOF {
		t.Errorf("a line of 100,000 bytes: %d bytes, %v", len(got), err)
	}
	for name, in := range map[string]string{
		"one line":             "data: a\n\ndata: " + long + "\n\n",
		"a line without end":   "data: a\n\ndata: " + long,
		"data of many lines":   "data: a\n\n" + strings.Repeat("data: 0123456789\n", 1000),
		"a comment":            "data: a\n\n: " + long + "\n\n",
		"endless, never ended": "data: a\n\n" + strings.Repeat(long, 20),
	} {
		r := NewReader(strings.NewReader(in), 5000)
		if got, err := show(r); got != `="a"|` || !errors.Is(err, ErrLineTooLong) {
			t.Errorf("%s: read %.40s (%v), want ErrLineTooLong after the first event", name, got, err)
		}
		if _, err := r.Next(); !errors.Is(err, ErrLineTooLong) {
			t.Errorf("%s: then %v, want the same error again", name, err)
		}
	}
}

func TestErrorDropsWhatIsUnfinished(t *testing.T) {
	broken := errors.New("connection reset")
	in := io.MultiReader(strings.NewReader("data: a\n\ndata: b\ndata: c"), iotest.ErrReader(broken))
	if got, err := show(NewReader(in, 0)); got != `="a"|` || err != broken {
		t.Errorf("read %s (%v), want the first event and the reader's error", got, err)
	}
}

// TestNextDoesNotWait: an event is handed out when its blank line has come,
// even one that ends in CR, of which an LF may follow.
func TestNextDoesNotWait(t *testing.T) {
	for _, in := range []string{"data: a\n\n", "data: a\r\r", "data: a\r\n\r", ": a\r", "{}\n"} {
		pr, pw := io.Pipe()
		go func() { _, _ = pw.Write([]byte(in)) }() // and then silence
		if ev, err := NewReader(pr, 0).Next(); err != nil || len(ev.Data) == 0 {
			t.Errorf("%q: %v, %v", in, ev, err)
		}
		_ = pr.Close()
	}
}

// FuzzReader: the events do not depend on how the bytes arrive, and no data
// line is lost.
func FuzzReader(f *testing.F) {
	for _, tc := range streams {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := show(NewReader(bytes.NewReader(in), 64))
		drip, err2 := show(NewReader(iotest.OneByteReader(bytes.NewReader(in)), 64))
		if whole != drip || !errors.Is(err2, err) {
			t.Fatalf("at once %s (%v), byte by byte %s (%v)", whole, err, drip, err2)
		}
		if err != io.EOF && !errors.Is(err, ErrLineTooLong) {
			t.Fatal(err)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	in := []byte(
		strings.Repeat("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"+
			"\"type\":\"text_delta\",\"text\":\"Hi there\"}}\n\n", 100))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(in), 0)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}
