package providers

import (
	"net/url"
	"slices"
	"strings"

	"nightshift/internal/pattern"
)

// Google's APIs name the model as a resource in the URL, with a verb after it:
// /v1beta/models/NAME:generateContent, on Vertex
// /v1/projects/P/locations/L/publishers/google/models/NAME:generateContent.

// Collections of which a model can be a part. One that is named with its
// collection needs no /models before it.
var collections = []string{"tunedModels", "publishers", "projects", "endpoints"}

var versionSegment = pattern.Late(`^v[0-9]+(?:(?:alpha|beta)[0-9]*)?$`)

// joinResource makes the path from a base path that may end in the whole path
// with any model, in the version, in a project's location, or in nothing of
// all that.
func (e Endpoint) joinResource(host, base string) string {
	end := e.Protocol.Path()
	for _, verb := range []string{e.Protocol.Verb(false), e.Protocol.Verb(true)} {
		if named, ok := strings.CutSuffix(base, verb); ok {
			return parent(parent(named)) + end
		}
	}
	base = strings.TrimSuffix(base, "/models")
	segments := strings.Split(base, "/")
	last := segments[len(segments)-1]
	before := segments[max(len(segments)-2, 0)]
	switch {
	case before == "publishers":
		return base + end
	case before == "locations":
		return base + "/publishers/google" + end
	case isVertex(host) && last == "":
		return "/v1/publishers/google" + end
	case isVertex(host) && versionSegment().MatchString(last):
		return base + "/publishers/google" + end
	case versionSegment().MatchString(last):
		return base + end
	}
	return base + e.Protocol.Version() + end
}

func isVertex(host string) bool {
	return strings.HasSuffix(host, "aiplatform.googleapis.com") ||
		strings.HasPrefix(host, "aiplatform.") && strings.HasSuffix(host, ".googleapis.com")
}

// parent is a path without its last segment.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// forStream puts the verb and the query of streams, or of whole answers, in the
// place of what stands there.
func (e Endpoint) forStream(path, query string, stream bool) (string, string) {
	for _, verb := range []string{e.Protocol.Verb(false), e.Protocol.Verb(true)} {
		if named, ok := strings.CutSuffix(path, verb); ok {
			path = named + e.Protocol.Verb(stream)
			break
		}
	}
	want := ""
	if stream {
		_, want, _ = strings.Cut(e.Protocol.StreamPath(), "?")
	}
	_, ask, _ := strings.Cut(e.Protocol.StreamPath(), "?")
	name, _, _ := strings.Cut(ask, "=")
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || strings.HasPrefix(pair, name+"=")
	})
	if want != "" {
		kept = append(kept, want)
	}
	return path, strings.Join(kept, "&")
}

// putResource puts a model in the place of [modelPlaceholder]. The slashes of
// its name stay, and what the URL and the name both say is not doubled.
func putResource(full, model string) string {
	before, after, ok := strings.Cut(full, modelPlaceholder)
	if !ok {
		return full
	}
	segments := strings.Split(strings.Trim(model, "/"), "/")
	if segments[0] == "models" && len(segments) > 1 {
		segments = segments[1:]
	}
	if slices.Contains(collections, segments[0]) && len(segments) > 1 {
		before = beforeCollection(before, segments[0])
	}
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return before + strings.Join(segments, "/") + after
}

// beforeCollection is the URL up to where a resource of a collection stands.
func beforeCollection(before, collection string) string {
	before = strings.TrimSuffix(before, "models/")
	for _, name := range []string{collection, "publishers"} {
		if at := strings.Index(before, "/"+name+"/"); at >= 0 && collection != "tunedModels" {
			before = before[:at+1]
		}
	}
	return before
}
