package batches

import (
	"encoding/json"
	"fmt"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// createMistral makes a job over files or over requests in the call.
func (c *call) createMistral() (abort bool) {
	return c.create(func() (*order, *refusal) {
		var w struct {
			InputFiles []string          `json:"input_files"`
			Requests   []json.RawMessage `json:"requests"`
			Model      string            `json:"model"`
			Endpoint   string            `json:"endpoint"`
			Metadata   map[string]string `json:"metadata"`
			Hours      int               `json:"timeout_hours"`
		}
		if bad := c.readBody(&w, 512<<20); bad != nil {
			return nil, bad
		}
		if w.Hours == 0 {
			w.Hours = 24
		}
		if w.Hours < 1 || w.Hours > 168 {
			return nil, &refusal{status: 422, kind: "invalid_request_error", message: "timeout_hours must be between 1 and 168"}
		}
		o := &order{endpoint: w.Endpoint, metadata: w.Metadata, window: time.Duration(w.Hours) * time.Hour}
		if len(w.Requests) > 0 {
			o.input = &file{project: c.project, purpose: "batch"}
			for _, line := range w.Requests {
				_, _ = o.input.data.Write(append([]byte(oneLine(line)), '\n'))
			}
		} else if len(w.InputFiles) == 1 {
			o.inputID = w.InputFiles[0]
			c.mu.Lock()
			o.input = c.find(o.inputID)
			c.mu.Unlock()
		}
		if o.input == nil {
			return nil, notFound(fmt.Sprintf("File %s not found", o.inputID))
		}
		o.model = w.Model
		if o.model == "" {
			o.model = o.input.firstModel()
		}
		return o, nil
	})
}

// mistralRefusal checks the lines of an upload, as Mistral alone does.
func (c *call) mistralRefusal(f *file) *refusal {
	if c.cfg.Shape != shapeMistral {
		return nil
	}
	bad := f.scan(func(number int, _ int64, line []byte) *failure {
		var w wireRow
		if json.Unmarshal(line, &w) != nil || len(w.Body) == 0 {
			return &failure{line: number, message: fmt.Sprintf("Invalid file format. Error on line %d", number)}
		}
		return nil
	})
	if bad == nil {
		return nil
	}
	return &refusal{status: 422, kind: "invalid_request_error", message: bad.message}
}

// mistralJob is a batch in Mistral's form.
func (c *call) mistralJob(b *batch) []byte {
	o := jsontext.New()
	if b.id != "" {
		o.Text("id", b.id)
	}
	o.Text("object", "batch")
	if b.input != nil && b.input.id != "" {
		o.Raw("input_files", "["+jsontext.Quote(b.input.id)+"]")
	} else {
		o.Raw("input_files", "[]")
	}
	writeMetadata(&o, b.metadata)
	o.Text("endpoint", b.endpoint)
	o.Text("model", b.model)
	c.handle(&o, "output_file", b, b.success)
	c.handle(&o, "error_file", b, b.errors)
	o.Raw("errors", "[]")
	o.Text("status", b.word(c.now))
	at := func(name string, t time.Time, there bool) {
		if there && !t.IsZero() {
			o.Int(name, c.shown(t).Unix())
		} else {
			o.Null(name)
		}
	}
	at("created_at", b.created, true)
	at("started_at", b.validated, b.phase != validating)
	at("completed_at", b.over, b.phase.over())
	_, good, bad, _ := b.counted()
	o.Int("total_requests", int64(len(b.rows)))
	o.Int("completed_requests", int64(good+bad))
	o.Int("succeeded_requests", int64(good))
	o.Int("failed_requests", int64(bad))
	return o.End()
}
