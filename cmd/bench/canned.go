package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// canned is the role of a server that costs little: it reads a request, knows
// from its path and body which of four answers is wanted, and writes that with
// one call. A request takes it about ten microseconds of processor time, most
// of them in the kernel, so that what is measured is the client.
func canned(args []string) error {
	f := flag.NewFlagSet("canned", flag.ExitOnError)
	most := f.Int64("most", math.MaxInt64, "answer so many requests and let the others wait")
	_ = f.Parse(args) // exits on error
	var left atomic.Int64
	left.Store(*most)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		l.Close()
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go serveCanned(conn, &left)
	}
}

// serveCanned answers the requests of one connection until it ends, as long as
// any are left.
func serveCanned(conn net.Conn, left *atomic.Int64) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	var body []byte
	for {
		path, size, err := readHead(in)
		if err != nil {
			return
		}
		if cap(body) < size {
			body = make([]byte, size)
		}
		body = body[:size]
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if left.Add(-1) < 0 {
			_, _ = in.ReadByte() // until the client gives up
			return
		}
		if _, err := conn.Write(cannedFor(path, body)); err != nil {
			return
		}
	}
}

// readHead reads the head of a request up to its empty line.
func readHead(in *bufio.Reader) (path string, size int, err error) {
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		line = bytes.TrimSpace(line)
		if first {
			_, rest, _ := bytes.Cut(line, []byte(" "))
			at, _, _ := bytes.Cut(rest, []byte(" "))
			path = string(at)
			continue
		}
		if len(line) == 0 {
			return path, size, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", 0, err
			}
		}
	}
}

func cannedFor(path string, body []byte) []byte {
	stream := bytes.Contains(body, []byte(`"stream":true`))
	messages := strings.HasSuffix(path, "/messages")
	switch {
	case messages && stream:
		return cannedMessagesStream
	case messages:
		return cannedMessages
	case stream:
		return cannedChatStream
	}
	return cannedChat
}

// cannedWords are the parts of the answer, each an event of its own where it is
// streamed.
var cannedWords = []string{
	"The harbour keeps ", "the railway, ", "the library keeps ", "the market, ", "and the answer ", "is 42.",
}

var (
	cannedChat = whole(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"sim-large",` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Join(cannedWords, "") + `"},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":16,"completion_tokens":17,"total_tokens":33}}`)
	cannedMessages = whole(`{"id":"msg_1","type":"message","role":"assistant","model":"sim-large",` +
		`"content":[{"type":"text","text":"` + strings.Join(cannedWords, "") + `"}],"stop_reason":"end_turn",` +
		`"stop_sequence":null,"usage":{"input_tokens":16,"output_tokens":17}}`)
	cannedChatStream     = streamed(chatEvents())
	cannedMessagesStream = streamed(messagesEvents())
)

func whole(body string) []byte {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
	return fmt.Appendf(nil, "%s%d\r\n\r\n%s", head, len(body), body)
}

// streamed is an answer in chunks, one an event.
func streamed(events []string) []byte {
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, e := range events {
		b = fmt.Appendf(b, "%x\r\n%s\r\n", len(e), e)
	}
	return append(b, "0\r\n\r\n"...)
}

func chatEvents() (events []string) {
	event := func(rest string) string {
		return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"sim-large",` +
			rest + "}\n\n"
	}
	for _, w := range cannedWords {
		events = append(events, event(`"choices":[{"index":0,"delta":{"role":"assistant","content":"`+w+
			`"},"finish_reason":null}]`))
	}
	return append(events,
		event(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]`),
		event(`"choices":[],"usage":{"prompt_tokens":16,"completion_tokens":17,"total_tokens":33}`),
		"data: [DONE]\n\n")
}

func messagesEvents() []string {
	event := func(kind, rest string) string {
		return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + rest + "}\n\n"
	}
	events := []string{
		event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"sim-large",`+
			`"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":16,"output_tokens":1}}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
	}
	for _, w := range cannedWords {
		events = append(events, event("content_block_delta",
			`,"index":0,"delta":{"type":"text_delta","text":"`+w+`"}`))
	}
	return append(events,
		event("content_block_stop", `,"index":0`),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":17}`),
		event("message_stop", ""))
}
