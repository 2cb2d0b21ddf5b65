package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/providers"
	"nightshift/providers/wire"
	"nightshift/runner/store/view"
)

// Verify checks a run directory, and when deep also what only the readers of
// answers and datasets can check: each stored raw body is read again and
// compared with its record, and the dataset is hashed. It changes nothing.
func Verify(ctx context.Context, dir string, deep bool) (rep view.VerifyReport, notes []string, err error) {
	if !deep {
		rep, err = view.Verify(dir, false)
		return rep, nil, err
	}
	r := rederiver{wires: map[rederived]*wire.Wire{}}
	rep, err = view.Verify(dir, true, r.check)
	if err != nil {
		return rep, nil, err
	}
	notes = append(notes, fmt.Sprintf("%d raw bodies were read again", r.checked))
	note, changed := verifyDataset(ctx, dir)
	if note != "" {
		notes = append(notes, note)
	}
	if changed != nil {
		rep.Problems = append(rep.Problems, view.Problem{Path: "dataset", What: changed.Error()})
	}
	return rep, notes, nil
}

// A rederiver reads stored raw bodies again, as if the server sent them now,
// and compares what comes out with what is on record.
type rederiver struct {
	wires   map[rederived]*wire.Wire
	checked int64
}

// rederived is what decides how a body is read.
type rederived struct {
	protocol       nightshift.Protocol
	doneMarkerOnly bool
}

// check is a view.Check. Rows without a raw body, and those whose body was
// changed on its way into the file, prove nothing.
func (r *rederiver) check(rec *nightshift.Record) error {
	likelihoods := rec.Choices != nil && strings.Contains(*rec.Choices, `"loglikelihood":`) // of several requests
	if likelihoods || !rec.Outcome.Answered() || rec.RawResponse == nil || rec.RawBytes != nil ||
		hasAnyFlag(rec.Flags, "key_redacted", "multi_turn", "text_repaired") {
		return nil
	}
	err := r.compare(rec, false)
	if err != nil && r.compare(rec, true) == nil { // a server whose streams have no finish reason
		err = nil
	}
	r.checked++
	return err
}

func hasAnyFlag(flags *string, names ...string) bool {
	if flags == nil {
		return false
	}
	return slices.ContainsFunc(strings.Split(*flags, ","), func(f string) bool { return slices.Contains(names, f) })
}

// value is what p points to, and zero for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (r *rederiver) compare(rec *nightshift.Record, doneMarkerOnly bool) error {
	got, err := r.read(rec, doneMarkerOnly)
	if err != nil {
		return fmt.Errorf("the raw response does not read as an answer any more: %w", err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"text", value(got.Text), value(rec.Text)},
		{"thinking", value(got.Thinking), value(rec.Thinking)},
		{"input_tokens", value(got.Usage.InputTotal().Pointer()), value(rec.InputTokens)},
		{"output_tokens", value(got.Usage.Output.Pointer()), value(rec.OutputTokens)},
		{"stop_reason", string(got.StopReason), value(rec.StopReason)},
		{"embedding", string(slices.Concat(got.Vectors...).AppendBytes(nil)), string(rec.Embedding.AppendBytes(nil))},
	} {
		if c.got != c.want {
			return fmt.Errorf("%s is not what the raw response says", c.what)
		}
	}
	return nil
}

// read sends nothing: the answer comes from the record.
func (r *rederiver) read(rec *nightshift.Record, doneMarkerOnly bool) (nightshift.Response, error) {
	key := rederived{nightshift.Protocol(rec.Protocol), doneMarkerOnly}
	w, ok := r.wires[key]
	if !ok {
		var err error
		w, err = wire.New(wire.Config{Transport: replay{}, Endpoint: providers.Endpoint{
			Name: "record", Protocol: key.protocol, BaseURL: "http://127.0.0.1",
			Auth: providers.Auth{Scheme: "none"}, DoneMarkerOnly: doneMarkerOnly,
		}})
		if err != nil {
			return nightshift.Response{}, err
		}
		r.wires[key] = w
	}
	ex := w.Send(context.WithValue(context.Background(), replay{}, *rec.RawResponse),
		providers.Prepared{Body: []byte("{}"), Model: rec.RequestedModel})
	if ex.Err != nil {
		return ex.Response, ex.Err
	}
	return ex.Response, nil
}

// replay is a transport that answers with the body that the context carries.
type replay struct{}

func (replay) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := req.Context().Value(replay{}).(string)
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}

// verifyDataset hashes every slice of a run's dataset again. The error says
// which part of the files has changed; nil also where the files are not to be
// found any more, which note tells.
func verifyDataset(ctx context.Context, dir string) (note string, err error) {
	data, err := openIndexed(ctx, dir)
	if err != nil {
		var changed *datasets.ChangedError
		if errors.As(err, &changed) {
			return "", err
		}
		return "the dataset was not checked: " + err.Error(), nil
	}
	defer data.Close()
	for i := range data.Chunks() {
		for _, err := range data.Read(ctx, i) {
			var changed *datasets.ChangedError
			if errors.As(err, &changed) {
				return "", err
			}
			break // the slice was hashed before its first row came
		}
	}
	return "", nil
}
