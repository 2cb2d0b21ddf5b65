package huggingface

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"nightshift/internal/netx"
	"nightshift/internal/pattern"
)

// A Hub answers what the Hugging Face hub answers.
type Hub struct {
	url    *url.URL
	token  string
	client http.Client
	// pause is how long to wait before a request is made once more.
	pause func(tries int) time.Duration
}

// NewHub is the hub that the environment names: HF_ENDPOINT, or huggingface.co.
// HF_TOKEN opens what is not public; it goes to that host alone.
func NewHub(getenv func(string) string) (*Hub, error) {
	u, err := url.Parse(cmp.Or(getenv("HF_ENDPOINT"), "https://huggingface.co"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("HF_ENDPOINT is no http or https URL")
	}
	h := &Hub{url: u, token: getenv("HF_TOKEN"), pause: pause}
	local := u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127.") || u.Hostname() == "::1"
	if u.Scheme == "http" && h.token != "" && !local {
		return nil, errors.New("HF_ENDPOINT is not https: HF_TOKEN is not sent there")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = mostSilence
	h.client = http.Client{CheckRedirect: h.redirect, Transport: transport}
	return h, nil
}

// mostSilence is how long nothing may come of an answer.
const mostSilence = time.Minute

// A watched is an answer that is given up when nothing of it comes for too long.
type watched struct {
	io.ReadCloser
	timer *time.Timer
	stop  context.CancelFunc
}

func watch(body io.ReadCloser, stop context.CancelFunc) *watched {
	return &watched{body, time.AfterFunc(mostSilence, stop), stop}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.timer.Reset(mostSilence)
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.stop()
	return w.ReadCloser.Close()
}

// redirect keeps the token from every host but the hub itself, also from those
// below its domain.
func (h *Hub) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than ten redirects")
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect from https to " + req.URL.Scheme)
	}
	if req.URL.Host != h.url.Host || req.URL.Scheme != h.url.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}

// pause is one second, and twice as long each time.
func pause(tries int) time.Duration { return time.Second << min(tries-1, 5) }

// mostTries is how often a request is made that a network or a server in trouble
// has failed. A download that got on begins to count anew.
const mostTries = 5

// A statusError is an answer of the hub that is none.
type statusError struct {
	Status int
	What   string // that was asked for
	token  bool
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the hub answers %d to a request for %s", e.Status, e.What)
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		if e.token {
			return text + ": HF_TOKEN does not open it; accept the dataset's terms on its page, or use another token"
		}
		return text + ": it does not exist, or is not public; accept its terms on its page if it has any, and export " +
			"HF_TOKEN=… with a token that may read it"
	case http.StatusNotFound:
		return text + ": there is no such dataset, or the hub has made no Parquet files of it"
	}
	return text
}

// get makes one request. Redirects are followed. what says in errors what it is
// for: URLs may hold signatures.
func (h *Hub) get(ctx context.Context, address, what string, from int64) (*http.Response, error) {
	ctx, stop := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: not an address", what)
	}
	if h.token != "" && req.URL.Host == h.url.Host && req.URL.Scheme == h.url.Scheme {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := h.client.Do(req)
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: %w%s", what, err, unreachable(err))
	}
	resp.Body = watch(resp.Body, stop)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		return nil, &statusError{resp.StatusCode, what, h.token != ""}
	}
	return resp, nil
}

// unreachable says what to do about a host that no connection could be made to;
// empty for other errors.
func unreachable(err error) string {
	var op *net.OpError
	switch {
	case !errors.As(err, &op):
		return ""
	case op.Op == "proxyconnect" || op.Op == "socks connect":
		return "; the proxy cannot be reached: check HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY), or except the host in NO_PROXY"
	case op.Op == "dial":
		return "; check the network: HTTPS_PROXY names a proxy where one is needed, HF_ENDPOINT another hub; a file on " +
			"this machine needs neither"
	}
	return ""
}

// final reports whether a request would fail again.
func final(ctx context.Context, err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.Status != http.StatusTooManyRequests && status.Status < 500
	}
	return ctx.Err() != nil
}

// wait is the pause before a request is made again; the error is that of ctx.
func (h *Hub) wait(ctx context.Context, tries int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(h.pause(tries)):
		return nil
	}
}

// mostAnswer bounds what is read of a list.
const mostAnswer = 16 << 20

// list reads a JSON answer, and the address of the next part of it. Where nothing
// listens it does not try again: people wait for the first word of a command.
func (h *Hub) list(ctx context.Context, address, what string, into any) (next string, err error) {
	for tries := 1; ; tries++ {
		next, err = h.listOnce(ctx, address, what, into)
		if err == nil || tries == mostTries || final(ctx, err) || errors.Is(err, netx.ErrRefused) {
			return next, err
		}
		if err := h.wait(ctx, tries); err != nil {
			return "", err
		}
	}
}

var nextLink = pattern.Late(`<([^>]+)>;\s*rel="next"`)

