package wire

import (
	"regexp"
	"slices"
	"strings"

	"nightshift/providers"
)

// compareModel flags an answer of another model than was asked. Where the
// request names a deployment, which may be called anything, nothing can be
// said.
func (a *attempt) compareModel() {
	served := a.ex.Response.ServedModel
	if served == "" || a.prepared.Model == "" || namesDeployments(a.wire.endpoint) {
		return
	}
	if !sameModel(a.prepared.Model, served) {
		a.ex.Response.Flag("model_mismatch")
	}
}

func namesDeployments(e providers.Endpoint) bool {
	where := e.BaseURL + e.Path
	return strings.Contains(where, "/deployments/") || strings.Contains(where, ".openai.azure.com") ||
		strings.Contains(where, ".services.ai.azure.com")
}

// sameModel reports whether two names can mean the same model: without
// vendor's prefix, date, "latest" and variant, and whatever the order of the
// parts (claude-haiku-4.5, claude-4-5-haiku-20251001).
func sameModel(asked, served string) bool {
	if asked == served {
		return true
	}
	return slices.Equal(modelParts(asked), modelParts(served))
}

var (
	dateParts = regexp.MustCompile(
		`-(?:20\d{6}|20\d\d-\d\d-\d\d|\d\d-\d\d|\d\d-20\d\d|[01]\d[0-3]\d|2[3-9](?:0\d|1[0-2]))(?:-|$)`)
	separator = regexp.MustCompile(`[-_ .]+`)
	// dated is OpenAI's variant of a model of the time before Chat.
	dated = regexp.MustCompile(`^20\d\d-?\d\d-?\d\d(?:-v\d+)?$`)
)

func modelParts(name string) []string {
	name = strings.ToLower(name)
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	name, version, _ := strings.Cut(name, "@") // Vertex: model@date
	name, variant, _ := strings.Cut(name, ":") // OpenRouter: model:free; Ollama: model:size
	if strings.Trim(version, "0123456789") != "" && version != "default" {
		name += "-" + version
	}
	if dated.MatchString(variant) {
		variant = ""
	}
	if variant != "" && variant != "free" && variant != "latest" && variant != "beta" && variant != "nitro" &&
		variant != "floor" {
		name += "-" + variant
	}
	name = dateParts.ReplaceAllString(name, "-")
	parts := slices.DeleteFunc(separator.Split(name, -1), func(part string) bool {
		return part == "" || part == "latest" || part == "0" || part == "001" || part == "002"
	})
	slices.Sort(parts)
	return parts
}
