package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nightshift/providers/simulator/internal/batches"
)

const day = 24 * time.Hour

// batchFaultTests say for each fault what a client sees of it. The faults are
// in the order of the documentation.
var batchFaultTests = []struct {
	fault string // settings of the fault behind its name
	check func(c *batchClient)
}{
	{"upload_error=100%;call=1", func(c *batchClient) {
		c.statusIs(503, c.sendFile("in.jsonl", chatRows(1)))
		c.upload(chatRows(1))
		if n := c.Rows().Calls["upload"]; n != 2 {
			c.t.Errorf("%d uploads in the ledger", n)
		}
	}},
	{"upload_cut=100%;call=1", func(c *batchClient) {
		c.broken(c.sendFile("in.jsonl", chatRows(200)))
		c.upload(chatRows(1))
	}},
	{"file_unseen=100%", func(c *batchClient) {
		file := c.upload(chatRows(1))
		c.statusIs(404, c.get("/v1/files/"+file))
		c.statusIs(404, c.sendCreate(file))
		time.Sleep(3 * time.Second)
		c.statusIs(200, c.get("/v1/files/"+file))
		c.statusIs(200, c.sendCreate(file))
	}},
	{"create_error=100%;batch=1", func(c *batchClient) {
		c.statusIs(500, c.sendCreate(c.upload(chatRows(3))))
		c.listed(0)
		c.submit(3)
		c.listed(1)
	}},
	{"create_error_made=100%;batch=1", func(c *batchClient) {
		file := c.upload(chatRows(3))
		c.statusIs(500, c.sendCreate(file))
		c.foundBy(file)
	}},
	{"create_timeout_made=100%;hold=2m", func(c *batchClient) {
		file, start := c.upload(chatRows(3)), time.Now()
		c.broken(c.sendCreate(file))
		if took := time.Since(start); took != 2*time.Minute {
			c.t.Errorf("the call took %v", took)
		}
		c.foundBy(file)
	}},
	{"create_cut_made=100%", func(c *batchClient) {
		file := c.upload(chatRows(3))
		c.broken(c.sendCreate(file))
		c.foundBy(file)
	}},
	{"create_no_id=100%", func(c *batchClient) {
		file := c.upload(chatRows(3))
		g := c.sendCreate(file)
		c.statusIs(200, g)
		if id := c.member(g, "id"); id != "" || c.member(g, "status") == "" {
			c.t.Errorf("answer %s", g.body)
		}
		c.foundBy(file)
	}},
	{"list_lag=100%", func(c *batchClient) {
		id := c.submit(3)
		c.listed(0)
		c.statusIs(200, c.batch(id))
		time.Sleep(time.Minute)
		c.listed(1)
	}},
	{"list_hides_newest=100%;call=1", func(c *batchClient) {
		older := c.submit(3)
		newest := c.submit(3)
		if ids := c.list("?limit=1"); len(ids) != 1 || ids[0] != older {
			c.t.Errorf("first list: %v", ids)
		}
		if ids := c.list("?limit=1"); len(ids) != 1 || ids[0] != newest {
			c.t.Errorf("second list: %v", ids)
		}
	}},
	{"list_disorder=100%", func(c *batchClient) {
		first, second, third := c.submit(1), c.submit(1), c.submit(1)
		if ids := c.list("?limit=2"); len(ids) != 2 || ids[0] != second || ids[1] != third {
			c.t.Errorf("first page: %v", ids)
		}
		if ids := c.list("?limit=2&after=" + second); len(ids) != 2 || ids[0] != first || ids[1] != second {
			c.t.Errorf("second page: %v", ids)
		}
	}},
	{"same_size_others=100%", func(c *batchClient) {
		c.submit(3)
		c.listed(2)
		time.Sleep(time.Hour)
		g := c.get("/v1/batches")
		for _, one := range c.data(g) {
			if n := member(c.t, one, "request_counts", "total"); n != "3" {
				c.t.Errorf("a batch of %s rows", n)
			}
		}
		if l := c.Rows(); l.BatchRows != 3 || len(l.Made) != 1 {
			c.t.Errorf("the ledger has other people's rows: %+v", l.Totals)
		}
	}},
	{"get_404=100%", func(c *batchClient) {
		id := c.submit(3)
		c.statusIs(404, c.batch(id))
		c.statusIs(200, c.batch(id))
	}},
	{"get_429=100%;call=1", func(c *batchClient) {
		id := c.submit(3)
		g := c.batch(id)
		c.statusIs(429, g)
		if wait := g.header.Get("Retry-After"); wait != "10" {
			c.t.Errorf("Retry-After %q", wait)
		}
		c.statusIs(200, c.batch(id))
	}},
	{"unknown_state=100%", func(c *batchClient) {
		id := c.submit(3)
		c.await(id, 2*time.Minute, "paused")
		c.await(id, 20*time.Minute, "completed")
	}},
	{"stuck_validating=100%", func(c *batchClient) {
		id := c.submit(3)
		c.await(id, 2*day, "validating")
		c.postJSON("/v1/batches/"+id+"/cancel", "")
		g := c.await(id, 5*time.Minute, "cancelled")
		c.counts(g, 0, 0)
	}},
	{"stuck_running=100%", func(c *batchClient) {
		id := c.submit(4)
		g := c.await(id, 2*day, "in_progress")
		if n := c.member(g, "request_counts", "completed"); n != "2" {
			c.t.Errorf("%s rows done", n)
		}
		c.postJSON("/v1/batches/"+id+"/cancel", "")
		c.await(id, time.Minute, "cancelling")
		c.counts(c.await(id, 5*time.Minute, "cancelled"), 2, 2)
	}},
	{"failed_line=100%", func(c *batchClient) {
		id := c.submit(4)
		g := c.await(id, time.Minute, "failed")
		e := c.failure(g)
		if e.Line == nil || *e.Line != 3 || c.Rows().BatchAnswered != 0 {
			c.t.Errorf("errors %+v, %d rows billed", e, c.Rows().BatchAnswered)
		}
		c.counts(g, 0, 0)
	}},
	{"failed_token_limit=100%;batch=1", func(c *batchClient) {
		id := c.submit(4)
		c.await(id, 0, "validating")
		e := c.failure(c.await(id, time.Minute, "failed"))
		if e.Code != "token_limit_exceeded" || !strings.Contains(e.Message, "Limit: 2,000,000 enqueued tokens") ||
			e.Line != nil {
			c.t.Errorf("errors %+v", e)
		}
	}},
	{"late_handle=100%", func(c *batchClient) {
		id := c.submit(3)
		g := c.await(id, time.Hour-40*time.Minute+time.Minute, "completed")
		if h := c.member(g, "output_file_id"); h != "" || c.member(g, "request_counts", "completed") != "3" {
			c.t.Errorf("handle %q: %s", h, g.body)
		}
		c.counts(c.await(id, 15*time.Minute, "completed"), 3, 0)
	}},
	{"empty_handle=100%", func(c *batchClient) {
		id := c.submit(3)
		g := c.await(id, time.Hour, "completed")
		if !strings.Contains(g.body, `"error_file_id":""`) {
			c.t.Errorf("batch %s", g.body)
		}
		c.counts(g, 3, 0)
	}},
	{"wrong_counts=100%", func(c *batchClient) {
		want := map[int]string{1: `"completed":0`, 2: `"completed":3`, 3: `"request_counts":null`}
		for number := range 3 {
			g := c.await(c.submit(3), time.Hour, "completed")
			if !strings.Contains(g.body, want[number+1]) {
				c.t.Errorf("batch %d: %s", number+1, g.body)
			}
			c.counts(g, 3, 0)
		}
	}},
	{"expired_half=100%", func(c *batchClient) {
		id := c.submit(4)
		c.await(id, day-time.Minute, "in_progress")
		g := c.await(id, time.Minute, "expired")
		answers, errors := c.results(g)
		if len(answers) != 2 || len(errors) != 2 || !strings.Contains(string(errors[0].Error), "batch_expired") {
			c.t.Errorf("%d answers, %d errors", len(answers), len(errors))
		}
		if l := c.Rows(); l.BatchAnswered != 2 || l.BatchRows != 4 {
			c.t.Errorf("ledger %+v", l.Totals)
		}
	}},
	{"cancelled_by_others=100%", func(c *batchClient) {
		id := c.submit(4)
		c.await(id, 12*time.Minute, "cancelling")
		g := c.await(id, 4*time.Minute, "cancelled")
		c.counts(g, 2, 2)
		if l := c.Rows(); l.BatchAnswered != 2 || l.Calls["cancel"] != 0 {
			c.t.Errorf("ledger %+v", l)
		}
	}},
	{"cancel_ignored=100%", func(c *batchClient) {
		id := c.submit(4)
		time.Sleep(2 * time.Minute)
		c.statusIs(200, c.postJSON("/v1/batches/"+id+"/cancel", ""))
		c.await(id, 10*time.Minute, "in_progress")
		c.counts(c.await(id, 10*time.Minute, "completed"), 4, 0)
	}},
	{"cancelled_row_lost=100%", func(c *batchClient) {
		id := c.submit(4)
		time.Sleep(11 * time.Minute)
		c.postJSON("/v1/batches/"+id+"/cancel", "")
		g := c.await(id, 5*time.Minute, "cancelled")
		c.counts(g, 1, 2)
		if l := c.Rows(); l.BatchAnswered != 2 || c.member(g, "request_counts", "completed") != "2" {
			c.t.Errorf("ledger %+v, batch %s", l.Totals, g.body)
		}
	}},
	{"counters_back=100%", func(c *batchClient) {
		id := c.submit(10)
		time.Sleep(time.Hour)
		first, second := c.member(c.batch(id), "request_counts", "completed"),
			c.member(c.batch(id), "request_counts", "completed")
		if first+second != "105" && first+second != "510" {
			c.t.Errorf("completed %s, then %s", first, second)
		}
		c.counts(c.batch(id), 10, 0)
	}},
	{"content_404=100%;call=1", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		c.statusIs(404, c.get("/v1/files/"+c.member(g, "output_file_id")+"/content"))
		c.counts(g, 3, 0)
	}},
	{"download_cut=100%;call=1-20", func(c *batchClient) {
		g := c.await(c.submit(50), time.Hour, "completed")
		path := "/v1/files/" + c.member(g, "output_file_id")
		size := c.member(c.get(path), "bytes")
		ends := map[bool]int{}
		for range 20 {
			content := c.get(path + "/content")
			if fmt.Sprint(len(content.body)) == size {
				c.t.Errorf("the download was whole")
			}
			ends[content.err == nil]++
		}
		if ends[true] == 0 || ends[false] == 0 {
			c.t.Errorf("%d ended as if they were whole, %d broke", ends[true], ends[false])
		}
		if l := c.Rows(); l.BatchDelivered >= 50 {
			c.t.Errorf("%d rows delivered by cut downloads", l.BatchDelivered)
		}
		c.counts(g, 50, 0)
		if l := c.Rows(); l.BatchDelivered != 50 {
			c.t.Errorf("%d rows delivered", l.BatchDelivered)
		}
	}},
	{"download_stall=100%;call=1;hold=7m", func(c *batchClient) {
		g, start := c.await(c.submit(50), time.Hour, "completed"), time.Now()
		content := c.get("/v1/files/" + c.member(g, "output_file_id") + "/content")
		if content.err == nil || time.Since(start) != 7*time.Minute {
			c.t.Errorf("error %v after %v", content.err, time.Since(start))
		}
		c.counts(g, 50, 0)
	}},
	{"wrong_bytes=100%", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		path := "/v1/files/" + c.member(g, "output_file_id")
		told, content := c.member(c.get(path), "bytes"), c.get(path+"/content")
		if content.err != nil || told == fmt.Sprint(len(content.body)) {
			c.t.Errorf("told %s bytes, sent %d", told, len(content.body))
		}
	}},
	{"rows_shuffled=100%", func(c *batchClient) {
		answers, _ := c.results(c.await(c.submit(50), time.Hour, "completed"))
		inOrder := 0
		seen := map[string]bool{}
		for i, r := range answers {
			seen[r.ID] = true
			if r.ID == fmt.Sprintf("row-%d", i) {
				inOrder++
			}
		}
		if len(seen) != 50 || inOrder > 10 {
			c.t.Errorf("%d rows, %d of them in their place", len(seen), inOrder)
		}
	}},
	{"row_missing=100%;contains=Question 1?", func(c *batchClient) {
		c.counts(c.await(c.submit(3), time.Hour, "completed"), 2, 0)
		if l := c.Rows(); l.Rows["row-1"].Answered != 1 || l.Rows["row-1"].Delivered != 0 {
			c.t.Errorf("row-1 %+v", l.Rows["row-1"])
		}
	}},
	{"row_twice=100%;contains=Question 1?", func(c *batchClient) {
		c.counts(c.await(c.submit(3), time.Hour, "completed"), 4, 0)
		if l := c.Rows(); l.BatchDelivered != 3 || l.BatchAnswered != 3 {
			c.t.Errorf("ledger %+v", l.Totals)
		}
	}},
	{"row_in_both=100%;contains=Question 1?", func(c *batchClient) {
		answers, errors := c.results(c.await(c.submit(3), time.Hour, "completed"))
		if len(answers) != 3 || len(errors) != 1 || errors[0].ID != "row-1" {
			c.t.Errorf("%d answers, errors %+v", len(answers), errors)
		}
	}},
	{"foreign_row=100%;contains=Question 1?", func(c *batchClient) {
		answers, _ := c.results(c.await(c.submit(3), time.Hour, "completed"))
		if len(answers) != 4 || answers[2].ID != "request-17" {
			c.t.Errorf("answers %+v", answers)
		}
	}},
	{"bad_line=100%", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		body := c.get("/v1/files/" + c.member(g, "output_file_id") + "/content").body
		lines := strings.Split(body, "\n")
		if len(lines) != 3 || json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) || strings.HasSuffix(body, "\n") {
			c.t.Errorf("content %s", body)
		}
	}},
	{"row_status_0=100%;contains=Question 1?", func(c *batchClient) {
		answers, errors := c.results(c.await(c.submit(3), time.Hour, "completed"))
		if len(answers) != 2 || len(errors) != 1 || errors[0].Response.Status != 0 || string(errors[0].Error) != "null" {
			c.t.Errorf("%d answers, errors %+v", len(answers), errors)
		}
		if c.Rows().Rows["row-1"].Answered != 0 {
			c.t.Error("the row was billed")
		}
	}},
	{"body_as_text=100%", func(c *batchClient) {
		answers, _ := c.results(c.await(c.submit(1), time.Hour, "completed"))
		var text string
		decode(c.t, string(answers[0].Response.Body), &text)
		if parseChat(c.t, text).Text == "" {
			c.t.Errorf("body %s", text)
		}
	}},
	{"error_as_text=100%", func(c *batchClient) {
		_, errors := c.results(c.await(c.submit(1), time.Hour, "completed"))
		if len(errors) != 1 || string(errors[0].Error) != `"Internal server error"` || errors[0].Response != nil {
			c.t.Errorf("errors %+v", errors)
		}
	}},
	{"row_error=100%;first=1", func(c *batchClient) {
		_, errors := c.results(c.await(c.submit(9), time.Hour, "completed"))
		statuses := map[int]bool{}
		for _, r := range errors {
			statuses[r.Response.Status] = true
		}
		if len(errors) != 9 || len(statuses) < 2 {
			c.t.Errorf("%d errors with statuses %v", len(errors), statuses)
		}
		c.counts(c.await(c.submit(9), time.Hour, "completed"), 9, 0)
		if l := c.Rows(); l.BatchAnswered != 9 || l.BatchRows != 18 {
			c.t.Errorf("ledger %+v", l.Totals)
		}
	}},
	{"credit_ends=100%;batch=1", func(c *batchClient) {
		answers, errors := c.results(c.await(c.submit(10), time.Hour, "completed"))
		if len(answers) != 5 || len(errors) != 5 || !strings.Contains(string(errors[0].Response.Body), "insufficient_quota") {
			c.t.Errorf("%d answers, errors %+v", len(answers), errors)
		}
	}},
	{"rows_400=100%", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		_, errors := c.results(g)
		if len(errors) != 3 || errors[0].Response.Status != 400 || c.member(g, "output_file_id") != "" {
			c.t.Errorf("batch %s, errors %+v", g.body, errors)
		}
	}},
	{"row_no_usage=100%", func(c *batchClient) {
		answers, _ := c.results(c.await(c.submit(1), time.Hour, "completed"))
		if a := parseChat(c.t, string(answers[0].Response.Body)); a.Usage != nil || a.Text == "" {
			c.t.Errorf("answer %+v", a)
		}
		if l := c.Rows(); l.BatchBilled.Output == 0 {
			c.t.Error("nothing was billed")
		}
	}},
	{"row_no_tier=100%", func(c *batchClient) {
		answers, _ := c.results(c.await(c.submit(20), time.Hour, "completed"))
		tiers := map[string]int{}
		for _, r := range answers {
			tiers[member(c.t, string(r.Response.Body), "service_tier")]++
		}
		if len(tiers) != 2 || tiers[""] == 0 || tiers["default"] == 0 {
			c.t.Errorf("tiers %v", tiers)
		}
	}},
	{"huge_row=100%", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		content := c.get("/v1/files/" + c.member(g, "output_file_id") + "/content")
		if n := len(strings.Split(content.body, "\n")[1]); n < 10<<20 {
			c.t.Errorf("the line has %d bytes", n)
		}
	}},
	{"other_project=100%;batch=1", func(c *batchClient) {
		id := c.submit(3)
		c.statusIs(404, c.batch(id))
		c.listed(0)
		c.submit(3)
		c.listed(1)
	}},
	{"batch_deleted=100%", func(c *batchClient) {
		id := c.submit(3)
		c.await(id, 2*time.Minute, "in_progress")
		time.Sleep(time.Hour)
		c.statusIs(404, c.batch(id))
		c.listed(0)
		if l := c.Rows(); l.BatchAnswered != 3 || l.BatchDelivered != 0 {
			c.t.Errorf("ledger %+v", l.Totals)
		}
	}},
	{"results_expired=100%", func(c *batchClient) {
		g := c.await(c.submit(3), time.Hour, "completed")
		c.statusIs(404, c.get("/v1/files/"+c.member(g, "output_file_id")+"/content"))
	}},
	{"clock_ahead=100%", func(c *batchClient) {
		start := time.Now()
		g := c.batch(c.submit(3))
		date, err := http.ParseTime(g.header.Get("Date"))
		created := time.Unix(int64(numberOf(c.t, g.body, "created_at")), 0)
		if err != nil || date.Sub(start) != 10*time.Minute || created.Sub(start) != 10*time.Minute {
			c.t.Errorf("Date %v, created %v, now %v", date, created, start)
		}
	}},
	{"failed_file_not_found=100%;batch=1", func(c *batchClient) {
		e := c.failure(c.await(c.submit(3), time.Hour, "failed"))
		if !strings.HasPrefix(e.Message, "Cannot find file") {
			c.t.Errorf("errors %+v", e)
		}
		c.counts(c.await(c.submit(3), time.Hour, "completed"), 3, 0)
	}},
}

