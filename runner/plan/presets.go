package plan

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/providers"
)

// simulatorPreset names the endpoint that runs inside the process.
const simulatorPreset = "simulator"

// preset looks up a well-known endpoint. Protocol "" is its native one; when
// the preset does not speak the one that is asked for, its native form comes
// back with foreign true.
func preset(name string, protocol nightshift.Protocol, getenv func(string) string) (
	e providers.Endpoint, foreign, ok bool,
) {
	if e, ok := providers.Lookup(name, protocol, getenv); ok {
		return e, false, true
	}
	e, ok = providers.Lookup(name, "", getenv)
	return e, ok, ok
}

// presetNames lists the presets, each once.
func presetNames() []string {
	var names []string
	for _, p := range providers.Presets() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isPreset(name string) bool {
	_, ok := providers.Lookup(name, "", nil)
	return ok
}

// service is a preset's name without the protocol that may be appended.
func service(name string) string {
	for _, p := range nightshift.Protocols() {
		if plain, cut := strings.CutSuffix(name, "-"+string(p)); cut && slices.Contains(presetNames(), plain) {
			return plain
		}
	}
	return name
}

// presetCap is the name that a service wants for the cap on an answer; empty
// where it takes the protocol's.
func presetCap(preset string, protocol nightshift.Protocol) string {
	for _, p := range providers.Presets() {
		if p.Name == service(preset) && p.Protocol == protocol {
			return p.CapName
		}
	}
	return ""
}

// isFree reports whether a preset is a server that people run themselves.
func isFree(preset string) bool {
	preset = service(preset)
	return slices.ContainsFunc(providers.Presets(), func(p providers.Preset) bool { return p.Name == preset && p.Free })
}
