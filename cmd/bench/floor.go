package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// floor is the role of the bare loop: read a row, post it, read the answer,
// decode it, write a line. It keeps nothing safe and survives nothing; that is
// what makes it the floor.
func floor(args []string) error {
	f := flag.NewFlagSet("floor", flag.ExitOnError)
	url := f.String("url", "", "base URL of the server")
	rows := f.String("rows", "", "JSONL file with prompts")
	out := f.String("out", "", "file for the answers")
	concurrency := f.Int("concurrency", 64, "requests in flight")
	stream := f.Bool("stream", false, "ask for streams")
	path := f.String("path", chatPath, "of the requests")
	after := f.Int("after", 0, "print the rate after so many answers")
	_ = f.Parse(args) // exits on error

	in, err := os.Open(*rows)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := os.Create(*out)
	if err != nil {
		return err
	}
	l := &loop{
		url: *url + *path, stream: *stream, out: bufio.NewWriterSize(file, 64<<10),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}},
	}
	lines := make(chan []byte)
	var wg sync.WaitGroup
	for range *concurrency {
		wg.Go(func() { l.work(lines) })
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		lines <- bytes.Clone(scan.Bytes())
	}
	close(lines)
	wg.Wait()
	if l.err == nil {
		l.err = scan.Err()
	}
	if *after > 0 && l.err == nil {
		fmt.Println(rateAfter(l.ends, *after))
	}
	if err := l.out.Flush(); l.err == nil {
		l.err = err
	}
	if err := file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}

type loop struct {
	url    string
	stream bool
	client *http.Client

	mu   sync.Mutex
	out  *bufio.Writer
	ends []time.Time // of the answers
	err  error       // the first
}

// The formats that the bare loop speaks, by the paths of their requests.
const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
)

type chatRequest struct {
	Model    string        `json:"model"`
	Messages []chatMessage `json:"messages"`
	Stream   bool          `json:"stream,omitempty"`
	Most     int           `json:"max_tokens,omitempty"` // of an answer; Messages wants it
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A chatAnswer is an answer, or an event of one, in either format.
type chatAnswer struct {
	Content []struct {
		Text string `json:"text"`
	} `json:"content"`
	Delta struct {
		Text string `json:"text"`
	} `json:"delta"`
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
}

// A floorLine is a row, and what is kept of it.
type floorLine struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text,omitempty"`
}

func (l *loop) work(lines <-chan []byte) {
	for line := range lines {
		if err := l.row(line); err != nil {
			l.mu.Lock()
			if l.err == nil {
				l.err = err
			}
			l.mu.Unlock()
		}
	}
}

func (l *loop) row(line []byte) error {
	var row floorLine
	if err := json.Unmarshal(line, &row); err != nil {
		return err
	}
	body, err := json.Marshal(
		chatRequest{Model: "sim-large", Stream: l.stream, Messages: []chatMessage{{"user", row.Prompt}}})
	if err != nil {
		return err
	}
	resp, err := l.client.Post(l.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if row.Text, err = l.read(resp.Body); err != nil {
		return err
	}
	kept, err := json.Marshal(row)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, time.Now())
	_, err = l.out.Write(append(kept, '\n'))
	return err
}

func (l *loop) read(body io.Reader) (string, error) {
	if l.stream {
		return readStream(body)
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	var a chatAnswer
	if err := json.Unmarshal(all, &a); err != nil {
		return "", err
	}
	switch {
	case len(a.Choices) > 0:
		return a.Choices[0].Message.Content, nil
	case len(a.Content) > 0:
		return a.Content[0].Text, nil
	}
	return "", fmt.Errorf("no answer in %s", all)
}

func readStream(body io.Reader) (string, error) {
	var text strings.Builder
	scan := bufio.NewScanner(body)
	for scan.Scan() {
		data, ok := bytes.CutPrefix(scan.Bytes(), []byte("data: "))
		if !ok || bytes.Equal(data, []byte("[DONE]")) {
			continue
		}
		var a chatAnswer
		if err := json.Unmarshal(data, &a); err != nil {
			return "", err
		}
		text.WriteString(a.Delta.Text)
		if len(a.Choices) > 0 {
			text.WriteString(a.Choices[0].Delta.Content)
		}
	}
	return text.String(), scan.Err()
}