// TestBatchFaults shows that every fault does on the wire what it is said to do.
func TestBatchFaults(t *testing.T) {
	var tested []string
	for _, tc := range batchFaultTests {
		name, _, _ := strings.Cut(tc.fault, "=")
		tested = append(tested, name)
		t.Run(name, func(t *testing.T) {
			simulated(t, usual, tc.fault, func(c *batchClient) {
				c.t = t
				tc.check(c)
				if l := c.Rows(); l.Faults[name] == 0 && name != "clock_ahead" {
					t.Errorf("the ledger counts no %s", name)
				}
			})
		})
	}
	var all []string
	for _, k := range batches.Kinds {
		all = append(all, k.Name)
	}
	if got, want := strings.Join(tested, " "), strings.Join(all, " "); got != want {
		t.Errorf("tested %s\nfaults %s", got, want)
	}
}

// statusIs checks the status of an answer.
func (c *batchClient) statusIs(want int, g got) {
	c.t.Helper()
	if g.err != nil || g.status != want {
		c.t.Errorf("status %d (%v), want %d: %s", g.status, g.err, want, g.body)
	}
}

// broken checks that there was no whole answer.
func (c *batchClient) broken(g got) {
	c.t.Helper()
	if g.err == nil {
		c.t.Errorf("status %d: %s, want a broken connection", g.status, g.body)
	}
}

