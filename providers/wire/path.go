package wire

import (
	"strings"

	"nightshift"
	"nightshift/providers/secrets"
)

// pathHint guesses what is wrong with a URL that a web page, or nothing,
// answers. It is empty when it is the model that was not found.
func (a *attempt) pathHint(e *nightshift.Error) string {
	if e.Class == nightshift.ClassNotFound && !pathProblem(e) {
		return ""
	}
	u, err := a.wire.target(a.prepared)
	if err != nil {
		return ""
	}
	asked := secrets.NewRedactor().URL(u.String())
	hint := "the URL " + asked + " is not that of an API"
	if better := guess(u.Path); better != "" {
		return hint + ": did you mean " + strings.Replace(asked, u.Path, better, 1) + "?"
	}
	return hint + ": check base_url and path"
}

// pathProblem tells a path that is not found from a model that is not.
func pathProblem(e *nightshift.Error) bool {
	said := strings.ToLower(e.Code + " " + e.Message)
	if strings.Contains(said, "model") || e.Status == 503 {
		return false
	}
	for _, sign := range []string{"web page", "invalid url", "not found", "no route", "cannot post",
		"method not allowed", "unknown path", "page"} {
		if strings.Contains(said, sign) {
			return true
		}
	}
	return strings.TrimSpace(said) == ""
}

// guess repairs a path: a doubled segment, or the /v1 that is missing.
func guess(path string) string {
	parts := []string{"/v1", "/api"}
	for _, p := range nightshift.Protocols() {
		parts = append(parts, p.Path())
	}
	for _, part := range parts {
		if strings.Contains(path, part+part) {
			return strings.Replace(path, part+part, part, 1)
		}
	}
	for _, end := range parts[2:] {
		base, found := strings.CutSuffix(path, end)
		if found && !strings.Contains(base+"/", "/v1/") && !strings.Contains(base, "/v4") &&
			!strings.Contains(base, "/openai") {
			return base + "/v1" + end
		}
		if found && base == "/v1" {
			return "/api" + path
		}
	}
	return ""
}
