package wire

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// A Model is one that an endpoint lists. Limits are in tokens, 0 where the list
// does not say.
type Model struct {
	ID        string   `json:"id"`
	MaxInput  int64    `json:"max_input,omitempty"`  // context window
	MaxOutput int64    `json:"max_output,omitempty"` // of one answer
	Methods   []string `json:"methods,omitempty"`    // what it can be asked for, in the server's words
	// InputUSD and OutputUSD are the prices that the list itself states, in
	// dollars per million tokens; nil without.
	InputUSD  *float64 `json:"input_usd,omitempty"`
	OutputUSD *float64 `json:"output_usd,omitempty"`
}

// Bounds on what is read of a list that never ends.
const (
	maxPages  = 200
	maxModels = 100_000
	listTime  = time.Minute // for one page
)

// Models asks the endpoint which models it lists, over all pages, in its order.
// A gateway lists what it may route, which is not always what works. The error
// is an [*nightshift.Error], without the key.
func (w *Wire) Models(ctx context.Context) ([]Model, error) {
	place, err := w.endpoint.ModelsURL()
	if err != nil {
		return nil, noList(nightshift.ClassInvalidRequest, "the list of models has no URL", err)
	}
	var all []Model
	page := url.Values{}
	for range maxPages {
		list, next, err := w.modelsPage(ctx, place, page)
		if all = append(all, list...); err != nil {
			return nil, err
		}
		if next == nil || len(list) == 0 || len(all) > maxModels {
			return all, nil
		}
		page = next
	}
	return nil, noList(nightshift.ClassBadResponse, fmt.Sprintf("the list of models has more than %d pages", maxPages),
		nil)
}

// modelsPage reads one page; next is nil after the last.
func (w *Wire) modelsPage(ctx context.Context, place string, page url.Values) (
	list []Model, next url.Values, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	text, wrong := w.get(ctx, withQuery(place, page))
	if wrong != nil {
		wrong.Message, wrong.Hint = w.keys.current().redactor.Redact(wrong.Message),
			w.keys.current().redactor.Redact(wrong.Hint)
		wrong.Err = safely(w.keys.current().redactor.Contains, wrong.Err)
		return nil, nil, wrong
	}
	return readModels(text, place)
}

// readModels reads the body of one page.
func readModels(text []byte, place string) (list []Model, next url.Values, err error) {
	root, err := rawjson.Scan(text)
	if err != nil {
		return nil, nil, notAList(place)
	}
	items := root
	if root.Kind() == rawjson.Object {
		items = firstSet(root, "data", "models")
	}
	if items.Kind() != rawjson.Array {
		return nil, nil, notAList(place)
	}
	for item := items.First(); item.Exists(); item = item.Next() {
		if m := listedModel(item); m.ID != "" {
			list = append(list, m)
		}
	}
	return list, nextPage(root), nil
}

func notAList(place string) *nightshift.Error {
	return noList(nightshift.ClassBadResponse, place+" answered with something else than a list of models", nil)
}

// noList says why there is no list; cause may be nil.
func noList(class nightshift.ErrorClass, message string, cause error) *nightshift.Error {
	if cause != nil {
		message += ": " + cause.Error()
	}
	return &nightshift.Error{Class: class, Message: message, Err: cause}
}

func withQuery(place string, more url.Values) string {
	if len(more) == 0 {
		return place
	}
	sign := "?"
	if strings.Contains(place, "?") {
		sign = "&"
	}
	return place + sign + more.Encode()
}

// get asks once and returns the body of a good answer.
func (w *Wire) get(ctx context.Context, place string) ([]byte, *nightshift.Error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, noList(nightshift.ClassInvalidRequest, "the list of models has no URL", err)
	}
	req.Header = maps.Clone(w.keys.current().header)
	req.Header.Del("Content-Type")
	req.Header.Set("Accept", "application/json")
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		e := (&attempt{wire: w, sending: &sendProgress{}}).transportError(err)
		e.Message, e.Err, e.MaybeBilled = place+" gave no answer: "+e.Message, err, false
		return nil, e
	}
	defer resp.Body.Close()
	b, err := newBody(resp, w.maxBody, func() {})
	if err == nil {
		err = b.rest()
	}
	if resp.StatusCode >= 300 {
		return nil, w.listRefused(resp, place, b.raw)
	}
	if err != nil {
		return nil, noList(nightshift.ClassCut, "the list of models could not be read", err)
	}
	return b.raw, nil
}

// listRefused says why there is no list.
func (w *Wire) listRefused(resp *http.Response, place string, body []byte) *nightshift.Error {
	e := providers.Classify(resp.StatusCode, resp.Header, body)
	e.MaybeBilled = false
	e.Message = place + ": " + e.Message
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		e.Hint = "the server has no list of models there"
	case http.StatusUnauthorized:
		a := attempt{wire: w}
		a.explain(e)
	}
	return e
}

// nextPage is what the next page is asked for with, in the way that the answer
// offers it; nil when it offers none.
func nextPage(root rawjson.Value) url.Values {
	if root.Kind() != rawjson.Object {
		return nil
	}
	if token := root.Get("nextPageToken").String(); token != "" {
		return url.Values{"pageToken": {token}}
	}
	if last := root.Get("last_id").String(); root.Get("has_more").IsTrue() && last != "" {
		return url.Values{"after_id": {last}}
	}
	return nil
}

// listedModel reads one entry of a list. Vendors and servers have names of
// their own for the limits.
func listedModel(item rawjson.Value) Model {
	if id, ok := item.Text(); ok {
		return Model{ID: id}
	}
	top := item.Get("top_provider")
	m := Model{
		ID: cmp.Or(item.Get("id").String(), strings.TrimPrefix(item.Get("name").String(), "models/")),
		MaxInput: cmp.Or(tokens(item, "context_length", "context_window", "max_context_length", "max_model_len",
			"max_input_tokens", "inputTokenLimit"), tokens(top, "context_length"),
			tokens(item.Get("meta"), "n_ctx_train")),
		MaxOutput: cmp.Or(tokens(item, "max_output_tokens", "max_completion_tokens", "outputTokenLimit", "max_tokens"),
			tokens(top, "max_completion_tokens")),
	}
	for method := item.Get("supportedGenerationMethods").First(); method.Exists(); method = method.Next() {
		m.Methods = append(m.Methods, method.String())
	}
	stated := item.Get("pricing")
	m.InputUSD, m.OutputUSD = perMillion(stated.Get("prompt")), perMillion(stated.Get("completion"))
	return m
}

func firstSet(o rawjson.Value, names ...string) rawjson.Value {
	for _, name := range names {
		if v := o.Get(name); v.Set() {
			return v
		}
	}
	return rawjson.Value{}
}

// tokens is the first of several members that holds a number above 0.
func tokens(o rawjson.Value, names ...string) int64 {
	for _, name := range names {
		if n, ok := o.Get(name).Int(); ok && n > 0 {
			return n
		}
	}
	return 0
}

// perMillion reads a price in dollars a token, which is written as text. Below
// 0 it says that the price varies.
func perMillion(price rawjson.Value) *float64 {
	text, ok := price.Text()
	usd, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || !(usd >= 0 && usd < 1) {
		return nil
	}
	usd *= 1e6
	return &usd
}
