package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/pattern"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/limits"
	"nightshift/providers/pricing"
)

// customEndpoint is the name that starts from nothing: custom/MODEL-ID.
const customEndpoint = "custom"

// A merged endpoint is a plan's entry laid over its preset.
type merged struct {
	providers.Endpoint
	preset string // preset it started from; "" for none
	path   string // where the plan describes it; "" for a bare preset
	ownURL bool   // the plan or a flag gave the base URL
	// foreign is set where the preset does not speak the protocol that the plan
	// asks for.
	foreign bool
	entry   Endpoint
}

// merge looks up an endpoint by name: the plan's own entries first, then
// presets, with the environment that getenv reads (nil for none). ok is false
// when there is neither.
func (p *Plan) merge(name string, getenv func(string) string) (m merged, ok bool) {
	entry, own := p.Endpoints[name]
	if own {
		m.path = "endpoints." + name
	}
	m.entry, m.preset = entry, entry.Preset
	if m.preset == "" && isPreset(name) {
		m.preset = name
	}
	if !own && m.preset == "" {
		return m, false
	}
	if m.preset != "" {
		base, foreign, _ := preset(m.preset, entry.Protocol, getenv)
		if m.foreign = foreign; foreign {
			base.Path = "" // the other protocol's
			if scheme := authScheme(entry.Protocol); scheme != providers.AuthBearer &&
				base.Auth.Scheme != providers.AuthNone {
				base.Auth.Scheme, base.Auth.Header = scheme, ""
			}
		}
		m.Endpoint = base
		m.Headers = maps.Clone(base.Headers)
	}
	m.Name = name
	m.overlay()
	m.batchAPI()
	m.Auth.File = p.path(m.Auth.File)
	for _, r := range m.Routes {
		if r.Auth != nil {
			r.Auth.File = p.path(r.Auth.File)
		}
	}
	return m, true
}

// overlay lays the plan's entry over the preset.
func (m *merged) overlay() {
	e, to := m.entry, &m.Endpoint
	set(&to.Protocol, e.Protocol)
	set(&to.BaseURL, e.BaseURL)
	set(&to.Path, e.Path)
	set(&to.Envelope, e.Envelope)
	set(&to.IdempotencyHeader, e.IdempotencyHeader)
	m.ownURL = e.BaseURL != ""
	if e.IncludeUsage != nil {
		to.IncludeUsage = *e.IncludeUsage
	} else if m.preset == "" {
		to.IncludeUsage = true // without it no gateway's stream says what it costs
	}
	if e.DoneMarkerOnly != nil {
		to.DoneMarkerOnly = *e.DoneMarkerOnly
	}
	to.AllowHTTP = to.AllowHTTP || e.AllowHTTP
	for k, v := range e.Headers {
		if to.Headers == nil {
			to.Headers = map[string]string{}
		}
		to.Headers[k] = v
	}
	to.Auth = mergeAuth(to.Auth, e.Auth, to.Protocol)
	if e.Limits != nil {
		to.Limits = mergeLimits(to.Limits, *e.Limits)
	}
	set(&to.Timeouts.Connect, time.Duration(e.Timeouts.Connect))
	set(&to.Timeouts.FirstByte, time.Duration(e.Timeouts.FirstByte))
	set(&to.Timeouts.Idle, time.Duration(e.Timeouts.Idle))
	set(&to.Timeouts.Total, time.Duration(e.Timeouts.Total))
	to.Routes = m.routes()
}

// batchAPI lays what the plan says of the batch API over the preset's facts,
// which hold for the preset's own format only. Servers that nothing is known of
// have the usual API of their format.
func (m *merged) batchAPI() {
	to := &m.Endpoint.Batch
	if m.preset == "" || m.foreign {
		*to = providers.BatchAPI{Dialect: providers.DefaultBatchDialect(m.Protocol)}
	}
	own := m.entry.BatchAPI
	if own == nil {
		return
	}
	if own.Dialect != "" && own.Dialect != to.Dialect {
		*to = providers.BatchAPI{Dialect: own.Dialect}
	}
	set(&to.BaseURL, own.BaseURL)
}

// set takes a value that was given.
func set[T comparable](to *T, value T) {
	var zero T
	if value != zero {
		*to = value
	}
}

