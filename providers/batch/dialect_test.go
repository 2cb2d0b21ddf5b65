package batch

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
)

var update = flag.Bool("update", false, "write golden files")

// A dialectCase is the whole way of a batch at one service. What that answers
// is in testdata/answers, in the shapes that it is known for; what it is asked,
// in testdata/asked.
type dialectCase struct {
	preset   string
	protocol nightshift.Protocol
	answers  string // file; "" is the case's own
	at       string // path of the API, which is AT in the file
	file, id string // of the input, and of the batch
	rows     int    // in the result files
}

// Copies of OpenAI's files family, each at its place.
func copyOf(preset, at string, p nightshift.Protocol) dialectCase {
	return dialectCase{preset: preset, protocol: p, answers: "openai", at: at, file: "file-in1", id: "batch_1", rows: 1}
}

var dialectCases = map[string]dialectCase{
	"openai":     copyOf("openai", "/v1", nightshift.Chat),
	"responses":  copyOf("openai", "/v1", nightshift.Responses),
	"embeddings": copyOf("openai", "/v1", nightshift.Embeddings),
	"groq":       copyOf("groq", "/openai/v1", nightshift.Chat),
	"deepinfra":  copyOf("deepinfra", "/v1", nightshift.Chat),
	"dashscope":  copyOf("dashscope", "/compatible-mode/v1", nightshift.Chat),
	"moonshot":   copyOf("moonshot", "/v1", nightshift.Chat),
	"zhipu":      copyOf("zhipu", "/api/paas/v4", nightshift.Chat),
	"doubleword": copyOf("doubleword", "/v1", nightshift.Chat),
	"litellm":    copyOf("litellm", "/v1", nightshift.Chat),
	"gateway":    copyOf("litellm", "/team/openai", nightshift.Chat),
	"azure":      copyOf("azure-openai", "/openai/v1", nightshift.Chat),
	"mistral":    {preset: "mistral", protocol: nightshift.Chat, file: "file-in1", id: "job-1", rows: 1},
	"together":   {preset: "together", protocol: nightshift.Chat, file: "file-in1", id: "tb-1", rows: 1},
	"xai":        {preset: "xai", protocol: nightshift.Chat, file: "file-in1", id: "xb-1", rows: 2},
	"gemini":     {preset: "gemini", protocol: nightshift.Gemini, file: "files/abc", id: "batches/b1", rows: 1},
	"fireworks":  {preset: "fireworks", protocol: nightshift.Chat, file: "DATASET", id: "DATASET", rows: 2},
	"anthropic":  {preset: "anthropic", protocol: nightshift.Messages, id: "msgbatch_1", rows: 1},
	"openrouter": {preset: "openrouter", protocol: nightshift.Chat, id: "orb-1", rows: 1},
}

// readAnswers reads a file of answers: what is asked for, and below it, by two
// spaces more to the right, the status and the body.
func (c dialectCase) readAnswers(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "answers", cmp.Or(c.answers, name)+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	answers, asked := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		if body, ok := strings.CutPrefix(line, "  "); ok {
			answers[asked] += body
			continue
		}
		asked = strings.Replace(strings.TrimSpace(line), " AT/", " "+c.at+"/", 1)
	}
	for asked, answer := range answers {
		answers[asked] = strings.TrimSuffix(answer, "\n")
	}
	return answers
}

// TestDialects takes a batch the whole way at each service, compares what was
// asked with a golden file, and sees that no call was made twice.
func TestDialects(t *testing.T) {
	for name, c := range dialectCases {
		t.Run(name, func(t *testing.T) { c.run(t, name) })
	}
}

