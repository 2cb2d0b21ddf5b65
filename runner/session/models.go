package session

import (
	"context"
	"log/slog"

	"nightshift/providers"
	"nightshift/providers/wire"
	"nightshift/runner/plan"
)

// Models asks an endpoint which models it lists; see [plan.Plan.Endpoint].
func Models(ctx context.Context, m plan.ResolvedModel) ([]wire.Model, error) {
	f, err := newClients(&plan.Resolved{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.route(m, providers.Route{}); err != nil {
		return nil, err
	}
	list, err := f.wires[0].Models(ctx)
	if err != nil {
		return nil, &Error{Stopped, err}
	}
	return list, nil
}
