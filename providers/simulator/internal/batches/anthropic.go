package batches

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

var customID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// createMessages makes a batch of the requests in the call.
func (c *call) createMessages() (abort bool) {
	return c.create(func() (*order, *refusal) {
		var w struct {
			Requests []struct {
				CustomID string          `json:"custom_id"`
				Params   json.RawMessage `json:"params"`
			} `json:"requests"`
		}
		if bad := c.readBody(&w, 256<<20); bad != nil {
			return nil, bad
		}
		if len(w.Requests) == 0 {
			return nil, invalid("", "", "requests: List should have at least 1 item")
		}
		if most := c.mostRows(anthropic); len(w.Requests) > most {
			return nil, invalid("", "", fmt.Sprintf("requests: List should have at most %d items", most))
		}
		o := &order{endpoint: "/v1/messages", window: 24 * time.Hour, input: &file{project: c.project, purpose: "batch"}}
		seen := map[string]bool{}
		for i, r := range w.Requests {
			switch {
			case !customID.MatchString(r.CustomID):
				return nil, invalid("", "", fmt.Sprintf("requests.%d.custom_id: String should match pattern '%s'", i, customID))
			case seen[r.CustomID]:
				return nil, invalid("", "", fmt.Sprintf("requests.%d.custom_id: duplicate custom_id %s", i, r.CustomID))
			case len(r.Params) == 0:
				return nil, invalid("", "", fmt.Sprintf("requests.%d.params: Field required", i))
			}
			seen[r.CustomID] = true
			line := jsontext.New()
			line.Text("custom_id", r.CustomID)
			line.Raw("params", oneLine(r.Params))
			_, _ = o.input.data.Write(append(line.End(), '\n'))
		}
		o.model = o.input.firstModel()
		return o, nil
	})
}

// readBody reads a request whose rows travel in it.
func (c *call) readBody(into any, most int64) *refusal {
	body, err := io.ReadAll(io.LimitReader(c.r.Body, most+1))
	switch {
	case err != nil:
		return invalid("", "", "The request body could not be read")
	case int64(len(body)) > most:
		return &refusal{status: http.StatusRequestEntityTooLarge, kind: "request_too_large",
			message: "Request exceeds the maximum size"}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return invalid("", "", "The request body is not valid JSON: "+err.Error())
	}
	return nil
}

// messagesBatch is a batch in Anthropic's form.
func (c *call) messagesBatch(b *batch) []byte {
	o := jsontext.New()
	if b.id != "" {
		o.Text("id", b.id)
	}
	o.Text("type", "message_batch")
	o.Text("processing_status", b.word(c.now))
	c.messagesCounts(&o, b)
	at := func(name string, t time.Time, there bool) {
		if there && !t.IsZero() {
			o.Text(name, c.shown(t).UTC().Format(time.RFC3339Nano))
		} else {
			o.Null(name)
		}
	}
	at("ended_at", b.over, b.phase.over())
	at("created_at", b.created, true)
	at("expires_at", b.expires, true)
	o.Null("archived_at")
	at("cancel_initiated_at", b.cancelAsked, !b.cancelAsked.After(c.now))
	switch {
	case c.handles(b, c.now):
		o.Text("results_url", "http://"+c.r.Host+"/v1/messages/batches/"+b.id+"/results")
	case b.is(emptyHandle):
		o.Text("results_url", "")
	default:
		o.Null("results_url")
	}
	return o.End()
}

// messagesCounts tells nothing before the end, as the vendor does.
func (c *call) messagesCounts(o *jsontext.Object, b *batch) {
	_, good, bad, told := b.counted()
	if !told {
		o.Null("request_counts")
		return
	}
	rest := len(b.rows) - b.done
	n := map[string]int{"processing": len(b.rows)}
	if b.phase.over() {
		n = map[string]int{"succeeded": good, "errored": bad}
		switch b.phase {
		case expired:
			n["expired"] = rest
		case cancelled:
			n["canceled"] = rest
		}
	}
	counts := jsontext.New()
	for _, name := range []string{"processing", "succeeded", "errored", "canceled", "expired"} {
		counts.Int(name, int64(n[name]))
	}
	o.Object("request_counts", counts)
}

// messagesResults sends the results of a batch that has ended.
func (c *call) messagesResults() (abort bool) {
	c.mu.Lock()
	b, bad := c.lookUp()
	var f *file
	if bad == nil {
		f = b.success
		gone := f == nil || f.deleted || !f.expires.IsZero() && !c.now.Before(f.expires)
		if !c.handles(b, c.now) || gone {
			bad = notFound("Message batch " + b.id + " has no available results.")
		}
	}
	c.mu.Unlock()
	if bad != nil {
		return c.refuse(bad)
	}
	return c.download(f, "application/x-jsonl")
}