// mergeAuth lays what a plan says over a preset's auth. Naming a key replaces
// where the preset finds it; a scheme alone keeps the place.
func mergeAuth(base providers.Auth, own *Auth, protocol nightshift.Protocol) providers.Auth {
	if own == nil {
		return base
	}
	to := base
	set(&to.Scheme, own.Scheme)
	set(&to.Header, own.Name)
	if own.Env != "" || own.File != "" || len(own.Command) > 0 {
		to.Env, to.File, to.Command = own.Env, own.File, strings.Join(own.Command, "\x00")
	}
	if to.Scheme == "none" {
		return providers.Auth{Scheme: "none"}
	}
	if to.Scheme == "" {
		to.Scheme = authScheme(protocol)
	}
	return to
}

// authScheme is how the keys of a protocol are sent where nothing else is said.
func authScheme(p nightshift.Protocol) string {
	if f, ok := formats.Of(p); ok {
		return f.AuthScheme()
	}
	return providers.AuthBearer
}

func mergeLimits(base limits.Config, own Limits) limits.Config {
	set(&base.Concurrency, own.Concurrency)
	set(&base.Requests, own.RequestsPerMinute)
	set(&base.Tokens, own.TokensPerMinute)
	set(&base.InputTokens, own.InputTokensPerMinute)
	set(&base.OutputTokens, own.OutputTokensPerMinute)
	set(&base.Charge, limits.Charge(own.Charge))
	return base
}

func (m *merged) routes() []providers.Route {
	var routes []providers.Route
	for i, r := range m.entry.Routes {
		to := providers.Route{Name: r.Name, BaseURL: r.BaseURL, Weight: 1}
		set(&to.Name, r.Name)
		if to.Name == "" {
			to.Name = fmt.Sprint(i + 1)
		}
		if r.Weight != nil {
			to.Weight = *r.Weight
		}
		if r.Auth != nil {
			auth := mergeAuth(m.Auth, r.Auth, m.Protocol)
			to.Auth = &auth
		}
		if r.Limits != nil {
			l := mergeLimits(m.Limits, *r.Limits)
			to.Limits = &l
		}
		routes = append(routes, to)
	}
	return routes
}

// simulated reports whether the endpoint runs inside the process.
func (m merged) simulated() bool { return m.BaseURL == providers.SimulatorURL }

// endpointNames lists what a model may name.
func (p *Plan) endpointNames() []string {
	names := slices.Concat(slices.Collect(maps.Keys(p.Endpoints)), presetNames())
	slices.Sort(names)
	return slices.Compact(names)
}

// endpoint checks one entry of the plan as it is written.
func (c *checker) endpoint(name string, e Endpoint) {
	path := "endpoints." + name
	before := len(c.problems)
	if strings.Contains(name, "/") {
		c.at(path, "", "an endpoint's name has no slash: --model splits there")
	}
	if e.Preset != "" && !isPreset(e.Preset) {
		c.at(path+".preset", suggest(e.Preset, presetNames()), "unknown preset %q", redact(words.Shorten(e.Preset, 40)))
		return
	}
	if e.Prices != "" && c.plan.Prices == "" && !pricing.Embedded().Has(e.Prices) {
		c.at(path+".prices", suggest(e.Prices, priceLists()), "no prices of a provider %q",
			redact(words.Shorten(e.Prices, 40)))
	}
	c.oneOf(path+".protocol", string(e.Protocol), protocolNames()...)
	c.oneOf(path+".envelope", e.Envelope, "none", "data")
	if e.BatchAPI != nil {
		c.oneOf(path+".batch_api.dialect", e.BatchAPI.Dialect, providers.BatchDialects()...)
	}
	c.auth(path+".auth", e.Auth)
	c.limits(path+".limits", e.Limits)
	for _, header := range slices.Sorted(maps.Keys(e.Headers)) {
		c.header(path+".headers."+header, header, e.Headers[header])
	}
	m, _ := c.plan.merge(name, nil)
	c.spoken(path+".protocol", m)
	for i, r := range e.Routes {
		c.route(fmt.Sprintf("%s.routes[%d]", path, i), r, m)
	}
	if e.Simulator != nil && !m.simulated() {
		c.at(path+".simulator", "add preset: simulator", "only the simulator takes simulator settings")
	}
	c.place(path, m, len(c.problems) == before)
}

func protocolNames() []string { return namesOf(nightshift.Protocols()) }

func namesOf(protocols []nightshift.Protocol) (names []string) {
	for _, p := range protocols {
		names = append(names, string(p))
	}
	return names
}

// spoken refuses a protocol that the preset's service does not speak. Where the
// plan says itself where requests go, it may know better.
func (c *checker) spoken(path string, m merged) {
	if m.foreign && !m.ownURL && m.entry.Path == "" && m.Protocol.Valid() {
		c.at(path, "choose one of these, or give the base_url of a server that speaks it",
			"preset %s speaks %s, not %s", m.preset,
			strings.Join(namesOf(providers.ProtocolsOf(service(m.preset))), ", "), m.Protocol)
	}
}