func (c dialectCase) run(t *testing.T, name string) {
	f := newFakeAPI(t, c.readAnswers(t, name))
	b := f.batcher(c.preset, c.protocol, func(cfg *Config) {
		switch name {
		case "fireworks":
			cfg.Endpoint.Batch.BaseURL = f.server.URL + "/v1/accounts/acme"
		case "gateway":
			cfg.Endpoint.BaseURL, cfg.Endpoint.Path = f.server.URL+"/team/openai", "/chat/completions"
		}
	})
	var input []byte
	for _, id := range []string{"a", "b"} {
		req := nightshift.Request{Model: "m-1", Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "2+2?"}}}
		if c.protocol == nightshift.Messages {
			req.Params = []nightshift.Param{{Name: "max_tokens", Value: []byte("16")}}
		}
		line, cost, err := b.Encode(input, id, req)
		if err != nil || cost.Hash == "" || cost.Input == 0 {
			t.Fatalf("Encode: %v, cost %+v", err, cost)
		}
		input = line
	}
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, input, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	f.named = c.file == "DATASET"
	o := nightshift.BatchOrder{Name: "ns1-7f3a2c-000012-b3.jsonl", Path: path, Rows: 2, Bytes: int64(len(input))}
	if b.Endpoint.Batch.Metadata {
		o.Metadata = map[string]string{"ns_run": "7f3a2c", "ns_shard": "000012", "ns_batch": "3"}
	}
	file, err := b.Upload(ctx, o.Name, bytes.NewReader(input), int64(len(input)))
	if err != nil || c.file != "DATASET" && file.ID != c.file {
		t.Fatalf("Upload: %+v, %v", file, err)
	}
	o.File = file
	made, err := b.Create(ctx, o)
	wantID := c.id
	if c.id == "DATASET" {
		wantID = file.ID
	}
	if err != nil || made.ID != wantID || made.Phase.Ended() || len(made.Results) > 0 && name != "mistral" {
		t.Fatalf("Create: %+v, %v", made, err)
	}
	found, err := b.Find(ctx, o, time.Unix(1, 0))
	isOurs := func(x nightshift.Batch) bool { return x.ID == wantID && x.Suspect == b.inline() }
	if err != nil || !slices.ContainsFunc(found, isOurs) {
		t.Errorf("Find: %+v, %v", found, err)
	}
	got := c.ended(t, b, wantID)
	var all bytes.Buffer
	for _, handle := range got.Results {
		if err := b.Fetch(ctx, got, handle, &all); err != nil {
			t.Errorf("Fetch(%s): %v", handle, err)
		}
	}
	if n := bytes.Count(all.Bytes(), []byte("\n")); n != c.rows {
		t.Errorf("fetched %d rows, want %d:\n%s", n, c.rows, all.String())
	}
	c.readFirst(t, b, all.Bytes())
	if err := b.Cancel(ctx, wantID); (err != nil) == b.Limits().Cancel {
		t.Errorf("Cancel: %v", err)
	}
	if err := b.Delete(ctx, got); err != nil {
		t.Errorf("Delete: %v", err)
	}
	golden(t, filepath.Join("asked", name+".txt"), f.asked.Bytes())
}

// ended asks until a batch has ended, which has to settle at some services.
func (c dialectCase) ended(t *testing.T, b *Batcher, id string) nightshift.Batch {
	t.Helper()
	if b.settles {
		b.ending[id] = time.Now().Add(-2 * settleTime)
	}
	got, err := b.Get(context.Background(), []string{id})
	if err != nil || len(got) != 1 || got[0].ID != id || got[0].Phase != nightshift.BatchCompleted {
		t.Fatalf("Get: %+v, %v", got, err)
	}
	if total := got[0].Counts.Total; total.Known() != (c.preset != "together") || total.Known() && total.N() != 2 {
		t.Errorf("counts %+v", got[0].Counts)
	}
	if c.file != "" && got[0].FileID == "" && c.preset != "xai" {
		t.Errorf("the batch names no input file: %+v", got[0])
	}
	if got[0].Name != "" && (got[0].Run != "7f3a2c" || got[0].Name != "ns1-7f3a2c-000012-b3") {
		t.Errorf("marks %q %q", got[0].Run, got[0].Name)
	}
	return got[0]
}

func (c dialectCase) readFirst(t *testing.T, b *Batcher, lines []byte) {
	t.Helper()
	line, _, _ := bytes.Cut(lines, []byte("\n"))
	r, err := b.Read(line)
	answered := err == nil && r.Err == nil && r.Response.Text != nil && *r.Response.Text == "4"
	if !answered || r.ID != "a" || b.ResultID(line) != "a" {
		t.Errorf("Read(%s): %+v, %v", line, r, err)
	}
	if r.Response.Usage.ServiceTier != "batch" || len(r.Response.Attempts) != 1 {
		t.Errorf("usage %+v, attempts %+v", r.Response.Usage, r.Response.Attempts)
	}
}
