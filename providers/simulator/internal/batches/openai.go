package batches

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
)

// createFromFile makes a batch over a file that was uploaded.
func (c *call) createFromFile() (abort bool) {
	return c.create(func() (*order, *refusal) {
		var w struct {
			InputFile string            `json:"input_file_id"`
			Endpoint  string            `json:"endpoint"`
			Window    string            `json:"completion_window"`
			Metadata  map[string]string `json:"metadata"`
		}
		if err := json.NewDecoder(io.LimitReader(c.r.Body, 1<<20)).Decode(&w); err != nil {
			return nil, invalid("", "", "We could not parse the JSON body of your request: "+err.Error())
		}
		window, ok := c.windowOf(w.Window)
		switch {
		case w.InputFile == "":
			return nil, invalid("missing_required_parameter", "input_file_id", "Missing required parameter: 'input_file_id'.")
		case !slices.Contains(endpoints, w.Endpoint):
			return nil, invalid("invalid_value", "endpoint", "Invalid value: '"+w.Endpoint+"'. Supported values are: '"+
				strings.Join(endpoints, "', '")+"'.")
		case !ok:
			return nil, invalid("invalid_value", "completion_window",
				"Invalid value: '"+w.Window+"'. Supported values are: '24h'.")
		}
		if bad := checkMetadata(w.Metadata); bad != nil {
			return nil, bad
		}
		return c.orderOf(w.InputFile, &order{
			inputID: w.InputFile, endpoint: w.Endpoint, metadata: w.Metadata, window: window, windowText: w.Window,
		})
	})
}

