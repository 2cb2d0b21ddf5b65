package estimate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// An encoder makes the request bodies of one model without a key, and sends
// none of them.
type encoder struct {
	model plan.ResolvedModel
	pool  runner.Pool
	wire  providers.Wire
}

func newEncoder(m plan.ResolvedModel) (*encoder, error) {
	w, err := session.EncodingWire(m)
	if err != nil {
		return nil, err
	}
	pool := runner.Pool{Model: m.Name, ModelID: m.ModelID, Params: m.Params, Stream: m.Stream,
		Likelihoods: runner.Likelihoods(m.Likelihoods)}
	return &encoder{m, pool, w}, nil
}

// encode makes the first request of a row.
func (e *encoder) encode(s nightshift.Sample) (providers.Prepared, error) {
	return e.wire.Prepare(e.pool.Requests(s)[0])
}

// all makes the requests of a row that are known before its answers.
func (e *encoder) all(s nightshift.Sample) (prepared []providers.Prepared, err error) {
	for _, req := range e.pool.Requests(s) {
		p, err := e.wire.Prepare(req)
		if prepared = append(prepared, p); err != nil {
			return prepared, err
		}
	}
	return prepared, nil
}

// target is where the model's requests go, in words.
func (e *encoder) target() string {
	if e.model.Simulated {
		return "in this process"
	}
	u, err := e.model.Endpoint.URLFor(e.model.ModelID, e.model.Stream)
	if err != nil {
		return err.Error() // Resolve has refused what it could not read
	}
	return u
}

// capped sees that every request has max_tokens where its format requires it
// and only rows can bring it. It looks at the first rows;
// later ones without it become failed rows, unsent.
func (j *job) capped(ctx context.Context) error {
	var problems []error
	for _, m := range j.Plan.Models {
		format, lacks := m.LacksMaxTokens()
		if !lacks {
			continue
		}
		e, err := newEncoder(m)
		if err != nil {
			return err
		}
		problems = append(problems, j.firstUncapped(ctx, e, format))
	}
	return errors.Join(problems...)
}

// cappedRows is how many rows are looked at for their max_tokens.
const cappedRows = 1000

func (j *job) firstUncapped(ctx context.Context, e *encoder, format string) error {
	for s, err := range j.RowsOf(e.model.Name).First(ctx, cappedRows) {
		if err != nil {
			continue // told elsewhere
		}
		var wrong *nightshift.Error
		if _, err := e.encode(s); errors.As(err, &wrong) && slices.Contains(formats.CapNames(), wrong.Code) {
			return session.Usagef("%s:%d: %s speaks the %s format, where every request needs max_tokens, and neither its "+
				"params nor this row has it; "+
				"add params: {max_tokens: 1024} to the model, or --max-tokens 1024", s.File, s.Line, e.model.Name, format)
		}
	}
	return nil
}

// dialect says how a model's requests look, for lists.
func (e *encoder) dialect() string {
	words := string(e.model.Endpoint.Protocol)
	if e.model.Stream {
		words += ", streamed"
	}
	return words
}

// cap is the most output tokens of a request, 0 when nothing says.
func (e *encoder) cap(p providers.Prepared) int64 {
	if p.MaxOutput > 0 || p.Texts > 0 {
		return p.MaxOutput
	}
	return e.model.MaxOutput * max(p.Choices, 1)
}

func rowName(s nightshift.Sample) string {
	if s.ID == fmt.Sprint(s.Index) {
		return fmt.Sprintf("row %d", s.Index)
	}
	return fmt.Sprintf("row %d, id %s", s.Index, words.Visible(s.ID))
}
