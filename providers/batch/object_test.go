package batch

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/wire"
)

func TestPhases(t *testing.T) {
	for word, want := range map[string]nightshift.BatchPhase{
		"validating": nightshift.BatchWaiting, "VALIDATING": nightshift.BatchWaiting, "Validating": nightshift.BatchWaiting,
		"QUEUED": nightshift.BatchWaiting, "BATCH_STATE_PENDING": nightshift.BatchWaiting,
		"JOB_STATE_VALIDATING": nightshift.BatchWaiting, "JOB_STATE_CREATING_INPUT_DATASET": nightshift.BatchWaiting,
		"in_progress": nightshift.BatchRunning, "IN_PROGRESS": nightshift.BatchRunning, "InProgress": nightshift.BatchRunning,
		"finalizing": nightshift.BatchRunning, "PROGRESS": nightshift.BatchRunning,
		"BATCH_STATE_RUNNING": nightshift.BatchRunning,
		"cancelling":          nightshift.BatchCancelling, "canceling": nightshift.BatchCancelling,
		"CANCELING": nightshift.BatchCancelling, "CANCELLATION_REQUESTED": nightshift.BatchCancelling,
		"completed": nightshift.BatchCompleted, "ended": nightshift.BatchCompleted, "SUCCESS": nightshift.BatchCompleted,
		"Completed": nightshift.BatchCompleted, "JOB_STATE_PARTIALLY_SUCCEEDED": nightshift.BatchCompleted,
		"expired": nightshift.BatchExpired, "TIMEOUT_EXCEEDED": nightshift.BatchExpired,
		"JOB_STATE_EXPIRED": nightshift.BatchExpired,
		"cancelled":         nightshift.BatchCancelled, "canceled": nightshift.BatchCancelled,
		"CANCELLED": nightshift.BatchCancelled,
		"failed":    nightshift.BatchFailed, "FAILED": nightshift.BatchFailed, "BATCH_STATE_FAILED": nightshift.BatchFailed,
		"contemplating": nightshift.BatchStrange, "": nightshift.BatchStrange,
	} {
		if got := phaseOf(word); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}

func read(t *testing.T, text string) nightshift.Batch {
	t.Helper()
	root, err := rawjson.Scan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, ok := openAI.batch(root)
	if !ok {
		t.Fatalf("no batch in %s", text)
	}
	return b
}

// TestObjects reads batches in the shapes in which something is odd.
func TestObjects(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	for _, c := range []struct {
		name, text string
		want       nightshift.Batch
	}{
		{"handles that are none", `{"id":"b","status":"completed","output_file_id":"","error_file_id":null}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchCompleted, State: "completed"}},
		{"expired with results", `{"id":"b","status":"expired","output_file_id":"o","error_file_id":"e"}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchExpired, State: "expired", Results: []string{"o", "e"}}},
		{"failed, but rows have run", `{"id":"b","status":"FAILED","output_file":"o"}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchCompleted, State: "FAILED", Results: []string{"o"}}},
		{"Azure's words and times", `{"id":"b","status":"InProgress","created_at":"2026-09-21T14:13:32+00:00"}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchRunning, State: "InProgress", CreatedAt: at(1790000012)}},
		{"milliseconds", `{"id":"b","status":"running","created_at":1790000012000}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchRunning, State: "running", CreatedAt: at(1790000012)}},
		{"a long opaque id", `{"id":"bGl0ZWxsbV9wcm94eTthL2I7Yw==","status":"validating"}`,
			nightshift.Batch{ID: "bGl0ZWxsbV9wcm94eTthL2I7Yw==", Phase: nightshift.BatchWaiting, State: "validating"}},
		{"an operation that is done", `{"name":"batches/x","done":true,"metadata":{"@type":"x"}}`,
			nightshift.Batch{ID: "batches/x", Phase: nightshift.BatchCompleted}},
		{"in a wrapper", `{"job":{"id":"b","status":"VALIDATING"},"warning":""}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchWaiting, State: "VALIDATING"}},
		{"an unknown word", `{"id":"b","status":"contemplating"}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchStrange, State: "contemplating"}},
		{"counts that are none", `{"id":"b","status":"running","request_counts":{"total":-1,"completed":null}}`,
			nightshift.Batch{ID: "b", Phase: nightshift.BatchRunning, State: "running"}},
	} {
		got := read(t, c.text)
		if got.ID != c.want.ID || got.Phase != c.want.Phase || got.State != c.want.State ||
			!got.CreatedAt.Equal(c.want.CreatedAt) || strings.Join(got.Results, " ") != strings.Join(c.want.Results, " ") ||
			got.Counts != c.want.Counts {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestFailures reads why a batch failed.
func TestFailures(t *testing.T) {
	queueFull := `"data":[{"code":"token_limit_exceeded","message":"Enqueued token limit reached for gpt-4o-mini in ` +
		`organization org-x. Limit: 2,000,000 enqueued tokens. Please try again once some in_progress batches have been ` +
		`completed.","param":null,"line":null}]`
	for _, c := range []struct {
		name, errors string
		cause        nightshift.BatchCause
		next         nightshift.BatchNext
		line         int
		limit        int64
	}{
		{"queue full", `"errors":{"object":"list",` + queueFull + `}`, nightshift.BatchQueueFull, again, 0, 2_000_000},
		{"a bare list", `"errors":[` + strings.TrimSuffix(strings.TrimPrefix(queueFull, `"data":[`), "]") + `]`,
			nightshift.BatchQueueFull, again, 0, 2_000_000},
		{"one bad line", `"errors":{"data":[{"code":"invalid_json_line","message":"This line is not parseable","line":17}]}`,
			nightshift.BatchBadRow, again, 17, 0},
		{"the line in words", `"error":"Error parsing line 4: missing custom_id"`, nightshift.BatchBadRow, again, 4, 0},
		{"no line", `"errors":{"data":[{"code":"invalid_url","message":"the url is wrong","line":null}]}`, "", stop, 0, 0},
		{"file not found", `"errors":{"data":[{"code":"invalid_request","message":"Cannot find file file-1, or ` +
			`organization org-x does not have access to it."}]}`, nightshift.BatchFileMissing, again, 0, 0},
		{"no such model", `"errors":{"data":[{"code":"model_not_found","message":"The provided model is not supported"}]}`,
			"", stop, 0, 0},
		{"the server's fault", `"errors":{"data":[{"code":"server_error","message":"internal error"}]}`, "", again, 0, 0},
		{"no word", `"errors":null`, "", stop, 0, 0},
		{"an object", `"error":{"code":13,"message":"Internal error encountered."}`, "", again, 0, 0},
	} {
		f := read(t, `{"id":"b","status":"failed",`+c.errors+`}`).Failure
		if f == nil || f.Cause != c.cause || f.Next != c.next || f.Line != c.line || f.Limit != c.limit {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

// TestRefusals decides about calls that create, by the status and body of their
// answers.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		lost       bool
		cause      nightshift.BatchCause
		next       nightshift.BatchNext
		line       int
	}{
		{"bad key", `{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}`, 401, false, "", stop, 0},
		{"bad key, Google's 400", `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",` +
			`"details":[{"reason":"API_KEY_INVALID"}]}}`, 400, false, "", stop, 0},
		{"bad request", `{"error":{"message":"Unknown endpoint","type":"invalid_request_error"}}`, 400, false, "", stop, 0},
		{"one row of many", `{"type":"error","error":{"type":"invalid_request_error","message":"requests.7.custom_id: ` +
			`String should match pattern"}}`, 400, false, nightshift.BatchBadRow, again, 8},
		{"file not there yet", `{"error":{"message":"No such File object: file-1","code":"file_not_found"}}`, 404, false,
			nightshift.BatchFileMissing, again, 0},
		{"queue full", `{"error":{"message":"Too many batches: limit of 100 active batches"}}`, 429, false,
			nightshift.BatchQueueFull, again, 0},
		{"too fast", `{"error":{"message":"Rate limit reached"}}`, 429, false, "", again, 0},
		{"quota", `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`, 429, false,
			"", stop, 0},
		{"too large", `{"error":{"message":"request too large"}}`, 413, false, "", nightshift.BatchFinal, 0},
		{"none there", `{"error":{"message":"not implemented"}}`, 501, false, "", stop, 0},
		{"a proxy without words", ``, 404, true, "", stop, 0},
		{"time out", `{"error":{"message":"timeout"}}`, 408, true, "", again, 0},
		{"server", `{"error":{"message":"internal"}}`, 500, true, "", again, 0},
		{"bad gateway", `<html>502</html>`, 502, true, "", again, 0},
		{"overloaded", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, 529, true,
			"", again, 0},
	} {
		reply := wire.Reply{Status: c.status, Body: []byte(c.body), Bytes: int64(len(c.body))}
		err := created(reply, refused(reply, providers.Classify(c.status, http.Header{}, reply.Body)))
		var e *nightshift.BatchError
		if !errors.As(err, &e) || e.Lost != c.lost || e.Cause != c.cause || e.Next != c.next || e.Line != c.line {
			t.Errorf("%s: %+v (%v)", c.name, e, err)
		}
	}
}

// TestWindows writes windows in words and in hours.
func TestWindows(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "24h", time.Hour: "1h", 24 * time.Hour: "24h", 48 * time.Hour: "2d", 36 * time.Hour: "36h",
		7 * 24 * time.Hour: "7d",
	} {
		if got := windowText(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for text, want := range map[string]int{"24h": 24, "7d": 168, "1h": 1, "background": 24, "": 24, "-3h": 24} {
		if got := hours(text); got != want {
			t.Errorf("%q is %d hours, want %d", text, got, want)
		}
	}
}

// FuzzBatch reads objects of any kind.
func FuzzBatch(f *testing.F) {
	for _, text := range []string{
		`{"id":"b","status":"completed","output_file_id":"o","created_at":1,"request_counts":{"total":2},"errors":[{}]}`,
		`{"name":"batches/x","metadata":{"@type":"x","state":"BATCH_STATE_FAILED","batchStats":{"requestCount":"8"}}}`,
		`{"batch_id":"x","name":"n","state":{"num_requests":3,"num_pending":0,"num_cancelled":1}}`,
		`{"id":"m","processing_status":"ended","request_counts":{"processing":1e300,"succeeded":"x"}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := rawjson.Scan(text)
		if err != nil {
			return
		}
		for name, d := range dialects {
			b, ok := d.batch(root)
			if ok != (b.ID != "") || ok && b.Phase == "" || (b.Failure != nil) != (ok && b.Phase == nightshift.BatchFailed) {
				t.Fatalf("%s: %+v", name, b)
			}
		}
	})
}

// FuzzList reads lists of any kind, as the first page.
func FuzzList(f *testing.F) {
	for _, text := range []string{
		`{"object":"list","data":[{"id":"b","status":"failed"}],"has_more":true,"last_id":"b"}`,
		`[{"id":"b"}]`, `{"operations":[{"name":"batches/x"}],"nextPageToken":"t"}`, `{"batches":[],"pagination_token":"p"}`,
		`{"data":{"batches":[{"id":"b"}]},"paging":{"next_cursor":"c"},"total":7}`,
	} {
		f.Add([]byte(text))
	}
	b := reader(f, nightshift.Chat)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := b.page(wire.Reply{Status: 200, Body: text}, url.Values{})
		if err == nil && len(p.batches) != len(p.marks) {
			t.Fatalf("%d batches, %d marks", len(p.batches), len(p.marks))
		}
	})
}
