package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"nightshift"
	"nightshift/providers/formats"
	"nightshift/runner/store/view"
)

// mostOrders is of how many parameters every order is tried.
const mostOrders = 5

// rebuildRequest makes the body of the last request for a record again, from
// the record and the plan in the run directory. A run does not keep bodies, only
// their hashes, and its plan lacks what does not change answers: whether
// answers were streamed, and the order of the parameters. Those are tried until
// the hash is that of the record; a body with another hash is what comes
// closest.
func rebuildRequest(dir string, rec *nightshift.Record) ([]byte, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return nil, err
	}
	req, err := requestOf(info.Plan, rec)
	if err != nil {
		return nil, err
	}
	f, ok := formats.Of(nightshift.Protocol(rec.Protocol))
	if !ok {
		return nil, fmt.Errorf("no wire format %q", rec.Protocol)
	}
	var nearest []byte
	for req := range variations(req) {
		for _, usage := range []bool{false, true} {
			p, err := formats.Encode(f, req, usage)
			if err != nil {
				return nil, err
			}
			if sum := sha256.Sum256(p.Body); hex.EncodeToString(sum[:]) == view.Value(rec.RequestHash) {
				return p.Body, nil
			}
			if nearest == nil {
				nearest = p.Body
			}
		}
	}
	return nearest, nil
}

// requestOf is the request for a record, as far as the record and the plan say
// it.
func requestOf(plan json.RawMessage, rec *nightshift.Record) (req nightshift.Request, err error) {
	var p struct {
		Plan struct {
			Models []struct {
				Name   string          `json:"name"`
				Params json.RawMessage `json:"params"`
			} `json:"models"`
		} `json:"plan"`
	}
	if err := json.Unmarshal(plan, &p); err != nil {
		return req, err
	}
	req = nightshift.Request{Model: rec.RequestedModel, System: view.Value(rec.System)}
	for _, m := range p.Plan.Models {
		if m.Name == rec.Model {
			if req.Params, err = paramsOf(m.Params); err != nil {
				return req, err
			}
		}
	}
	input := view.Value(rec.Input)
	if input == "" {
		return req, errors.New("no prompt is on record")
	}
	var messages []json.RawMessage
	if json.Unmarshal([]byte(input), &messages) != nil {
		req.System, req.Body, req.BodyProtocol = "", json.RawMessage(input), nightshift.Protocol(rec.Protocol)
		return req, nil
	}
	for _, raw := range messages {
		m, err := messageOf(raw)
		if err != nil {
			return req, err
		}
		req.Messages = append(req.Messages, m)
	}
	return req, nil
}

// messageOf is a message as it was before it went on record.
func messageOf(raw json.RawMessage) (m nightshift.Message, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return m, err
	}
	if err := json.Unmarshal(fields["role"], &m.Role); err != nil {
		return m, err
	}
	if len(fields) > 2 || json.Unmarshal(fields["content"], &m.Text) != nil {
		m.Text, m.Raw = "", raw
	}
	return m, nil
}

// paramsOf are the fields of a JSON object, in their order.
func paramsOf(object json.RawMessage) (list []nightshift.Param, err error) {
	if len(object) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		p := nightshift.Param{Name: fmt.Sprint(name)}
		if err := d.Decode(&p.Value); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// variations are the requests that differ only in what the plan of a run
// directory does not say.
func variations(req nightshift.Request) iter.Seq[nightshift.Request] {
	return func(yield func(nightshift.Request) bool) {
		for params := range orders(req.Params) {
			for _, stream := range []bool{false, true} {
				r := req
				r.Params, r.Stream = params, stream
				if !yield(r) {
					return
				}
			}
		}
	}
}

// orders are all orders of a short list, and the one order of a longer list.
func orders(list []nightshift.Param) iter.Seq[[]nightshift.Param] {
	return func(yield func([]nightshift.Param) bool) {
		var place func(done, left []nightshift.Param) bool
		place = func(done, left []nightshift.Param) bool {
			if len(left) == 0 {
				return yield(done)
			}
			for i := range left {
				rest := slices.Delete(slices.Clone(left), i, i+1)
				if !place(append(slices.Clip(done), left[i]), rest) {
					return false
				}
			}
			return true
		}
		if len(list) > mostOrders {
			yield(list)
			return
		}
		place(nil, list)
	}
}