// data are the elements of a list.
func (c *batchClient) data(g got) (list []string) {
	c.t.Helper()
	var l struct{ Data []json.RawMessage }
	decode(c.t, g.body, &l)
	for _, one := range l.Data {
		list = append(list, string(one))
	}
	return list
}

func (c *batchClient) list(query string) (ids []string) {
	c.t.Helper()
	for _, one := range c.data(c.get("/v1/batches" + query)) {
		ids = append(ids, member(c.t, one, "id"))
	}
	return ids
}

// listed checks how many batches a list shows.
func (c *batchClient) listed(want int) {
	c.t.Helper()
	if ids := c.list("?limit=100"); len(ids) != want {
		c.t.Errorf("listed %v, want %d batches", ids, want)
	}
}

// foundBy checks that one batch is listed, and that it is over a file.
func (c *batchClient) foundBy(file string) {
	c.t.Helper()
	list := c.data(c.get("/v1/batches"))
	if len(list) != 1 || member(c.t, list[0], "input_file_id") != file {
		c.t.Errorf("listed %v, want one batch over %s", list, file)
	}
}

// counts checks how many rows the result files have.
func (c *batchClient) counts(batch got, wantAnswers, wantErrors int) {
	c.t.Helper()
	answers, errors := c.results(batch)
	if len(answers) != wantAnswers || len(errors) != wantErrors {
		c.t.Errorf("%d answers and %d errors, want %d and %d", len(answers), len(errors), wantAnswers, wantErrors)
	}
}

type batchError struct {
	Code, Message string
	Line          *int
}

// failure is why a batch failed.
func (c *batchClient) failure(batch got) batchError {
	c.t.Helper()
	var b struct {
		Errors struct{ Data []batchError }
	}
	decode(c.t, batch.body, &b)
	if len(b.Errors.Data) != 1 {
		c.t.Fatalf("errors of %s", batch.body)
	}
	return b.Errors.Data[0]
}

// numberOf is a number of a JSON object.
func numberOf(t *testing.T, body, name string) float64 {
	t.Helper()
	var m map[string]any
	decode(t, body, &m)
	f, _ := m[name].(float64)
	return f
}
