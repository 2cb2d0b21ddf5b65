package plan

import (
	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/pricing"
)

// Endpoint looks up one endpoint under the name that a model would give it: an
// entry of the plan, or a preset. The ResolvedModel has no model's id. The
// error is an [*Errors]; keys that are not set are among its problems.
func (p *Plan) Endpoint(name string, getenv func(string) string) (ResolvedModel, error) {
	r := newResolver(p, getenv)
	r.prices()
	if entry, own := p.Endpoints[name]; own {
		r.endpoint(name, entry)
	}
	model, found := r.resolveModel("models[0]", Model{Name: name, Endpoint: name})
	if !found {
		r.at("models[0].endpoint", suggest(name, p.endpointNames()), "no endpoint or preset is called %q",
			redact(words.Shorten(name, 60)))
	}
	return model, r.err()
}

// PriceOf is what a model costs at the endpoint; ok is false when that is not
// known.
func (m ResolvedModel) PriceOf(id string) (price pricing.Price, priceID string, ok bool) {
	free := m
	m.ModelID, m.Price = id, nil
	if price, priceID, ok = m.priceFor(""); ok || free.Price == nil {
		return price, priceID, ok
	}
	return *free.Price, free.PriceID, true
}

// BareEndpoint is a plan of one endpoint alone, which flags describe, under
// the name custom. Values are by the Flag of [Options].
func BareEndpoint(values map[string][]string) (p *Plan, name string, err error) {
	p = &Plan{Endpoints: map[string]Endpoint{customEndpoint: {Protocol: nightshift.Chat, Auth: &Auth{Scheme: "none"}}}}
	values["model"] = []string{customEndpoint + "/-"}
	return p, customEndpoint, p.Apply(values)
}
