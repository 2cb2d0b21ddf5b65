package batches

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// An upload is a file that comes in several requests.
type upload struct{ f *file }

// uploadGemini takes a file by Google's resumable protocol, or in one request
// of two parts.
func (c *call) uploadGemini() (abort bool) {
	if c.struck(uploadError, 0) != nil {
		_, _ = io.Copy(io.Discard, c.r.Body)
		return c.refuse(&refusal{status: 503, message: "The service is currently unavailable."})
	}
	command := c.r.Header.Get("X-Goog-Upload-Command")
	switch {
	case strings.Contains(command, "start"):
		return c.startUpload()
	case c.r.URL.Query().Get("upload_id") != "":
		return c.goOnUploading(strings.Contains(command, "finalize"))
	}
	return c.refuse(invalid("", "", "Only resumable uploads are taken."))
}

func (c *call) startUpload() (abort bool) {
	var w struct {
		File struct {
			DisplayName  string `json:"display_name"`
			DisplayName2 string `json:"displayName"`
		} `json:"file"`
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, 1<<20))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &w)
	}
	if err != nil {
		return c.refuse(invalid("", "", "Invalid JSON payload received. "+err.Error()))
	}
	id := c.id("")
	c.mu.Lock()
	c.sessions[id] = &upload{&file{
		project: c.project, name: w.File.DisplayName + w.File.DisplayName2, purpose: "batch", created: c.now,
		expires: c.now.Add(c.cfg.scaled(48 * time.Hour)),
	}}
	c.mu.Unlock()
	c.w.Header().Set("X-Goog-Upload-Url", "http://"+c.r.Host+c.r.URL.Path+"?upload_id="+id)
	c.w.Header().Set("X-Goog-Upload-Status", "active")
	return c.send(http.StatusOK, nil)
}

func (c *call) goOnUploading(last bool) (abort bool) {
	c.mu.Lock()
	u := c.sessions[c.r.URL.Query().Get("upload_id")]
	c.mu.Unlock()
	if u == nil {
		return c.refuse(notFound("Upload has already been terminated."))
	}
	if err := c.receive(u.f, c.r.Body); err != nil {
		if errors.Is(err, errCut) {
			return true
		}
		return c.refuse(invalid("", "", "The upload failed: "+err.Error()))
	}
	if !last {
		c.w.Header().Set("X-Goog-Upload-Status", "active")
		return c.send(http.StatusOK, nil)
	}
	c.mu.Lock()
	delete(c.sessions, c.r.URL.Query().Get("upload_id"))
	c.mu.Unlock()
	c.w.Header().Set("X-Goog-Upload-Status", "final")
	return c.keep(u.f, "files/")
}

// geminiFile is a file in Google's form; what ends an upload wraps it.
func geminiFile(c *call, f *file) []byte {
	o := jsontext.New()
	size := f.data.size
	if f.told > 0 {
		size = f.told
	}
	o.Text("name", f.id)
	o.Text("displayName", f.name)
	o.Text("mimeType", "application/jsonl")
	o.Text("sizeBytes", strconv.FormatInt(size, 10))
	o.Text("createTime", c.shown(f.created).UTC().Format(time.RFC3339Nano))
	o.Text("expirationTime", c.shown(f.expires).UTC().Format(time.RFC3339Nano))
	o.Text("uri", "http://"+c.r.Host+"/v1beta/"+f.id)
	o.Text("state", "ACTIVE")
	if c.at.op != opUpload {
		return o.End()
	}
	wrapped := jsontext.New()
	wrapped.Object("file", o)
	return wrapped.End()
}

// createGemini makes a batch over a file.
func (c *call) createGemini() (abort bool) {
	return c.create(func() (*order, *refusal) {
		type config struct {
			FileName  string `json:"file_name"`
			FileName2 string `json:"fileName"`
		}
		var w struct {
			Batch struct {
				Name   string `json:"display_name"`
				Name2  string `json:"displayName"`
				Input  config `json:"input_config"`
				Input2 config `json:"inputConfig"`
			} `json:"batch"`
		}
		if bad := c.readBody(&w, 20<<20); bad != nil {
			return nil, bad
		}
		o := &order{
			name: w.Batch.Name + w.Batch.Name2, model: c.at.id, endpoint: "/v1beta/models/" + c.at.id + ":generateContent",
			window: 48 * time.Hour,
		}
		for _, in := range []config{w.Batch.Input, w.Batch.Input2} {
			o.inputID += in.FileName + in.FileName2
		}
		if o.inputID == "" { // requests in the call may come back under the wrong keys there
			return nil, invalid("", "", "The simulator takes batches over files only: give input_config.file_name.")
		}
		c.mu.Lock()
		o.input = c.find(o.inputID)
		c.mu.Unlock()
		if o.input == nil {
			return nil, notFound("Requested entity was not found: " + o.inputID)
		}
		return o, c.checkGemini(o)
	})
}

// checkGemini refuses a file of which one row is not right.
func (c *call) checkGemini(o *order) *refusal {
	b := &batch{style: gemini, endpoint: o.endpoint}
	bad := o.input.scan(func(number int, _ int64, line []byte) *failure {
		var w wireRow
		if json.Unmarshal(line, &w) != nil || len(w.Request) == 0 {
			return &failure{message: "Invalid line " + strconv.Itoa(number) + " of the input file."}
		}
		if a := c.model.Describe(b.question(&w, c.now)); a.Status == http.StatusBadRequest {
			return &failure{message: "Invalid request in line " + strconv.Itoa(number) + ": " + geminiMessage(a.Body)}
		}
		return nil
	})
	if bad == nil {
		return nil
	}
	return invalid("", "", bad.message)
}

// geminiBatch is a batch as an operation of Google's.
func (c *call) geminiBatch(b *batch) []byte {
	total, good, bad, _ := b.counted()
	stats := jsontext.New()
	stats.Text("requestCount", strconv.Itoa(total))
	stats.Text("successfulRequestCount", strconv.Itoa(good))
	stats.Text("failedRequestCount", strconv.Itoa(bad))
	stats.Text("pendingRequestCount", strconv.Itoa(max(0, total-good-bad)))
	m := jsontext.New()
	m.Text("@type", "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch")
	m.Text("model", "models/"+b.model)
	m.Text("displayName", b.name)
	m.Text("state", b.word(c.now))
	m.Text("createTime", c.shown(b.created).UTC().Format(time.RFC3339Nano))
	if b.phase.over() {
		m.Text("endTime", c.shown(b.over).UTC().Format(time.RFC3339Nano))
	}
	m.Object("batchStats", stats)
	if b.id != "" {
		m.Text("name", b.id)
	}
	files := ""
	if b.success != nil && c.handles(b, c.now) {
		output := jsontext.New()
		output.Text("responsesFile", b.success.id)
		files = output.String()
		m.Raw("output", files)
	}
	o := jsontext.New()
	if b.id != "" {
		o.Text("name", b.id)
	}
	o.Object("metadata", m)
	if b.phase.over() {
		o.Raw("done", "true")
	}
	switch {
	case b.phase == failed || b.phase == expired || b.phase == cancelled:
		e := jsontext.New()
		e.Int("code", map[phase]int64{failed: 3, expired: 4, cancelled: 1}[b.phase])
		e.Text("message", "The batch has not been completed.")
		o.Object("error", e)
		if files != "" {
			o.Raw("response", files)
		}
	case files != "":
		o.Raw("response", files)
	case b.phase.over() && b.is(emptyHandle):
		o.Raw("response", `{"responsesFile":""}`)
	}
	return o.End()
}
