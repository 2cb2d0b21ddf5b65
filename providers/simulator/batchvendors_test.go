package simulator

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift/providers/simulator/internal/batches"
)

// OpenAI's own checks of an input file: the code of the first bad line, and its
// number.
func TestBatchValidation(t *testing.T) {
	good := strings.TrimSpace(chatRows(1))
	line := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, tc := range map[string]struct {
		line string // the second of the file
		code string
	}{
		"no JSON":          {"{", "invalid_json_line"},
		"same id":          {good, "duplicate_custom_id"},
		"no id":            {line(`"custom_id":"row-0",`, ""), "missing_required_parameter"},
		"no body":          {line(`"body":`, `"other":`), "missing_required_parameter"},
		"another endpoint": {line("/v1/chat/completions", "/v1/responses"), "invalid_url"},
		"another model":    {line("sim-large", "sim-small"), "mismatched_model"},
		"a stream":         {line(`"max_tokens"`, `"stream":true,"max_tokens"`), "streaming_unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			simulated(t, usual, "", func(c *batchClient) {
				second := tc.line
				if name != "same id" {
					second = strings.Replace(second, "row-0", "row-1", 1)
				}
				id := c.member(c.sendCreate(c.upload(good+"\n"+second+"\n")), "id")
				e := c.failure(c.await(id, time.Minute, "failed"))
				if e.Code != tc.code || e.Line == nil || *e.Line != 2 {
					t.Errorf("%+v, want %s in line 2", e, tc.code)
				}
			})
		})
	}
}

