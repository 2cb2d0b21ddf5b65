package providers

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"nightshift"
	"nightshift/providers/secrets"
)

// modelPlaceholder in Path stands for the model id, for services that name
// the model (or a deployment of it) in the URL.
const modelPlaceholder = nightshift.ModelPlaceholder

// SimulatorURL is the base URL of the simulator that runs inside the process.
// No such host exists, and plain HTTP to it is no risk.
const SimulatorURL = "http://simulator.invalid"

// URL is where requests go that ask for no stream. A path in the form of
// [modelPlaceholder] is left as it is; see [Endpoint.URLFor].
//
// Without Path, a base URL with an empty path gets the protocol's version and
// path, such as /v1/chat/completions; one that ends in the whole endpoint path
// is used as it is; one that ends in the version gets the path alone; any other
// gets the path, and the version where the protocol's base URLs are given
// without it. With Path, the path is joined to the base; segments with which
// the base ends and Path begins are not doubled. There is exactly one slash
// between, and never two in a row.
//
// Refused are: user info, a fragment, what looks like a key in the query, and
// plain HTTP to hosts other than loopback unless AllowHTTP is set. Errors show
// no secret.
func (e Endpoint) URL() (string, error) { return e.url(false) }

// URLFor is where the requests for a model go, for streams or for whole answers.
func (e Endpoint) URLFor(model string, stream bool) (string, error) {
	full, err := e.url(stream)
	if err != nil {
		return "", err
	}
	if e.Protocol.Verb(false) != "" {
		return putResource(full, model), nil
	}
	return strings.ReplaceAll(full, modelPlaceholder, url.PathEscape(model)), nil
}

// SameURL reports whether all requests go to one URL, whatever their model.
func (e Endpoint) SameURL() bool {
	return !strings.Contains(e.BaseURL+e.Path+e.Protocol.Path(), modelPlaceholder)
}

func (e Endpoint) url(stream bool) (string, error) {
	u, err := e.base()
	if err != nil {
		return "", err
	}
	path, query, _ := strings.Cut(e.Path, "?")
	joined, err := e.join(u, path)
	if err != nil {
		return "", err
	}
	if query == "" {
		query = u.RawQuery
	} else if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	if err := checkQuery(query); err != nil {
		return "", err
	}
	if e.Protocol.Verb(false) != "" {
		joined, query = e.forStream(joined, query, stream)
	}
	full := u.Scheme + "://" + u.Host + joined
	if query != "" {
		full += "?" + query
	}
	return full, nil
}