func (h *Hub) listOnce(ctx context.Context, address, what string, into any) (next string, err error) {
	resp, err := h.get(ctx, address, what, 0)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return "", fmt.Errorf("%s: the answer is not what the hub's interface says: %w", what, err)
	}
	if m := nextLink().FindStringSubmatch(resp.Header.Get("Link")); m != nil {
		next = m[1]
	}
	return next, nil
}

func (h *Hub) at(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(p), "+", "%2B")
	}
	return strings.TrimRight(h.url.String(), "/") + "/" + strings.Join(parts, "/")
}

// parquetBranch holds the Parquet files that the hub makes of a dataset.
const parquetBranch = "refs/convert/parquet"

// newest is the commit of a dataset's Parquet files as they are now.
func (h *Hub) newest(ctx context.Context, n Name) (string, error) {
	var found struct {
		SHA string `json:"sha"`
	}
	what := "the revision of " + n.repository()
	address := h.at("api", "datasets", n.Owner, n.Dataset, "revision", parquetBranch)
	if _, err := h.list(ctx, address, what, &found); err != nil {
		return "", err
	}
	if !commit().MatchString(found.SHA) {
		return "", fmt.Errorf("%s: %q is none", what, found.SHA)
	}
	return found.SHA, nil
}

// choose finds config and split among those that there are.
func (h *Hub) choose(ctx context.Context, n Name) (Name, error) {
	var listing map[string]map[string][]string
	what := "the list of Parquet files of " + n.repository()
	if _, err := h.list(ctx, h.at("api", "datasets", n.Owner, n.Dataset, "parquet"), what, &listing); err != nil {
		return n, err
	}
	configs := slices.Sorted(maps.Keys(listing))
	if n.Config == "" && len(configs) == 1 {
		n.Config = configs[0]
	}
	if n.Config == "" {
		n.Config = "default"
	}
	splits, ok := listing[n.Config]
	if !ok {
		return n, fmt.Errorf("%s has no config %q; name one of %s: hf://%s/%s:%s", n.repository(), n.Config,
			strings.Join(configs, ", "), n.repository(), first(configs, "config"), n.Split)
	}
	if _, ok := splits[n.Split]; !ok {
		names := slices.Sorted(maps.Keys(splits))
		return n, fmt.Errorf("%s/%s has no split %q; name one of %s: hf://%s/%s:%s", n.repository(), n.Config, n.Split,
			strings.Join(names, ", "), n.repository(), n.Config, first(names, "split"))
	}
	return n, nil
}

// first is the first of a list, or what stands for it in one that is empty.
func first(list []string, otherwise string) string {
	if len(list) == 0 {
		return otherwise
	}
	return list[0]
}

// A remoteFile is a Parquet file at the hub.
type remoteFile struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	LFS  *struct {
		OID  string `json:"oid"` // hex SHA-256 of the content
		Size int64  `json:"size"`
	} `json:"lfs"`
}

func (f remoteFile) sum() string {
	if f.LFS == nil {
		return ""
	}
	return strings.TrimPrefix(f.LFS.OID, "sha256:")
}

func (f remoteFile) size() int64 {
	if f.LFS != nil {
		return f.LFS.Size
	}
	return f.Size
}

// files are the Parquet files of a split at a revision, in order. partial says
// that the hub holds only the beginning of the split.
func (h *Hub) files(ctx context.Context, n Name) (list []remoteFile, partial bool, err error) {
	list, err = h.tree(ctx, n, n.Split)
	var status *statusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		partial = true
		if list, err = h.tree(ctx, n, "partial-"+n.Split); errors.As(err, &status) {
			return nil, false, fmt.Errorf("%s has no files at its revision: %w", n, status)
		}
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s has no Parquet files at the hub", n)
	}
	return list, partial, err
}

// mostFiles bounds the files of a split.
const mostFiles = 100_000

func (h *Hub) tree(ctx context.Context, n Name, folder string) (list []remoteFile, err error) {
	address := h.at("api", "datasets", n.Owner, n.Dataset, "tree", n.Revision, n.Config, folder)
	for address != "" && len(list) < mostFiles {
		var page []remoteFile
		if address, err = h.list(ctx, address, "the files of "+n.String(), &page); err != nil {
			return nil, err
		}
		for _, f := range page {
			name := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
			switch {
			case f.Type != "file" || !strings.HasSuffix(name, ".parquet"):
			case f.Path != n.Config+"/"+folder+"/"+name || !part().MatchString(name):
				return nil, fmt.Errorf("the hub names a file %q in %s", f.Path, n)
			default:
				list = append(list, f)
			}
		}
		if address != "" && !strings.HasPrefix(address, h.at("api")) {
			return nil, fmt.Errorf("the list of files of %s goes on at another address", n)
		}
	}
	slices.SortFunc(list, func(a, b remoteFile) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// Resolve is a dataset by its full name: with the config, and the revision that
// its files have now where it names none.
func (h *Hub) Resolve(ctx context.Context, n Name) (Name, error) {
	n, err := h.choose(ctx, n)
	if err == nil && n.Revision == "" {
		n.Revision, err = h.newest(ctx, n)
	}
	return n, err
}
