package batches

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// An order is a create call of any style in the same terms.
type order struct {
	input      *file // nil when there is no such file: found out later
	inputID    string
	endpoint   string
	model      string
	name       string
	metadata   map[string]string
	window     time.Duration
	windowText string
}

// create makes a batch, or does not, as faults have it.
func (c *call) create(read func() (*order, *refusal)) (abort bool) {
	c.mu.Lock()
	c.creates++
	number := c.creates
	c.mu.Unlock()
	if c.struck(createError, number) != nil {
		return c.refuse(
			&refusal{status: 500, kind: "api_error", message: "The server had an error while processing your request."})
	}
	o, bad := read()
	if bad != nil {
		return c.refuse(bad)
	}
	c.mu.Lock()
	b := c.open(o, number)
	if bad = c.tooEarly(b); bad != nil {
		b.input.release()
	} else {
		c.batches = append(c.batches, b)
		c.neighbours(b)
		c.advance(b, c.now)
	}
	var body, anonymous []byte
	if bad == nil {
		body = c.describe(b)
		id := b.id
		b.id = ""
		anonymous = c.describe(b)
		b.id = id
	}
	c.mu.Unlock()
	if bad != nil {
		return c.refuse(bad)
	}
	return c.createAnswer(number, body, anonymous)
}

// createAnswer answers the call that has made a batch.
func (c *call) createAnswer(number int, body, anonymous []byte) (abort bool) {
	status := http.StatusOK
	if c.cfg.Shape == shapeTogether && c.at.style == openai {
		status = http.StatusCreated
		body, anonymous = []byte(`{"job":`+string(body)+`}`), []byte(`{"job":`+string(anonymous)+`}`)
	}
	switch {
	case c.struck(createErrorMade, number) != nil:
		return c.refuse(
			&refusal{status: 500, kind: "api_error", message: "The server had an error while processing your request."})
	case c.struck(createCutMade, number) != nil:
		return c.sendCut(status, body)
	case c.struck(createNoID, number) != nil:
		return c.send(status, anonymous)
	}
	if f := c.struck(createTimeoutMade, number); f != nil {
		return c.hang(hold(f, 10*time.Minute))
	}
	return c.send(status, body)
}

// open makes a batch of an order; mu is held.
func (c *call) open(o *order, number int) *batch {
	prefix := map[style]string{openai: "batch_", anthropic: "msgbatch_", gemini: "batches/", mistral: "job-"}[c.at.style]
	b := &batch{
		id: c.newID(prefix), number: number, style: c.at.style, shape: c.cfg.Shape, project: c.project, apiKey: c.apiKey,
		endpoint: o.endpoint, model: o.model, name: o.name, metadata: o.metadata, window: o.windowText, input: o.input,
		created: c.now,
	}
	if b.input == nil {
		b.name = o.inputID
	}
	if b.input != nil {
		b.input.users++
	}
	c.draw(b)
	window := o.window
	if c.cfg.Window > 0 {
		window = c.cfg.Window
	}
	b.validated = c.now.Add(c.cfg.scaled(c.cfg.Validate))
	b.ends = b.validated.Add(c.cfg.scaled(c.cfg.Run))
	b.expires = c.now.Add(c.cfg.scaled(window))
	if b.is(expiredHalf) {
		b.ends = b.validated.Add(2 * b.expires.Sub(b.validated))
	}
	return b
}

// tooEarly is a refusal that some vendors give at once where others let the
// batch fail later.
func (c *call) tooEarly(b *batch) *refusal {
	if b.style == openai {
		return nil
	}
	switch bad := c.check(b); {
	case bad == nil:
	case bad.code == "token_limit_exceeded":
		return &refusal{status: 429, kind: "rate_limit_error", message: bad.message}
	default:
		return invalid(bad.code, bad.param, bad.message)
	}
	if b.is(failedLine) {
		return invalid("", "", "requests."+strconv.Itoa(len(b.rows)/2)+": the request is not valid")
	}
	b.failure = nil
	return nil
}

// listed are the batches that a list shows, newest first; mu is held.
func (c *call) listed() (all []*batch) {
	for _, b := range slices.Backward(c.batches) {
		if b.style != c.at.style || !b.visible(c.project) {
			continue
		}
		if f := b.faults[listLag]; f != nil && c.now.Before(b.created.Add(c.held(f, time.Minute))) {
			continue
		}
		all = append(all, b)
	}
	return all
}

// listBatches lists a project's batches, newest first.
func (c *call) listBatches() (abort bool) {
	if f := c.struck(get429, 0); f != nil {
		return c.tooMany(f)
	}
	return c.reply(func() ([]byte, *refusal) {
		q := c.r.URL.Query()
		all := c.chosen(c.listed())
		after := q.Get("after") + q.Get("after_id") + q.Get("cursor") + q.Get("pageToken")
		from := 1 + slices.IndexFunc(all, func(b *batch) bool { return b.id == after })
		if n, err := strconv.Atoi(q.Get("page")); err == nil { // Mistral
			from = n * limit(q.Get("page_size"), 100, 100)
		}
		most := 100
		if c.at.style == anthropic {
			most = 1000
		}
		size := limit(q.Get("limit")+q.Get("pageSize")+q.Get("page_size"), 20, most)
		if c.cfg.Shape == shapeTogether && c.at.style == openai {
			size = len(all)
		}
		from = min(from, len(all))
		if c.struck(listHidesNewest, 0) != nil && from == 0 {
			from = min(len(all), size)
		}
		page := slices.Clone(all[from:min(len(all), from+size)])
		last := ""
		if len(page) > 0 {
			last = page[len(page)-1].id
		}
		if c.struck(listDisorder, 0) != nil {
			slices.Reverse(page)
			if from > 0 {
				page = append(page, all[from-1])
			}
		}
		return c.page(page, last, from+size < len(all), len(all)), nil
	})
}

