package protocol

import (
	"errors"
	"fmt"
	"net"

	"nightshift"
	"nightshift/internal/netx"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// Prepared is a [providers.Prepared] without its body, and without what concerns
// the hub alone.
type Prepared struct {
	Hash      string            `json:"hash"`
	Stream    bool              `json:"stream,omitempty"`
	Key       string            `json:"key,omitempty"`
	Model     string            `json:"model"`
	InputText int64             `json:"input_text"`
	Other     int64             `json:"input_other,omitempty"`
	Media     nightshift.Media  `json:"media,omitzero"`
	Choices   int64             `json:"choices,omitempty"`
	Texts     int64             `json:"texts,omitempty"`
	Job       string            `json:"job,omitempty"`
	MaxOutput int64             `json:"max_output,omitempty"`
	Scored    *providers.Scored `json:"scored,omitempty"`
	Begun     bool              `json:"begun,omitempty"` // the hub waits for the first part of the answer
}

// PackDo makes the message that gives an attempt away.
func PackDo(id, endpoint string, p providers.Prepared) (Frame, error) {
	d := Do{id, endpoint, Prepared{
		Hash: p.Hash, Stream: p.Stream, Key: p.Key, Model: p.Model, InputText: p.InputText, Other: p.InputOther,
		Media: p.Media, Choices: p.Choices, Texts: p.Texts, Job: p.Job, MaxOutput: p.MaxOutput, Scored: p.Scored,
		Begun: p.Begun != nil,
	}}
	if head, whole := shortHead(d, (*coder).do); whole {
		return Frame{KindDo, head, [][]byte{p.Body}}, nil
	}
	return Pack(KindDo, d, p.Body)
}

// UnpackDo reads it.
func UnpackDo(f Frame) (Do, providers.Prepared, error) {
	d, err := unpackHead(f, (*coder).do)
	if err == nil && (len(f.Blobs) != 1 || d.ID == "") {
		err = ErrDamaged
	}
	if err != nil {
		return d, providers.Prepared{}, err
	}
	p := d.Prepared
	return d, providers.Prepared{
		Body: f.Blobs[0], Attempt: d.ID, Hash: p.Hash, Stream: p.Stream, Key: p.Key, Model: p.Model, InputText: p.InputText,
		InputOther: p.Other, Media: p.Media, Choices: p.Choices, Texts: p.Texts, Job: p.Job, MaxOutput: p.MaxOutput,
		Scored: p.Scored,
	}, nil
}

// done is the head of an answer: an [providers.Exchange] without its long texts.
type done struct {
	ID       string              `json:"id"`
	Response nightshift.Response `json:"response"`
	Err      *failure            `json:"error,omitempty"`
	Limits   limits.Report       `json:"limits,omitzero"`
	Sent     bool                `json:"sent,omitempty"`
	Text     bool                `json:"text,omitempty"` // there is one
	Thinking bool                `json:"thinking,omitempty"`
	Raw      bool                `json:"raw,omitempty"`
	UsageRaw bool                `json:"usage_raw,omitempty"` // which may be no valid JSON
}

// A failure is a [nightshift.Error] with what matters of its cause.
type failure struct {
	nightshift.Error
	Refused bool `json:"refused,omitempty"` // nobody listened
	NoHost  bool `json:"no_host,omitempty"` // there is no such host
}

// unpackHead reads a head in either form.
func unpackHead[T any](f Frame, fields func(*coder, *T)) (T, error) {
	if isShort(f.Head) {
		return readShort(f.Head, fields)
	}
	return Unpack[T](f)
}

// PackDone makes the message that brings an answer.
func PackDone(id string, ex providers.Exchange) (Frame, error) {
	d, blobs := split(id, ex)
	if head, whole := shortHead(d, (*coder).done); whole {
		return Frame{KindDone, head, blobs}, nil
	}
	return Pack(KindDone, d, blobs...)
}

// PackDoneAsText is PackDone with a head in which a text can be replaced by
// another: as JSON.
func PackDoneAsText(id string, ex providers.Exchange) (Frame, error) {
	d, blobs := split(id, ex)
	return Pack(KindDone, d, blobs...)
}

// split takes the long texts out of an answer.
func split(id string, ex providers.Exchange) (done, [][]byte) {
	r := ex.Response
	d := done{
		ID: id, UsageRaw: r.UsageRaw != nil, Err: failureOf(ex.Err), Limits: ex.Limits, Sent: ex.Sent,
		Text: r.Text != nil, Thinking: r.Thinking != nil, Raw: r.Raw != nil,
	}
	blobs := [][]byte{bytesOf(r.Text), bytesOf(r.Thinking), r.Raw, r.UsageRaw}
	r.Text, r.Thinking, r.Raw, r.UsageRaw = nil, nil, nil, nil
	r.Attempts, r.Cost, r.PriceID, r.Queued, r.Backoff = nil, nil, "", 0, 0 // the hub's own
	d.Response, d.Limits.Err = r, nil
	return d, blobs
}

// UnpackDone reads it.
func UnpackDone(f Frame) (id string, ex providers.Exchange, err error) {
	d, err := unpackHead(f, (*coder).done)
	if err == nil && (len(f.Blobs) != 4 || d.ID == "") {
		err = ErrDamaged
	}
	if err != nil {
		return "", ex, err
	}
	r := d.Response
	if r.UsageRaw = nil; d.UsageRaw {
		r.UsageRaw = f.Blobs[3]
	}
	r.Text, r.Thinking = textOf(d.Text, f.Blobs[0]), textOf(d.Thinking, f.Blobs[1])
	if r.Raw = nil; d.Raw {
		r.Raw = f.Blobs[2]
	}
	r.Attempts, r.Cost, r.PriceID, r.Queued, r.Backoff = nil, nil, "", 0, 0 // the hub's own
	return d.ID, providers.Exchange{Response: r, Err: d.Err.error(), Limits: d.Limits, Sent: d.Sent}, nil
}

func bytesOf(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

func textOf(there bool, b []byte) *string {
	if !there {
		return nil
	}
	s := string(b)
	return &s
}

func failureOf(e *nightshift.Error) *failure {
	if e == nil {
		return nil
	}
	f := &failure{Error: *e, Refused: errors.Is(e, netx.ErrRefused)}
	var dns *net.DNSError
	f.NoHost = errors.As(e, &dns) && dns.IsNotFound
	if e.Message == "" && e.Err != nil {
		f.Message = e.Err.Error()
	}
	f.Err = nil
	return f
}

func (f *failure) error() *nightshift.Error {
	if f == nil {
		return nil
	}
	e := f.Error
	switch {
	case f.Refused:
		e.Err = fmt.Errorf("on the worker: %w", netx.ErrRefused)
	case f.NoHost:
		e.Err = &net.DNSError{Err: "no such host on the worker", IsNotFound: true}
	}
	return &e
}

// IDOf reads which attempt a Done is of.
func IDOf(f Frame) (id string, err error) {
	if isShort(f.Head) {
		c := coder{rest: string(f.Head[1:]), reading: true}
		if text(&c, &id); c.bad || id == "" {
			err = ErrDamaged
		}
		return id, err
	}
	head, err := Unpack[struct {
		ID string `json:"id"`
	}](f)
	if err == nil && head.ID == "" {
		err = ErrDamaged
	}
	return head.ID, err
}
