package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/batch"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
)

// services are the presets whose batch APIs the simulator has.
var services = []struct {
	preset   string
	protocol nightshift.Protocol
	shape    string
}{
	{"openai", nightshift.Chat, ""},
	{"openai", nightshift.Responses, ""},
	{"openai", nightshift.Completions, ""},
	{"openai", nightshift.Embeddings, ""},
	{"groq", nightshift.Chat, "groq"},
	{"together", nightshift.Chat, "together"},
	{"mistral", nightshift.Chat, "mistral"},
	{"anthropic", nightshift.Messages, ""},
	{"gemini", nightshift.Gemini, ""},
	{"simulator", nightshift.Chat, ""},
	{"simulator", nightshift.Messages, ""},
}

var anyKey = secrets.New("sk-test-0123456789abcdef")

func at(t *testing.T, preset string, p nightshift.Protocol, s *simulator.Server) *batch.Batcher {
	t.Helper()
	e, ok := providers.Lookup(preset, p, nil)
	if !ok {
		t.Fatalf("no preset %s for %s", preset, p)
	}
	e.BaseURL, e.AllowHTTP = strings.Replace(e.BaseURL, "https://", "http://", 1), true // the simulator speaks no TLS
	b, err := batch.New(batch.Config{Endpoint: e, Key: anyKey, Model: "m-1", Transport: s.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// order writes an input file of n rows.
func order(t *testing.T, b *batch.Batcher, p nightshift.Protocol, n int) nightshift.BatchOrder {
	t.Helper()
	var input []byte
	for i := range n {
		prompt := nightshift.Message{Role: nightshift.RoleUser, Text: fmt.Sprint("prompt ", i)}
		req := nightshift.Request{Model: "m-1", Messages: []nightshift.Message{prompt}}
		if p == nightshift.Messages {
			req.Params = []nightshift.Param{{Name: "max_tokens", Value: []byte("64")}}
		}
		var err error
		if input, _, err = b.Encode(input, fmt.Sprintf("ns1-7f3a2c-000000-b1-%d-0-0-9d41", i), req); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, input, 0o600); err != nil {
		t.Fatal(err)
	}
	o := nightshift.BatchOrder{Name: "ns1-7f3a2c-000000-b1.jsonl", Path: path, Rows: n, Bytes: int64(len(input)),
		Metadata: map[string]string{"ns_run": "7f3a2c", "ns_shard": "000000", "ns_batch": "1"}}
	file, err := b.Upload(context.Background(), o.Name, bytes.NewReader(input), o.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	o.File = file
	return o
}

// TestAgainstTheSimulator takes rows the whole way at each service that the
// simulator speaks for.
func TestAgainstTheSimulator(t *testing.T) {
	for _, c := range services {
		t.Run(c.preset+"-"+string(c.protocol), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := simulator.New(simulator.Config{Batches: simulator.Batches{
					Shape: c.shape, Validate: time.Minute, Run: 30 * time.Minute, Others: 3,
				}})
				defer s.Close()
				wholeWay(t, at(t, c.preset, c.protocol, s), c.protocol)
			})
		})
	}
}

func wholeWay(t *testing.T, b *batch.Batcher, p nightshift.Protocol) {
	ctx := context.Background()
	began := time.Now()
	o := order(t, b, p, 7)
	made, err := b.Create(ctx, o)
	if err != nil || made.ID == "" || made.Phase.Ended() {
		t.Fatalf("Create: %+v, %v", made, err)
	}
	found, err := b.Find(ctx, o, began.Add(-10*time.Minute))
	if err != nil || len(found) != 1 || found[0].ID != made.ID || found[0].Suspect != b.Limits().Inline {
		t.Errorf("Find: %+v, %v", found, err)
	}
	time.Sleep(time.Hour)
	got, err := b.Get(ctx, []string{made.ID, "nobody-has-this"})
	if err != nil || len(got) != 2 || got[0].ID != made.ID || got[0].Phase != nightshift.BatchCompleted ||
		got[1].Phase != nightshift.BatchGone {
		t.Fatalf("Get: %+v, %v", got, err)
	}
	answered := map[string]bool{}
	for _, handle := range got[0].Results {
		var file bytes.Buffer
		if err := b.Fetch(ctx, got[0], handle, &file); err != nil {
			t.Fatalf("Fetch: %v", err)
		}
		for line := range bytes.Lines(file.Bytes()) {
			r, err := b.Read(line)
			if err != nil || r.Err != nil || r.ID != b.ResultID(line) {
				t.Errorf("Read(%s): %+v, %v", line, r, err)
			}
			answered[r.ID] = true
		}
	}
	if len(answered) != 7 {
		t.Errorf("%d rows have answers, want 7", len(answered))
	}
	if err := b.Delete(ctx, got[0]); err != nil {
		t.Errorf("Delete: %v", err)
	}
	var none bytes.Buffer
	var wrong *nightshift.BatchError
	err = b.Fetch(ctx, got[0], got[0].Results[0], &none)
	if !errors.As(err, &wrong) || wrong.Cause != nightshift.BatchFileMissing {
		t.Errorf("Fetch of what was deleted: %v", err)
	}
}