// ModelsURL is where the endpoint lists its models: beside the path that its
// requests go to.
func (e Endpoint) ModelsURL() (string, error) {
	full, err := e.URL()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(strings.ReplaceAll(full, modelPlaceholder, "model-placeholder"))
	if err != nil {
		return "", err
	}
	u.Path, u.RawPath = listPath(u.Path, e.Protocol), ""
	query := u.Query()
	query.Del("alt") // of Gemini's streams
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// listPath is the path of the list of models beside a path of requests.
func listPath(path string, p nightshift.Protocol) string {
	for _, in := range []string{"/models/", "/deployments/"} {
		if base, _, found := strings.Cut(path, in); found {
			return base + "/models"
		}
	}
	if base, found := strings.CutSuffix(path, p.Path()); found {
		return base + "/models"
	}
	return path[:strings.LastIndexByte(path, '/')] + "/models"
}

// base parses and checks the base URL.
func (e Endpoint) base() (*url.URL, error) {
	raw := strings.TrimSpace(e.BaseURL)
	if raw == "" {
		return nil, errors.New("base_url is empty: say where the endpoint is")
	}
	shown := anySecrets.URL(raw)
	u, err := url.Parse(strings.ReplaceAll(raw, modelPlaceholder, "model-placeholder"))
	if err != nil && !strings.Contains(raw, "://") {
		return nil, fmt.Errorf("base_url %q lacks its scheme: write https://%s, or http:// for this machine", shown, shown)
	}
	if err != nil {
		return nil, fmt.Errorf("base_url %q is not a URL", shown)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("base_url %q: it must start with https:// (or http:// for this machine)", shown)
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("base_url %q names no host", shown)
	case u.User != nil:
		return nil, fmt.Errorf("base_url %q holds a user name or password: keys belong in auth", shown)
	case u.Fragment != "" || u.RawFragment != "":
		return nil, fmt.Errorf("base_url %q: a URL of an API has no #fragment", shown)
	case u.Scheme == "http" && !e.AllowHTTP && !isLocal(u.Hostname()):
		return nil, fmt.Errorf(
			"base_url %q: plain http would send the key and the prompts readable by others: use https, or set "+
				"allow_http for a network you trust", shown)
	}
	u.Path = strings.ReplaceAll(u.Path, "model-placeholder", modelPlaceholder)
	u.RawPath = strings.ReplaceAll(u.RawPath, "model-placeholder", modelPlaceholder)
	return u, nil
}

// isLocal reports whether a host is this machine.
func isLocal(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "simulator.invalid" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// join makes the whole path of a base URL and an optional path.
func (e Endpoint) join(u *url.URL, path string) (string, error) {
	base, end := cleanPath(u.EscapedPath()), e.Protocol.Path()
	if path != "" {
		return e.joinPath(base, cleanPath(path)), nil
	}
	other, whole := nightshift.PathProtocol(base)
	switch {
	case e.Protocol.Verb(false) != "" && (!whole || other == e.Protocol):
		return e.joinResource(u.Hostname(), base), nil
	case whole && other == e.Protocol:
		return base, nil
	case whole && (!other.Versioned() || other.Verb(false) != "" ||
		strings.HasSuffix(base, other.Version()+other.Path())):
		return "", fmt.Errorf("base_url ends in the path of protocol %s, and not of %s", other, e.Protocol)
	case base == "" || e.Protocol.Versioned() && !strings.HasSuffix(base, e.Protocol.Version()):
		return base + e.Protocol.Version() + end, nil
	}
	return base + end, nil
}

// joinPath joins without doubling the segments that both have.
func (e Endpoint) joinPath(base, path string) string {
	if path == azureV1+e.Protocol.Path() && strings.Contains(base+"/", "/deployments/") {
		path = e.Protocol.Path() // the classic route, whole in the base
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for n := len(parts); n > 0; n-- {
		if strings.HasSuffix(base, "/"+strings.Join(parts[:n], "/")) {
			return strings.TrimSuffix(base+"/"+strings.Join(parts[n:], "/"), "/")
		}
	}
	return base + path
}

// cleanPath is "" or starts with one slash and ends in none; slashes in a row
// become one. Gateways answer a doubled slash with their web console.
func cleanPath(p string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(p, "/") {
		if part != "" {
			b.WriteString("/" + part)
		}
	}
	return b.String()
}

// secretNames are query parameters that carry keys.
var secretNames = map[string]bool{
	"key": true, "api_key": true, "apikey": true, "api-key": true, "token": true, "access_token": true,
	"auth": true, "authorization": true, "secret": true, "password": true, "sig": true, "signature": true,
	"subscription-key": true, "x-api-key": true, "code": true, "credential": true,
}

func checkQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the query of the URL cannot be read")
	}
	for name, list := range values {
		if secretNames[strings.ToLower(name)] {
			return fmt.Errorf(
				"the URL carries a key in its query (%s=…): keys belong in auth, where they are kept out of logs",
				secrets.NewRedactor().Redact(name))
		}
		for _, value := range list {
			if anySecrets.Redact(value) != value {
				return errors.New(
					"the URL carries what looks like a key in its query: keys belong in auth, where they are kept out of logs")
			}
		}
	}
	return nil
}
