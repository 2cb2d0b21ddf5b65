package providers

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"nightshift"
	"nightshift/providers/limits"
)

// A Preset is a well-known endpoint, with what people should know of it.
// Services that speak several protocols have a preset for each, under one name.
type Preset struct {
	Endpoint
	Description string
	Facts       string   // peculiarities worth knowing; may be empty
	KeyEnvs     []string // variables that may hold the key; the first that is set counts
	KeyOptional bool     // without a key none is sent
	Free        bool     // a server of one's own: costs nothing unless the plan says so
	BaseURLEnvs []string // variables that override the base URL, as in the vendors' own libraries
	Dialect     string   // rate-limit headers: anthropic, openai, azure, openrouter, mistral, litellm, none
	Charging    string   // what counts against token limits, in words
	CapName     string   // parameter that caps an answer, where it is not the protocol's usual one
	// NeedsBaseURL: the service has no address of its own; base_url (or one of
	// BaseURLEnvs) must say.
	NeedsBaseURL bool
}

const (
	anthropicVersion = "2023-06-01"
	azureV1          = "/openai/v1"
	azurePath        = azureV1 + "/chat/completions"
	azureClassic     = "/openai/deployments/" + modelPlaceholder + "/chat/completions"

	chargedActual = "tokens as they are read and written"
	chargedMax    = "input plus max_tokens when the request arrives"
	chargedCached = "input without cache reads, output as it is written"
	chargedNobody = "nothing: as fast as the machine goes"
	chargedMoney  = "money only; requests may be limited"
)

// Presets returns all presets, the vendors' own services first. They belong to
// everybody: what they point to must not be changed. The environment is not
// looked at.
func Presets() []Preset { return slices.Clone(presets()) }

var presets = sync.OnceValue(func() []Preset {
	all := inAllFormats(slices.Concat(vendorPresets(), gatewayPresets(), localPresets()))
	for i := range all {
		all[i].Batch = batchOf(all[i].Name, all[i].Protocol)
	}
	return all
})

// Lookup finds a preset by name, for a protocol or for its native one (""), and
// applies the environment as the vendors' own libraries do: ANTHROPIC_BASE_URL
// (without /v1), OPENAI_BASE_URL (with it) and their likes override the base
// URL; the first set variable of several names the key; ANTHROPIC_AUTH_TOKEN,
// without ANTHROPIC_API_KEY, is sent as a Bearer token; a server of one's own
// gets no key when none is set.
//
// A name with "-chat", "-messages" and so on appended asks for that protocol
// ("ccapi-chat"). Services with different paths or auth for each have them
// right. It fails when the preset does not speak the protocol. getenv may be
// nil for an empty environment.
func Lookup(name string, protocol nightshift.Protocol, getenv func(string) string) (Endpoint, bool) {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	if p, found := findPreset(name, protocol); found {
		return p.in(getenv), true
	}
	for _, suffix := range nightshift.Protocols() {
		plain, cut := strings.CutSuffix(name, "-"+string(suffix))
		if !cut || protocol != "" && protocol != suffix {
			continue
		}
		if p, found := findPreset(plain, suffix); found {
			p.Name = name
			return p.in(getenv), true
		}
	}
	return Endpoint{}, false
}

func findPreset(name string, protocol nightshift.Protocol) (Preset, bool) {
	for _, p := range presets() {
		if p.Name == name && (protocol == "" || p.Protocol == protocol) {
			p.Headers = maps.Clone(p.Headers) // an endpoint may get further ones
			return p, true
		}
	}
	return Preset{}, false
}

// in applies an environment.
func (p Preset) in(getenv func(string) string) Endpoint {
	e := p.Endpoint
	for _, name := range p.BaseURLEnvs {
		if base := strings.TrimSpace(getenv(name)); base != "" {
			e.BaseURL = completeURL(base)
			break
		}
	}
	set := slices.IndexFunc(p.KeyEnvs, func(name string) bool { return strings.TrimSpace(getenv(name)) != "" })
	switch {
	case set >= 0:
		e.Auth.Env = p.KeyEnvs[set]
	case p.KeyOptional:
		e.Auth = Auth{Scheme: AuthNone}
	}
	if tokenEnvs[e.Auth.Env] {
		e.Auth = Auth{Scheme: AuthBearer, Env: e.Auth.Env}
	}
	if p.Dialect == "azure" {
		e.Path = e.azureRoute(getenv)
	}
	return e
}

// tokenEnvs hold tokens that are always sent as Bearer.
var tokenEnvs = map[string]bool{"ANTHROPIC_AUTH_TOKEN": true, "AZURE_OPENAI_AD_TOKEN": true}

// azureRoute takes the classic route, with the deployment and the API version
// in the URL, when the environment names a version.
func (e Endpoint) azureRoute(getenv func(string) string) string {
	for _, name := range []string{"OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION"} {
		version := strings.TrimSpace(getenv(name))
		switch version {
		case "":
			continue
		case "v1", "preview", "latest":
			return e.Path + "?api-version=" + version
		}
		classic := strings.TrimSuffix(azureClassic, nightshift.Chat.Path())
		if e.Protocol == responses { // whose requests name the deployment as the model
			classic = "/openai"
		}
		return classic + e.Protocol.Path() + "?api-version=" + url.QueryEscape(version)
	}
	return e.Path
}

// completeURL adds what OLLAMA_HOST and its likes leave out: a scheme, and
// for a server that listens everywhere an address to call it by.
func completeURL(base string) string {
	if !strings.Contains(base, "://") {
		if strings.HasPrefix(base, ":") {
			base = "127.0.0.1" + base
		}
		base = "http://" + base
	}
	return strings.Replace(base, "://0.0.0.0", "://127.0.0.1", 1)
}

func bearer(env ...string) Auth { return Auth{Scheme: AuthBearer, Env: firstOf(env)} }

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// chat is a service that speaks Chat Completions with a Bearer key.
func chatPreset(name, base, description string, keys ...string) Preset {
	return Preset{
		Endpoint: Endpoint{
			Name: name, Protocol: nightshift.Chat, BaseURL: base, Auth: bearer(keys...), IncludeUsage: true,
			Limits: limits.Config{Charge: limits.ChargeActual},
		},
		Description: description, KeyEnvs: keys, Dialect: "none", Charging: chargedActual,
	}
}

// messages is a service that speaks Messages with an x-api-key.
func messagesPreset(name, base, description string, keys ...string) Preset {
	return Preset{
		Endpoint: Endpoint{
			Name: name, Protocol: nightshift.Messages, BaseURL: base,
			Auth:    Auth{Scheme: AuthXAPI, Env: firstOf(keys)},
			Headers: map[string]string{"anthropic-version": anthropicVersion},
			Limits:  limits.Config{Charge: limits.ChargeActual},
		},
		Description: description, KeyEnvs: keys, Dialect: "none", Charging: chargedActual,
	}
}

// with changes a preset in place of many constructors.
func (p Preset) with(change func(*Preset)) Preset {
	change(&p)
	return p
}
