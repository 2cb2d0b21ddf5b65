package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A batchClient asks a server in the ways of OpenAI and Anthropic.
type batchClient struct {
	*caller
	t   *testing.T
	key string
}

func newBatchClient(t *testing.T, c *caller) *batchClient { return &batchClient{c, t, "sk-any"} }

// simulated runs a test against a server whose batches take their vendor's time,
// which a simulated clock lets pass.
func simulated(t *testing.T, batches, faults string, f func(c *batchClient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		settings, err := ParseBatches(batches)
		if err != nil {
			t.Fatal(err)
		}
		list, err := ParseFaults(faults)
		if err != nil {
			t.Fatal(err)
		}
		c := inProcess(Config{Batches: settings, Faults: list})
		defer c.Close()
		f(newBatchClient(t, c))
	})
}

// usual is how long batches take in most tests: checked after a minute, done 20
// minutes later.
const usual = "validate=1m,run=20m,cancel=5m"

func (c *batchClient) do(method, path, contentType string, body io.Reader) got {
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(b), err}
}

func (c *batchClient) get(path string) got { return c.do("GET", path, "", nil) }

func (c *batchClient) postJSON(path, body string) got {
	return c.do("POST", path, "application/json", strings.NewReader(body))
}

// chatRows is an input file of so many rows.
func chatRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"custom_id":"row-%d","method":"POST","url":"/v1/chat/completions","body":%s}`+"\n",
			i, simple("sim-large", fmt.Sprintf("Question %d?", i), ""))
	}
	return b.String()
}

// sendFile uploads an input file.
func (c *batchClient) sendFile(name, content string) got {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_ = w.WriteField("purpose", "batch")
	part, _ := w.CreateFormFile("file", name)
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return c.do("POST", "/v1/files", w.FormDataContentType(), &form)
}

// member is a text or number of a JSON object, by its path; "" where there is
// none.
func member(t *testing.T, body string, path ...string) string {
	t.Helper()
	var v any
	decode(t, body, &v)
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (c *batchClient) member(g got, path ...string) string {
	c.t.Helper()
	if g.err != nil {
		c.t.Fatal(g.err)
	}
	return member(c.t, g.body, path...)
}

// upload uploads a file and returns its id.
func (c *batchClient) upload(content string) string {
	c.t.Helper()
	id := c.member(c.sendFile("in.jsonl", content), "id")
	if !strings.HasPrefix(id, "file-") {
		c.t.Fatalf("file id %q", id)
	}
	return id
}

func (c *batchClient) sendCreate(file string) got {
	return c.postJSON("/v1/batches",
		fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h",`+
			`"metadata":{"ns_run":"abc"}}`, file))
}

// submit uploads so many rows, makes a batch of them and returns its id.
func (c *batchClient) submit(rows int) string {
	c.t.Helper()
	g := c.sendCreate(c.upload(chatRows(rows)))
	id := c.member(g, "id")
	if g.status != 200 || !strings.HasPrefix(id, "batch_") {
		c.t.Fatalf("create: %d %s", g.status, g.body)
	}
	return id
}

// batch asks how a batch stands.
func (c *batchClient) batch(id string) got {
	c.t.Helper()
	g := c.get("/v1/batches/" + id)
	if g.err != nil {
		c.t.Fatal(g.err)
	}
	return g
}

// await lets so much time pass and checks the batch's state then.
func (c *batchClient) await(id string, d time.Duration, state string) got {
	c.t.Helper()
	time.Sleep(d)
	g := c.batch(id)
	if s := c.member(g, "status"); s != state {
		c.t.Fatalf("after %v: status %q, want %q: %s", d, s, state, g.body)
	}
	return g
}

// A resultRow is a line of a result file.
type resultRow struct {
	ID       string          `json:"custom_id"`
	Response *resultResponse `json:"response"`
	Error    json.RawMessage `json:"error"`
}

type resultResponse struct {
	Status int             `json:"status_code"`
	Body   json.RawMessage `json:"body"`
}

// rows reads a result file of a batch by the name of its handle; nil without
// one.
func (c *batchClient) rows(batch got, handle string) (rows []resultRow) {
	c.t.Helper()
	id := c.member(batch, handle)
	if id == "" {
		return nil
	}
	g := c.get("/v1/files/" + id + "/content")
	if g.status != 200 || g.err != nil {
		c.t.Fatalf("content: %d %v %s", g.status, g.err, g.body)
	}
	for line := range strings.Lines(g.body) {
		var r resultRow
		decode(c.t, line, &r)
		rows = append(rows, r)
	}
	return rows
}

func (c *batchClient) results(batch got) (answers, errors []resultRow) {
	c.t.Helper()
	return c.rows(batch, "output_file_id"), c.rows(batch, "error_file_id")
}

// TestBatchLife follows a batch from the upload to the deletion of its files.
func TestBatchLife(t *testing.T) {
	simulated(t, usual, "", func(c *batchClient) {
		id := c.submit(100)
		g := c.await(id, 0, "validating")
		if n := c.member(g, "request_counts", "total"); n != "0" {
			t.Errorf("a batch that is not checked counts %s rows", n)
		}
		c.await(id, time.Minute, "in_progress")
		g = c.await(id, 10*time.Minute, "in_progress")
		if n := c.member(g, "request_counts", "completed"); n != "50" {
			t.Errorf("half of the time: %s rows", n)
		}
		if h := c.member(g, "output_file_id"); h != "" {
			t.Errorf("output file %q of a batch that runs", h)
		}
		g = c.await(id, 10*time.Minute, "completed")
		answers, errors := c.results(g)
		if len(answers) != 100 || len(errors) != 0 {
			t.Fatalf("%d answers, %d errors", len(answers), len(errors))
		}
		live := parse(t, chatPath, c.post(chatPath, simple("sim-large", "Question 7?", "")))
		if batched := parseChat(t, string(answers[7].Response.Body)); batched.Text != live.Text {
			t.Errorf("batched %q, live %q", batched.Text, live.Text)
		}
		l := c.Rows()
		if l.BatchRows != 100 || l.BatchAnswered != 100 || l.BatchDelivered != 100 ||
			l.BatchBilled != l.BatchDeliveredTokens {
			t.Errorf("ledger: %+v", l.Totals)
		}
		if r := l.Rows["row-7"]; r.Received != 1 || r.Answered != 1 || r.Delivered != 1 || len(r.Batches) != 1 ||
			r.Batches[0] != id {
			t.Errorf("row-7: %+v", r)
		}
		if p := l.Prompts[l.Rows["row-7"].Prompt]; p.Answered != 2 {
			t.Errorf("the prompt of row-7 was answered %d times, want 2: in the batch and live", p.Answered)
		}
		price := map[string]Price{"sim-large": {Input: 1000, Output: 4000}}
		total, _ := l.Invoice(price)
		want := price["sim-large"].Cost(l.BatchBilled)/2 + price["sim-large"].Cost(l.Billed)
		if total != want || l.Answered != 1 {
			t.Errorf("invoice %d, want %d with batches at half the price", total, want)
		}
		for _, file := range []string{c.member(g, "output_file_id"), c.member(g, "input_file_id")} {
			if gone := c.do("DELETE", "/v1/files/"+file, "", nil); c.member(gone, "deleted") != "true" {
				t.Errorf("delete: %s", gone.body)
			}
			if gone := c.get("/v1/files/" + file + "/content"); gone.status != 404 {
				t.Errorf("content of a deleted file: %d", gone.status)
			}
		}
	})
}