// priceLists are the providers of the built-in table.
func priceLists() []string {
	var names []string
	for _, p := range pricing.Embedded().All() {
		names = append(names, p.Provider)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// place checks what the endpoint becomes together with its preset; whole says
// that its entry has no mistake so far.
func (c *checker) place(path string, m merged, whole bool) {
	before := len(c.problems)
	if m.Protocol == "" {
		c.at(path, "add protocol: "+nightshift.ProtocolNames()+"; or a preset", "endpoint %s has no protocol", m.Name)
	}
	switch {
	case m.BaseURL == "" && m.needsURL():
		// The environment may have it; Resolve sees.
	case m.BaseURL == "":
		c.at(path, "add base_url: https://…, or a preset", "endpoint %s has no base URL", m.Name)
	case m.Protocol != "":
		c.url(path+".base_url", m.Endpoint)
	}
	if m.Auth.Scheme == "" && whole {
		c.at(path, "add auth: {scheme: bearer, env: NAME}, or auth: none",
			"endpoint %s does not say how its key is sent", m.Name)
	}
	if !whole || len(c.problems) > before || m.BaseURL == "" {
		return
	}
	for _, err := range m.Validate() {
		c.at(path, "", "endpoint %s: %s", m.Name, redact(err.Error()))
	}
}

// needsURL reports whether the preset has no address of its own.
func (m merged) needsURL() bool {
	return m.preset != "" && slices.ContainsFunc(providers.Presets(), func(p providers.Preset) bool {
		return p.Name == service(m.preset) && p.NeedsBaseURL
	})
}

func (c *checker) route(path string, r Route, m merged) {
	c.auth(path+".auth", r.Auth)
	c.limits(path+".limits", r.Limits)
	if r.BaseURL == "" && r.Auth == nil {
		c.at(path, "", "a route needs a base_url or an auth of its own")
	}
	if r.BaseURL != "" && m.Protocol != "" {
		e := m.Endpoint
		e.BaseURL = r.BaseURL
		c.url(path+".base_url", e)
	}
	if r.Weight != nil && *r.Weight <= 0 {
		c.at(path+".weight", "", "a weight is above zero")
	}
}

// envName is the form of a variable's name. A key pasted in its place has
// another one.
var envName = pattern.Late(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

func (c *checker) auth(path string, a *Auth) {
	if a == nil {
		return
	}
	c.oneOf(path+".scheme", a.Scheme, "bearer", "x-api-key", "x-goog-api-key", "raw", "header", "none")
	if a.Env != "" && (!envName().MatchString(a.Env) || secretText().MatchString(a.Env)) {
		c.at(path+".env", "export the key as a variable and name that here",
			"env must be the name of an environment variable, not the key itself")
	}
	if a.Env != "" && a.File != "" || len(a.Command) > 0 && (a.Env != "" || a.File != "") {
		c.at(path, "", "give one of env, file and command")
	}
	if a.Name != "" && a.Scheme != "header" {
		c.at(path+".name", "", "name goes with scheme: header")
	}
}

// header refuses headers that carry keys (they would be written to the run's
// files with the plan) and those that are not the user's to set.
func (c *checker) header(path, name, value string) {
	harmless := providers.Endpoint{
		Protocol: nightshift.Protocols()[0], BaseURL: "https://host.invalid",
		Auth: providers.Auth{Scheme: providers.AuthNone}, Headers: map[string]string{name: value},
	}
	for _, err := range harmless.Validate() {
		c.at(path, "", "%s", redact(err.Error()))
	}
}

// url checks where requests would go.
func (c *checker) url(path string, e providers.Endpoint) {
	if _, err := e.URL(); err != nil {
		c.at(path, "", "%s", redact(err.Error()))
	}
}

func (c *checker) limits(path string, l *Limits) {
	if l == nil {
		return
	}
	c.oneOf(path+".charge", l.Charge, "actual", "max_tokens")
	for name, value := range map[string]float64{
		"concurrency": float64(l.Concurrency), "requests_per_minute": l.RequestsPerMinute,
		"tokens_per_minute": l.TokensPerMinute, "input_tokens_per_minute": l.InputTokensPerMinute,
		"output_tokens_per_minute": l.OutputTokensPerMinute,
	} {
		if value < 0 {
			c.at(path+"."+name, "leave it out when it is not known", "%s is below zero", name)
		}
	}
}
