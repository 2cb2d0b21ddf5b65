package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// modelNames are the models that the server lists. Unless the config says
// otherwise it answers as any other, too.
func (s *Server) modelNames() []string {
	names := []string{"sim-large", "sim-medium", "sim-small"}
	names = append(names, sortedKeys(s.cfg.Models)...)
	names = append(names, s.cfg.Answers.Models()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// modelsMade is when all models were made, as their descriptions say.
var modelsMade = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// modelObject describes a model with the fields of OpenAI and Anthropic.
func modelObject(name string) jsontext.Object {
	o := jsontext.New()
	o.Text("id", name)
	o.Text("type", "model")
	o.Text("object", "model")
	o.Text("display_name", name)
	o.Int("created", modelsMade.Unix())
	o.Text("created_at", modelsMade.Format(time.RFC3339))
	o.Text("owned_by", "simulator")
	return o
}

// googleModel describes a model as Google does.
func (s *Server) googleModel(name string) jsontext.Object {
	o := jsontext.New()
	o.Text("name", "models/"+name)
	o.Text("displayName", name)
	o.Int("inputTokenLimit", int64(s.context(name)))
	o.Int("outputTokenLimit", 64_000)
	o.Raw("supportedGenerationMethods", `["generateContent","countTokens","embedContent"]`)
	return o
}

// context is the context window of a model in tokens.
func (s *Server) context(name string) int {
	if n := s.cfg.Models[name].Context; n > 0 {
		return n
	}
	return defaultContext
}

const defaultContext = 200_000

// serveModels lists the models, all at once unless the request asks for pages:
// Google's have pageSize and pageToken, Anthropic's limit and after_id.
func (s *Server) serveModels(w http.ResponseWriter, r *http.Request) {
	if !s.accepts(apiKey(r.Header)) {
		s.refuse(w, r, &failure{status: 401, kind: "authentication_error", message: "Incorrect API key provided."})
		return
	}
	google := strings.Contains(r.URL.Path, "/v1beta/")
	size, after := "limit", "after_id"
	if google {
		size, after = "pageSize", "pageToken"
	}
	names := s.modelNames()
	if at := slices.Index(names, r.URL.Query().Get(after)); at >= 0 {
		names = names[at+1:]
	}
	page := names
	if n, err := strconv.Atoi(r.URL.Query().Get(size)); err == nil && n > 0 && n < len(names) {
		page = names[:n]
	}
	w.Header().Set("Content-Type", "application/json")
	if google {
		_, _ = w.Write(append(s.googleList(page, len(page) < len(names)), '\n'))
		return
	}
	_, _ = w.Write(append(modelList(page, len(page) < len(names)), '\n'))
}

func (s *Server) googleList(page []string, more bool) []byte {
	var list []jsontext.Object
	for _, name := range page {
		list = append(list, s.googleModel(name))
	}
	o := jsontext.New()
	o.Raw("models", jsontext.Array(list...))
	if more {
		o.Text("nextPageToken", page[len(page)-1])
	}
	return o.End()
}

func modelList(page []string, more bool) []byte {
	var list []jsontext.Object
	for _, name := range page {
		list = append(list, modelObject(name))
	}
	o := jsontext.New()
	o.Text("object", "list")
	o.Raw("data", jsontext.Array(list...))
	o.Raw("has_more", strconv.FormatBool(more))
	if len(page) > 0 {
		o.Text("first_id", page[0])
		o.Text("last_id", page[len(page)-1])
	}
	return o.End()
}

func (s *Server) serveModel(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" || s.cfg.OnlyModels && !slices.Contains(s.modelNames(), name) {
		s.refuse(w, r, &failure{
			status: 404, kind: "not_found_error", param: "model", message: "The model '" + name + "' does not exist",
		})
		return
	}
	o := modelObject(name)
	if strings.Contains(r.URL.Path, "/v1beta/") {
		o = s.googleModel(name)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(o.End(), '\n'))
}