// chosen applies the filters that vendors have: ids at Groq, metadata and
// status at Mistral.
func (c *call) chosen(all []*batch) []*batch {
	q := c.r.URL.Query()
	var metadata map[string]string
	if c.at.style == mistral {
		_ = json.Unmarshal([]byte(q.Get("metadata")), &metadata) // no filter where it is none
	}
	return slices.DeleteFunc(all, func(b *batch) bool {
		for name, value := range metadata {
			if b.metadata[name] != value {
				return true
			}
		}
		wanted := q["status"]
		return c.cfg.Shape == shapeGroq && len(q["id"]) > 0 && !slices.Contains(q["id"], b.id) ||
			c.at.style == mistral && len(wanted) > 0 && !slices.Contains(wanted, b.word(c.now))
	})
}

// page is a page of a list in the vendor's form.
func (c *call) page(page []*batch, last string, more bool, total int) []byte {
	var list []string
	for _, b := range page {
		list = append(list, string(c.describe(b)))
	}
	data := "[" + strings.Join(list, ",") + "]"
	o := jsontext.New()
	switch {
	case c.at.style == gemini:
		o.Raw("operations", data)
		if more {
			o.Text("nextPageToken", last)
		}
		return o.End()
	case c.at.style == mistral:
		o.Raw("data", data)
		o.Text("object", "list")
		o.Int("total", int64(total))
		return o.End()
	case c.cfg.Shape == shapeTogether && c.at.style == openai:
		return []byte(data)
	case c.at.style == openai:
		o.Text("object", "list")
	}
	o.Raw("data", data)
	first := ""
	if len(page) > 0 {
		first = page[0].id
	}
	textOrNull(&o, "first_id", first)
	textOrNull(&o, "last_id", last)
	o.Raw("has_more", strconv.FormatBool(more))
	if c.cfg.Shape == shapeGroq {
		paging := jsontext.New()
		if more {
			paging.Text("next_cursor", last)
		}
		o.Object("paging", paging)
	}
	return o.End()
}

// tooMany is a 429 that says how long to wait.
func (c *call) tooMany(f *Fault) (abort bool) {
	return c.refuse(
		&refusal{status: 429, kind: "rate_limit_error", code: "rate_limit_exceeded", message: "Too many requests.",
			wait: c.held(f, 10*time.Second)})
}

// lookUp finds the batch that a call names; mu is held.
func (c *call) lookUp() (*batch, *refusal) {
	id := c.at.id
	if c.at.style == gemini {
		id = "batches/" + id
	}
	for _, b := range slices.Backward(c.batches) {
		if b.id == id && b.style == c.at.style && b.visible(c.project) {
			return b, nil
		}
	}
	return nil, notFound("No batch found with id '" + c.at.id + "'.")
}

func (c *call) getBatch() (abort bool) {
	c.mu.Lock()
	b, bad := c.lookUp()
	number := 0
	if b != nil {
		number = b.number
	}
	c.mu.Unlock()
	if f := c.struck(get429, number); f != nil {
		return c.tooMany(f)
	}
	if bad != nil {
		return c.refuse(bad)
	}
	return c.reply(func() ([]byte, *refusal) {
		b.gets++
		if b.is(get404) && b.gets == 1 {
			return nil, notFound("No batch found with id '" + c.at.id + "'.")
		}
		if c.at.style == anthropic && !b.phase.over() {
			c.w.Header().Set("Retry-After", "10")
		}
		return c.describe(b), nil
	})
}

// cancelBatch asks a batch to end.
func (c *call) cancelBatch() (abort bool) {
	return c.reply(func() ([]byte, *refusal) {
		b, bad := c.lookUp()
		switch {
		case bad != nil:
			return nil, bad
		case b.phase.over() && b.style == openai && c.cfg.Shape == shapeTogether:
			return nil, &refusal{status: 409, kind: "conflict", message: "The batch has ended."}
		case b.phase.over() && b.style == openai:
			return nil, &refusal{status: 409, kind: "invalid_request_error",
				message: "Cannot cancel a batch with status '" + b.word(c.now) + "'."}
		case b.phase.over() && b.style == anthropic:
			return c.describe(b), nil
		}
		if b.cancelAsked.IsZero() || b.cancelAsked.After(c.now) {
			b.cancelAsked = c.now
		}
		c.advance(b, c.now)
		if c.at.style == gemini {
			return []byte("{}"), nil
		}
		return c.describe(b), nil
	})
}

// deleteBatch removes a batch and its results.
func (c *call) deleteBatch() (abort bool) {
	return c.reply(func() ([]byte, *refusal) {
		b, bad := c.lookUp()
		if bad != nil {
			return nil, bad
		}
		if !b.phase.over() && b.style == anthropic {
			return nil, invalid("", "", "Cannot delete a batch that has not ended.")
		}
		b.deleted = true
		c.drop(b.success)
		if c.at.style == gemini {
			return []byte("{}"), nil
		}
		o := jsontext.New()
		o.Text("id", b.id)
		o.Text("type", "message_batch_deleted")
		return o.End(), nil
	})
}

// describe is a batch in the vendor's form; mu is held.
func (c *call) describe(b *batch) []byte {
	switch b.style {
	case anthropic:
		return c.messagesBatch(b)
	case gemini:
		return c.geminiBatch(b)
	case mistral:
		return c.mistralJob(b)
	}
	return c.openaiBatch(b)
}
