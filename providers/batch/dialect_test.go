package batch

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift"
)

var update = flag.Bool("update", false, "write golden files")

// A dialectCase is the whole way of a batch at one service, with answers in the
// shapes that it is known for.
type dialectCase struct {
	preset   string
	protocol nightshift.Protocol
	base     string // of batch_api, after the server's URL
	answers  map[string]string
	file     string // id of the input file
	id       string // of the batch
	lines    string // of the results, whole
}

const (
	chatAnswer = `{"id":"c1","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"4"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":5}}`
	openAIRow  = `{"id":"r1","custom_id":"a","response":{"status_code":200,"request_id":"q1","body":` + chatAnswer + `},"error":null}`
	openAIEnd  = `"status":"completed","output_file_id":"file-out","error_file_id":"file-err","created_at":1790000012,"expires_at":1790086412,"completed_at":1790003012,"request_counts":{"total":2,"completed":1,"failed":1},"usage":{"input_tokens":40,"input_tokens_details":{"cached_tokens":10},"output_tokens":9},"metadata":{"ns_run":"7f3a2c","ns_shard":"000012","ns_batch":"3"}`
)

// openAIAnswers are those of a service that copies OpenAI's files family below
// a path.
func openAIAnswers(at string) map[string]string {
	return map[string]string{
		"POST " + at + "/files":                          `200 {"id":"file-in1","object":"file","bytes":12,"created_at":1790000000,"expires_at":1792592000,"filename":"n.jsonl","purpose":"batch","status":"processed"}`,
		"POST " + at + "/batches":                        `200 {"id":"batch_1","object":"batch","status":"validating","input_file_id":"file-in1","output_file_id":null,"error_file_id":"","created_at":1790000012,"request_counts":null,"metadata":null,"errors":null}`,
		"GET " + at + "/batches/batch_1":                 `200 {"id":"batch_1","object":"batch","input_file_id":"file-in1",` + openAIEnd + `}`,
		"GET " + at + "/batches?limit=100":               `200 {"object":"list","data":[{"id":"batch_9","status":"in_progress","input_file_id":"file-other","created_at":1790000020}],"first_id":"batch_9","last_id":"batch_9","has_more":true}`,
		"GET " + at + "/batches?limit=100&after=batch_9": `200 {"object":"list","data":[{"id":"batch_1","input_file_id":"file-in1",` + openAIEnd + `}],"last_id":"batch_1","has_more":false}`,
		"GET " + at + "/files/file-out":                  `200 {"id":"file-out","bytes":` + fmt.Sprint(len(openAIRow)+1) + `}`,
		"GET " + at + "/files/file-out/content":          "200 " + openAIRow + "\n",
		"GET " + at + "/files/file-err":                  `200 {"id":"file-err","bytes":0}`,
		"GET " + at + "/files/file-err/content":          "200 ",
		"POST " + at + "/batches/batch_1/cancel":         `200 {"id":"batch_1","status":"cancelling"}`,
		"DELETE " + at + "/files/file-out":               `200 {"id":"file-out","deleted":true}`,
		"DELETE " + at + "/files/file-err":               `404 {"error":{"message":"No such File object: file-err","type":"invalid_request_error"}}`,
		"DELETE " + at + "/files/file-in1":               `200 {"id":"file-in1","deleted":true}`,
	}
}

func (c dialectCase) called(id string) dialectCase {
	c.id = id
	return c
}

func (c dialectCase) with(answers map[string]string) dialectCase {
	all := map[string]string{}
	for _, of := range []map[string]string{c.answers, answers} {
		for what, answer := range of {
			if all[what] = answer; answer == "" {
				delete(all, what)
			}
		}
	}
	c.answers = all
	return c
}

func openAICase(preset string, protocol nightshift.Protocol, at string) dialectCase {
	return dialectCase{preset: preset, protocol: protocol, answers: openAIAnswers(at), file: "file-in1", id: "batch_1", lines: openAIRow + "\n"}
}