// What is refused at once, and what makes a batch that fails later.
func TestBatchRefusals(t *testing.T) {
	simulated(t, usual, "", func(c *batchClient) {
		file := c.upload(chatRows(1))
		create := func(from, to string) got {
			return c.postJSON("/v1/batches", strings.Replace(fmt.Sprintf(
				`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, file), from, to, 1))
		}
		c.statusIs(400, create("24h", "1h"))
		c.statusIs(400, create("/v1/chat/completions", "/v1/audio"))
		c.statusIs(400, create(`"endpoint"`, `"metadata":{"k":"`+strings.Repeat("v", 513)+`"},"endpoint"`))
		c.statusIs(400, c.sendCreate(c.member(c.sendFile("in.txt", chatRows(1)), "id")))
		g := create(file, "file-none")
		c.statusIs(200, g)
		e := c.failure(c.await(c.member(g, "id"), time.Minute, "failed"))
		if e.Code != "invalid_request" || !strings.Contains(e.Message, "file-none") {
			t.Errorf("errors %+v", e)
		}
		c.do("DELETE", "/v1/files/"+file, "", nil)
		g = c.sendCreate(file)
		c.failure(c.await(c.member(g, "id"), time.Minute, "failed"))
	})
}

// The queue is full for a third batch until the first two have ended.
func TestBatchQueue(t *testing.T) {
	simulated(t, usual+",queue=900", "", func(c *batchClient) {
		first, second := c.submit(50), c.submit(50)
		c.await(first, time.Minute, "in_progress")
		third := c.submit(50)
		e := c.failure(c.await(third, time.Minute, "failed"))
		if e.Code != "token_limit_exceeded" || !strings.Contains(e.Message, "Limit: 900 enqueued tokens") {
			t.Errorf("errors %+v", e)
		}
		c.await(second, 19*time.Minute, "completed")
		c.await(c.submit(50), time.Hour, "completed")
	})
}

// Keys of other projects see nothing, and files vanish after their time.
func TestBatchProjectsAndRetention(t *testing.T) {
	simulated(t, usual+",projects,retention=48h", "", func(c *batchClient) {
		id := c.submit(3)
		g := c.await(id, time.Hour, "completed")
		c.key = "sk-other"
		c.statusIs(404, c.batch(id))
		c.statusIs(404, c.get("/v1/files/"+c.member(g, "output_file_id")+"/content"))
		c.listed(0)
		c.key = "sk-any"
		c.counts(g, 3, 0)
		time.Sleep(48 * time.Hour)
		c.statusIs(404, c.get("/v1/files/"+c.member(g, "output_file_id")+"/content"))
		c.statusIs(200, c.batch(id))
	})
}

// Other people's batches are in the lists, and one more with each of ours.
func TestBatchOthers(t *testing.T) {
	simulated(t, usual+",others=2", "", func(c *batchClient) {
		c.listed(2)
		id := c.submit(3)
		c.listed(4)
		c.await(id, time.Hour, "completed")
		for _, one := range c.data(c.get("/v1/batches")) {
			if state := member(t, one, "status"); state != "completed" {
				t.Errorf("a batch is %s", state)
			}
		}
		if l := c.Rows(); l.BatchRows != 3 || len(l.Made) != 1 {
			t.Errorf("the ledger has other people's rows: %+v", l.Totals)
		}
	})
}

// Time passes as many times faster as the scale says.
func TestBatchScale(t *testing.T) {
	simulated(t, usual+",scale=60", "", func(c *batchClient) {
		id := c.submit(4)
		c.await(id, time.Second, "in_progress")
		g := c.await(id, 20*time.Second, "completed")
		if d := numberOf(t, g.body, "expires_at") - numberOf(t, g.body, "created_at"); d != 24*60 {
			t.Errorf("it expires after %v s, want a day's sixtieth", d)
		}
	})
}

const messageRows = `{"requests":[
	{"custom_id":"a","params":{"model":"sim-large","max_tokens":50,"messages":[{"role":"user","content":"Hi"}]}},
	{"custom_id":"b","params":{"model":"sim-large","messages":[{"role":"user","content":"Hi"}]}}]}`

// Anthropic's batches: the ids are checked at once, the requests row by row.
func TestMessageBatches(t *testing.T) {
	simulated(t, usual, "", func(c *batchClient) {
		const path = "/v1/messages/batches"
		for from, to := range map[string]string{`"a"`: `"a b"`, `"b"`: `"a"`, `"requests"`: `"rows"`} {
			c.statusIs(400, c.postJSON(path, strings.Replace(messageRows, from, to, 1)))
		}
		g := c.postJSON(path, messageRows)
		id := c.member(g, "id")
		if c.member(g, "processing_status") != "in_progress" || c.member(g, "request_counts", "processing") != "2" {
			t.Errorf("batch %s", g.body)
		}
		c.statusIs(404, c.get(path+"/"+id+"/results"))
		c.statusIs(400, c.do("DELETE", path+"/"+id, "", nil))
		time.Sleep(time.Hour)
		g = c.get(path + "/" + id)
		if c.member(g, "processing_status") != "ended" || c.member(g, "request_counts", "errored") != "1" {
			t.Errorf("batch %s", g.body)
		}
		results := strings.Split(c.get(path+"/"+id+"/results").body, "\n")
		if len(results) != 3 || member(t, results[0], "result", "message", "usage", "service_tier") != "batch" ||
			member(t, results[1], "result", "error", "error", "message") != "max_tokens: Field required" {
			t.Errorf("results %q", results)
		}
		if l := c.Rows(); l.BatchAnswered != 1 || l.BatchRows != 2 {
			t.Errorf("ledger %+v", l.Totals)
		}
		c.statusIs(200, c.do("DELETE", path+"/"+id, "", nil))
		c.statusIs(404, c.get(path+"/"+id))
	})
}

// The other vendors' words for states, and where they differ.
func TestBatchShapes(t *testing.T) {
	simulated(t, usual+",shape=together", "", func(c *batchClient) {
		g := c.sendCreate(c.upload(chatRows(3)))
		c.statusIs(201, g)
		c.await(c.member(g, "job", "id"), time.Hour, "COMPLETED")
		if list := c.get("/v1/batches").body; !strings.HasPrefix(list, "[") {
			t.Errorf("list %s", list)
		}
	})
	simulated(t, usual+",shape=groq", "", func(c *batchClient) {
		c.submit(1)
		wanted := c.submit(1)
		if ids := c.list("?id=" + wanted + "&id=batch_none"); !slices.Equal(ids, []string{wanted}) {
			t.Errorf("listed %v", ids)
		}
	})
	simulated(t, usual+",shape=mistral", "", func(c *batchClient) {
		c.statusIs(422, c.sendFile("in.jsonl", "{"))
		file := c.upload(chatRows(3) + chatRows(1)) // an id twice is no fault there
		g := c.postJSON("/v1/batch/jobs", fmt.Sprintf(
			`{"input_files":[%q],"model":"sim-large","endpoint":"/v1/chat/completions","metadata":{"job":"x"}}`, file))
		id := c.member(g, "id")
		if c.member(g, "status") != "QUEUED" {
			t.Errorf("job %s", g.body)
		}
		time.Sleep(time.Hour)
		g = c.get("/v1/batch/jobs/" + id)
		if c.member(g, "status") != "SUCCESS" || c.member(g, "succeeded_requests") != "4" {
			t.Errorf("job %s", g.body)
		}
		if n := len(c.data(c.get(`/v1/batch/jobs?metadata={"job":"y"}`))); n != 0 {
			t.Errorf("%d jobs with other metadata", n)
		}
	})
}

// Keys that the server does not know are refused in the vendor's words.
func TestBatchKeys(t *testing.T) {
	c := inProcess(Config{Keys: []string{"sk-good"}})
	defer c.Close()
	for path, word := range map[string]string{
		"/v1/batches": "invalid_api_key", "/v1/messages/batches": "authentication_error",
		"/v1beta/batches": "UNAUTHENTICATED", "/v1/batch/jobs": "detail",
	} {
		resp, err := c.client.Get(c.base + path)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 1000)
		n, _ := resp.Body.Read(body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body[:n]), word) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body[:n])
		}
	}
}

// The document lists every fault as it is.
func TestBatchFaultsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range batches.Kinds {
		row := fmt.Sprintf("| %d | `%s` | %s | %s |", i+1, k.Name, k.Of, k.About)
		if !strings.Contains(string(doc), row) {
			t.Errorf("docs/simulator.md lacks the line\n%s", row)
		}
	}
}