// windowOf reads the time within which answers are wanted.
func (c *call) windowOf(text string) (time.Duration, bool) {
	if text == "" && c.cfg.Shape == shapeTogether {
		return 24 * time.Hour, true
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && c.cfg.Shape == shapeGroq
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && (d == 24*time.Hour || c.cfg.Shape == shapeGroq && d >= 24*time.Hour && d <= 7*24*time.Hour)
}

func checkMetadata(metadata map[string]string) *refusal {
	if len(metadata) > 16 {
		return invalid("object_above_max_properties", "metadata",
			"Invalid 'metadata': too many properties. Expected at most 16.")
	}
	for name, value := range metadata {
		if len(name) > 64 || len(value) > 512 {
			return invalid("string_above_max_length", "metadata",
				"Invalid 'metadata': keys have at most 64 characters and values 512.")
		}
	}
	return nil
}

// orderOf completes an order with its file.
func (c *call) orderOf(id string, o *order) (*order, *refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.files {
		if f.id == id && c.now.Before(f.seen) {
			return nil, notFound("No such File object: " + id)
		}
	}
	o.input = c.find(id)
	if o.input == nil {
		return o, nil
	}
	if !strings.HasSuffix(o.input.name, ".jsonl") {
		return nil, invalid("invalid_request", "input_file_id", "The name of the input file must end in .jsonl.")
	}
	o.model = o.input.firstModel()
	return o, nil
}

// openaiBatch is a batch in OpenAI's form, or that of those who have it almost.
func (c *call) openaiBatch(b *batch) []byte {
	if b.shape == shapeTogether {
		return c.togetherBatch(b)
	}
	o := jsontext.New()
	if b.id != "" {
		o.Text("id", b.id)
	}
	o.Text("object", "batch")
	o.Text("endpoint", b.endpoint)
	textOrNull(&o, "model", b.model)
	c.openaiErrors(&o, b)
	input := b.name
	if b.input != nil {
		input = b.input.id
	}
	o.Text("input_file_id", input)
	o.Text("completion_window", b.window)
	o.Text("status", b.word(c.now))
	c.handle(&o, "output_file_id", b, b.success)
	c.handle(&o, "error_file_id", b, b.errors)
	c.openaiTimes(&o, b)
	counts := jsontext.New()
	total, good, bad, told := b.counted()
	counts.Int("total", int64(total))
	counts.Int("completed", int64(good))
	counts.Int("failed", int64(bad))
	if told {
		o.Object("request_counts", counts)
	} else {
		o.Null("request_counts")
	}
	o.Object("usage", openaiUsage(b.used))
	writeMetadata(&o, b.metadata)
	return o.End()
}

// openaiErrors says why a batch failed.
func (c *call) openaiErrors(o *jsontext.Object, b *batch) {
	if b.failure == nil {
		o.Null("errors")
		return
	}
	e := jsontext.New()
	e.Text("code", b.failure.code)
	e.Text("message", b.failure.message)
	textOrNull(&e, "param", b.failure.param)
	if b.failure.line > 0 {
		e.Int("line", int64(b.failure.line))
	} else {
		e.Null("line")
	}
	if b.shape == shapeGroq {
		o.Raw("errors", jsontext.Array(e))
		return
	}
	list := jsontext.New()
	list.Text("object", "list")
	list.Raw("data", jsontext.Array(e))
	o.Object("errors", list)
}

// handle names a result file, where there is one to name.
func (c *call) handle(o *jsontext.Object, name string, b *batch, f *file) {
	switch {
	case f != nil && c.handles(b, c.now):
		o.Text(name, f.id)
	case b.is(emptyHandle):
		o.Text(name, "")
	default:
		o.Null(name)
	}
}

func (c *call) openaiTimes(o *jsontext.Object, b *batch) {
	at := func(name string, t time.Time, there bool) {
		if there && !t.IsZero() {
			o.Int(name, c.shown(t).Unix())
		} else {
			o.Null(name)
		}
	}
	at("created_at", b.created, true)
	at("in_progress_at", b.validated, b.phase != validating && b.phase != failed)
	at("expires_at", b.expires, true)
	at("finalizing_at", b.over, b.phase == completed)
	at("completed_at", b.over, b.phase == completed)
	at("failed_at", b.over, b.phase == failed)
	at("expired_at", b.over, b.phase == expired)
	at("cancelling_at", b.cancelAsked, b.cancelling(c.now) || b.phase == cancelled)
	at("cancelled_at", b.over, b.phase == cancelled)
}

func openaiUsage(t ledger.Tokens) jsontext.Object {
	u := jsontext.New()
	u.Int("input_tokens", t.InputTotal())
	in := jsontext.New()
	in.Int("cached_tokens", t.CacheRead)
	u.Object("input_tokens_details", in)
	u.Int("output_tokens", t.Output)
	out := jsontext.New()
	out.Int("reasoning_tokens", t.Reasoning)
	u.Object("output_tokens_details", out)
	u.Int("total_tokens", t.Total())
	return u
}

func writeMetadata(o *jsontext.Object, metadata map[string]string) {
	if metadata == nil {
		o.Null("metadata")
		return
	}
	m := jsontext.New()
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		m.Text(name, metadata[name])
	}
	o.Object("metadata", m)
}

// togetherBatch is a batch in Together's form: loud states, no counts, and an
// error in prose.
func (c *call) togetherBatch(b *batch) []byte {
	o := jsontext.New()
	if b.id != "" {
		o.Text("id", b.id)
	}
	o.Text("endpoint", b.endpoint)
	o.Text("model_id", b.model)
	input := b.name
	if b.input != nil {
		input = b.input.id
	}
	o.Text("input_file_id", input)
	word := strings.ToUpper(b.word(c.now))
	o.Text("status", strings.Replace(word, "CANCELLING", "CANCELING", 1))
	o.Text("job_status", word)
	share := 0.0
	if n := len(b.rows); n > 0 && b.phase != failed {
		share = 100 * float64(b.done) / float64(n)
	}
	o.Raw("progress", strconv.FormatFloat(share, 'f', 1, 64))
	c.handle(&o, "output_file_id", b, b.success)
	c.handle(&o, "error_file_id", b, b.errors)
	if b.failure != nil {
		o.Text("error", b.failure.message)
	} else {
		o.Null("error")
	}
	o.Text("created_at", c.shown(b.created).UTC().Format(time.RFC3339))
	if b.phase.over() {
		o.Text("completed_at", c.shown(b.over).UTC().Format(time.RFC3339))
	} else {
		o.Null("completed_at")
	}
	return o.End()
}