func dialectCases() map[string]dialectCase {
	messageRow := `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","model":"m-1","content":[{"type":"text","text":"4"}],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":5,"service_tier":"batch"}}}}`
	messageBatch := func(status, end string) string {
		return `{"id":"msgbatch_1","type":"message_batch","processing_status":"` + status + `","request_counts":{"processing":0,"succeeded":1,"errored":1,"canceled":0,"expired":0},"created_at":"2026-09-02T10:00:00Z","expires_at":"2026-09-03T10:00:00Z",` + end + `}`
	}
	geminiBatch := `{"name":"batches/b1","metadata":{"@type":"type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch","state":"BATCH_STATE_SUCCEEDED","displayName":"ns1-7f3a2c-000012-b3","createTime":"2026-09-21T10:00:00.5Z","endTime":"2026-09-21T11:00:00Z","inputConfig":{"fileName":"files/abc"},"batchStats":{"requestCount":"2","successfulRequestCount":"1","failedRequestCount":"1"},"output":{"responsesFile":"files/batch-out"}},"done":true,"response":{"@type":"x","responsesFile":"files/batch-out"}}`
	geminiRow := `{"key":"a","response":{"candidates":[{"content":{"parts":[{"text":"4"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":5}}}`
	mistralBatch := func(status string) string {
		return `{"id":"job-1","object":"batch","input_files":["file-in1"],"metadata":{"ns_run":"7f3a2c","ns_shard":"000012","ns_batch":"3"},"endpoint":"/v1/chat/completions","model":"m-1","output_file":"file-out","error_file":"file-err","errors":[],"status":"` + status + `","created_at":1790000012,"total_requests":2,"completed_requests":2,"succeeded_requests":1,"failed_requests":1,"started_at":null,"completed_at":1790003012}`
	}
	togetherBatch := func(status string) string {
		return `{"id":"tb-1","user_id":"u","input_file_id":"file-in1","file_size_bytes":12,"status":"` + status + `","job_deadline":"2026-09-03T10:00:00Z","created_at":"2026-09-21T10:00:12Z","endpoint":"/v1/chat/completions","progress":100,"model_id":"m-1","output_file_id":"file-out","error_file_id":"file-err","error":"","completed_at":"2026-09-21T11:00:00Z"}`
	}
	xaiBatch := func(state string) string {
		return `{"batch_id":"xb-1","name":"ns1-7f3a2c-000012-b3","create_time":"2026-09-21T10:00:12Z","expire_time":"2026-10-21T10:00:12Z","cancel_time":null,"cancel_by_xai_message":null,"state":` + state + `}`
	}
	fireworks := "/v1/accounts/acme"
	fireworksJob := func(state string) string {
		return `{"name":"accounts/acme/batchInferenceJobs/DATASET","displayName":"ns1-7f3a2c-000012-b3","createTime":"2026-09-21T10:00:12Z","state":"` + state + `","status":{"code":"OK","message":""},"model":"accounts/fireworks/models/m-1","inputDatasetId":"accounts/acme/datasets/DATASET","outputDatasetId":"accounts/acme/datasets/DATASET-out","jobProgress":{"percent":100,"totalInputRequests":2,"successfullyProcessedRequests":2,"failedRequests":0}}`
	}
	routerBatch := `{"id":"orb-1","object":"batch","endpoint":"/v1/chat/completions","model":"m-1","completion_window":"24h","status":"completed","created_at":1790000012,"finalized_at":1790003012,"request_counts":{"total":2,"completed":1,"failed":1},"results":[` + openAIRow + `],"usage":null,"error":null}`
	return map[string]dialectCase{
		"openai":     openAICase("openai", nightshift.Chat, "/v1"),
		"responses":  openAICase("openai", nightshift.Responses, "/v1"),
		"embeddings": openAICase("openai", nightshift.Embeddings, "/v1"),
		"groq":       openAICase("groq", nightshift.Chat, "/openai/v1"),
		"deepinfra":  openAICase("deepinfra", nightshift.Chat, "/v1"),
		"dashscope":  openAICase("dashscope", nightshift.Chat, "/compatible-mode/v1"),
		"moonshot":   openAICase("moonshot", nightshift.Chat, "/v1"),
		"zhipu":      openAICase("zhipu", nightshift.Chat, "/api/paas/v4"),
		"doubleword": openAICase("doubleword", nightshift.Chat, "/v1"),
		"litellm":    openAICase("litellm", nightshift.Chat, "/v1"),
		"gateway":    openAICase("litellm", nightshift.Chat, "/team/openai"),
		"azure":      openAICase("azure-openai", nightshift.Chat, "/openai/v1"),
		"mistral": openAICase("mistral", nightshift.Chat, "/v1").called("job-1").with(map[string]string{
			"POST /v1/batches": "", "GET /v1/batches/batch_1": "", "POST /v1/batches/batch_1/cancel": "", "GET /v1/batches?limit=100": "", "GET /v1/batches?limit=100&after=batch_9": "",
			"POST /v1/batch/jobs":                     "200 " + mistralBatch("QUEUED"),
			"GET /v1/batch/jobs/job-1":                "200 " + mistralBatch("SUCCESS"),
			"POST /v1/batch/jobs/job-1/cancel":        "200 " + mistralBatch("CANCELLATION_REQUESTED"),
			"GET /v1/batch/jobs?page_size=100":        `200 {"data":[{"id":"job-0","status":"RUNNING","created_at":1790000020}],"object":"list","total":101}`,
			"GET /v1/batch/jobs?page_size=100&page=1": `200 {"data":[` + mistralBatch("SUCCESS") + `],"object":"list","total":101}`,
		}),
		"together": openAICase("together", nightshift.Chat, "/v1").called("tb-1").with(map[string]string{
			"POST /v1/files": "", "GET /v1/batches/batch_1": "", "POST /v1/batches/batch_1/cancel": "", "GET /v1/batches?limit=100": "", "GET /v1/batches?limit=100&after=batch_9": "",
			"POST /v1/files/upload":        `200 {"id":"file-in1","object":"file","filename":"n.jsonl","bytes":12,"purpose":"batch-api"}`,
			"POST /v1/batches":             `201 {"job":` + strings.Replace(togetherBatch("VALIDATING"), `"output_file_id":"file-out","error_file_id":"file-err",`, "", 1) + `,"warning":""}`,
			"GET /v1/batches/tb-1":         "200 " + togetherBatch("COMPLETED"),
			"GET /v1/batches":              "200 [" + togetherBatch("COMPLETED") + "]",
			"POST /v1/batches/tb-1/cancel": `409 {"error":{"message":"batch job has already ended","type":"invalid_request_error"}}`,
		}),
		"xai": {preset: "xai", protocol: nightshift.Chat, file: "file-in1", id: "xb-1",
			lines: `{"batch_request_id":"a","batch_result":{"response":{"chat_get_completion":` + chatAnswer + `}}}` + "\n" + `{"batch_request_id":"b","error_message":"the model refused"}` + "\n",
			answers: map[string]string{
				"POST /v1/files":                                             `200 {"id":"file-in1","object":"file","bytes":12}`,
				"POST /v1/batches":                                           "200 " + xaiBatch(`{"num_requests":0,"num_pending":0,"num_success":0,"num_error":0,"num_cancelled":0}`),
				"GET /v1/batches/xb-1":                                       "200 " + xaiBatch(`{"num_requests":2,"num_pending":0,"num_success":1,"num_error":1,"num_cancelled":0}`),
				"GET /v1/batches?limit=100":                                  `200 {"batches":[{"batch_id":"xb-0","name":"other","create_time":"2026-09-21T10:00:20Z"}],"pagination_token":"t2"}`,
				"GET /v1/batches?limit=100&pagination_token=t2":              `200 {"batches":[` + xaiBatch(`{"num_requests":2,"num_pending":0,"num_success":1,"num_error":1,"num_cancelled":0}`) + `],"pagination_token":null}`,
				"GET /v1/batches/xb-1/results?limit=200":                     `200 {"results":[{"batch_request_id":"a", "batch_result":{"response":{"chat_get_completion":` + chatAnswer + `}}}],"pagination_token":"p2"}`,
				"GET /v1/batches/xb-1/results?limit=200&pagination_token=p2": `200 {"results":[{"batch_request_id":"b","error_message":"the model refused"}],"pagination_token":null}`,
				"POST /v1/batches/xb-1:cancel":                               "200 {}",
				"DELETE /v1/files/file-in1":                                  "200 {}",
			}},
		"gemini": {preset: "gemini", protocol: nightshift.Gemini, file: "files/abc", id: "batches/b1", lines: geminiRow + "\n",
			answers: map[string]string{
				"POST /upload/v1beta/files":                               `200 {}`,
				"POST /upload/session?upload_id=u1":                       `200 {"file":{"name":"files/abc","displayName":"n","sizeBytes":"12","expirationTime":"2026-09-23T10:00:00Z","state":"ACTIVE"}}`,
				"POST /v1beta/models/m-1:batchGenerateContent":            `200 {"name":"batches/b1","metadata":{"@type":"x","state":"BATCH_STATE_PENDING","displayName":"ns1-7f3a2c-000012-b3","createTime":"2026-09-21T10:00:00.5Z","batchStats":{"requestCount":"0"}}}`,
				"GET /v1beta/batches/b1":                                  "200 " + geminiBatch,
				"GET /v1beta/batches?pageSize=100":                        `200 {"operations":[{"name":"batches/b0","metadata":{"state":"BATCH_STATE_RUNNING","displayName":"other"}}],"nextPageToken":"t2"}`,
				"GET /v1beta/batches?pageSize=100&pageToken=t2":           `200 {"operations":[` + geminiBatch + `]}`,
				"GET /download/v1beta/files/batch-out:download?alt=media": "200 " + geminiRow + "\n",
				"POST /v1beta/batches/b1:cancel":                          "200 {}",
				"DELETE /v1beta/batches/b1":                               "200 {}",
				"DELETE /v1beta/files/abc":                                "200 {}",
			}},
		"fireworks": {preset: "fireworks", protocol: nightshift.Chat, base: fireworks, file: "DATASET", id: "DATASET",
			lines: `{"custom_id":"a","response":` + chatAnswer + "}\n" + `{"custom_id":"b","response":` + chatAnswer + "}\n",
			answers: map[string]string{
				"POST " + fireworks + "/datasets":                                       `200 {"name":"accounts/acme/datasets/DATASET","state":"UPLOADING"}`,
				"POST " + fireworks + "/datasets/DATASET:upload":                        `200 {}`,
				"POST " + fireworks + "/batchInferenceJobs?batchInferenceJobId=DATASET": "200 " + fireworksJob("JOB_STATE_PENDING"),
				"GET " + fireworks + "/batchInferenceJobs/DATASET":                      "200 " + fireworksJob("JOB_STATE_COMPLETED"),
				"GET " + fireworks + "/batchInferenceJobs?pageSize=200":                 `200 {"batchInferenceJobs":[` + fireworksJob("JOB_STATE_COMPLETED") + `],"nextPageToken":"","totalSize":1}`,
				"GET " + fireworks + "/datasets/DATASET-out:getDownloadEndpoint":        `200 {"filenameToSignedUrls":{"b.jsonl":"SERVER/signed/b?X-Sig=2","a.jsonl":"SERVER/signed/a?X-Sig=1"}}`,
				"GET /signed/a?X-Sig=1":                                                 `200 {"custom_id":"a","response":` + chatAnswer + "}",
				"GET /signed/b?X-Sig=2":                                                 `200 {"custom_id":"b","response":` + chatAnswer + "}\n",
				"DELETE " + fireworks + "/batchInferenceJobs/DATASET":                   "200 {}",
				"DELETE " + fireworks + "/datasets/DATASET":                             "200 {}",
				"DELETE " + fireworks + "/datasets/DATASET-out":                         "200 {}",
			}},
		"anthropic": {preset: "anthropic", protocol: nightshift.Messages, id: "msgbatch_1", lines: messageRow + "\n",
			answers: map[string]string{
				"POST /v1/messages/batches":                               "200 " + messageBatch("in_progress", `"ended_at":null,"results_url":null`),
				"GET /v1/messages/batches/msgbatch_1":                     "200 " + messageBatch("ended", `"ended_at":"2026-09-02T10:30:00Z","results_url":"https://x/results"`),
				"GET /v1/messages/batches?limit=1000":                     `200 {"data":[` + strings.Replace(messageBatch("in_progress", `"ended_at":null`), "msgbatch_1", "msgbatch_0", 1) + `,{"id":"msgbatch_8","processing_status":"ended","request_counts":{"processing":0,"succeeded":7,"errored":0,"canceled":0,"expired":0},"created_at":"2026-09-02T09:59:00Z"}],"has_more":true,"first_id":"msgbatch_0","last_id":"msgbatch_8"}`,
				"GET /v1/messages/batches?limit=1000&after_id=msgbatch_8": `200 {"data":[` + messageBatch("ended", `"ended_at":"2026-09-02T10:30:00Z"`) + `],"has_more":false,"first_id":"msgbatch_1","last_id":"msgbatch_1"}`,
				"GET /v1/messages/batches/msgbatch_1/results":             "200 " + messageRow + "\n",
				"POST /v1/messages/batches/msgbatch_1/cancel":             "200 " + messageBatch("canceling", `"ended_at":null`),
				"DELETE /v1/messages/batches/msgbatch_1":                  `200 {"id":"msgbatch_1","type":"message_batch_deleted"}`,
			}},
		"openrouter": {preset: "openrouter", protocol: nightshift.Chat, id: "orb-1", lines: openAIRow + "\n",
			answers: map[string]string{
				"POST /api/beta/batches":                        `202 {"id":"orb-1","object":"batch","status":"validating","created_at":1790000012,"request_counts":{"total":2,"completed":0,"failed":0}}`,
				"GET /api/beta/batches/orb-1":                   "200 " + routerBatch,
				"GET /api/beta/batches?limit=100":               `200 {"object":"list","data":[` + routerBatch + `],"has_more":false}`,
				"GET /api/beta/batches/orb-1/results?limit=200": `404 {"error":{"message":"not found","code":404}}`,
			}},
	}
}

// TestDialects takes a batch the whole way at each service, compares what was
// asked with a golden file, and sees that no call was made twice.
func TestDialects(t *testing.T) {
	for name, c := range dialectCases() {
		t.Run(name, func(t *testing.T) { c.run(t, name) })
	}
}

func (c dialectCase) run(t *testing.T, name string) {
	f := newFakeAPI(t, c.answers)
	b := f.batcher(c.preset, c.protocol, func(cfg *Config) {
		if c.base != "" {
			cfg.Endpoint.Batch.BaseURL = f.server.URL + c.base
		}
		if name == "gateway" {
			cfg.Endpoint.BaseURL = f.server.URL + "/team/openai"
			cfg.Endpoint.Path = "/chat/completions"
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
	if err != nil || len(found) == 0 || found[0].ID != wantID && found[len(found)-1].ID != wantID || found[0].Suspect != b.inline() {
		t.Errorf("Find: %+v, %v", found, err)
	}
	got := c.ended(t, b, wantID)
	var all bytes.Buffer
	for _, handle := range got.Results {
		if err := b.Fetch(ctx, got, handle, &all); err != nil {
			t.Errorf("Fetch(%s): %v", handle, err)
		}
	}
	if all.String() != c.lines {
		t.Errorf("fetched\n%s, want\n%s", all.String(), c.lines)
	}
	c.readFirst(t, b, all.Bytes())
	if err := b.Cancel(ctx, wantID); (err != nil) == b.Limits().Cancel {
		t.Errorf("Cancel: %v", err)
	}
	if err := b.Delete(ctx, got); err != nil {
		t.Errorf("Delete: %v", err)
	}
	golden(t, name+".txt", f.asked.Bytes())
}

// ended asks until a batch has ended, which has to settle at some services.
func (c dialectCase) ended(t *testing.T, b *Batcher, id string) nightshift.Batch {
	t.Helper()
	if b.settles {
		b.ending[id] = time.Now().Add(-2 * settleTime)
	}
	got, err := b.Get(context.Background(), []string{id})
	if err != nil || len(got) != 1 || got[0].ID != id || got[0].Phase != nightshift.BatchCompleted || got[0].Counts.Total.N() != 2 {
		if len(got) != 1 || c.preset != "together" {
			t.Fatalf("Get: %+v, %v", got, err)
		}
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
	if err != nil || r.Err != nil || r.ID != "a" || b.ResultID(line) != "a" || r.Response.Text == nil || *r.Response.Text != "4" {
		t.Errorf("Read(%s): %+v, %v", line, r, err)
	}
	if r.Response.Usage.ServiceTier != "batch" || len(r.Response.Attempts) != 1 {
		t.Errorf("usage %+v, attempts %+v", r.Response.Usage, r.Response.Attempts)
	}
}
