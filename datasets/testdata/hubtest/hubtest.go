// Package hubtest is a small imitation of the Hugging Face hub, for tests.
package hubtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Hub has one dataset, o/n, with the Parquet files of one config and split.
// Its files come from another host, to which it redirects.
type Hub struct {
	URL, CDN string
	Config   string
	Split    string
	Token    string // that is needed; "" is none
	// Cut is how many bytes of a file a connection brings before it breaks; 0 is all.
	Cut int
	// Spoilt files are not what the hub says of them.
	Spoilt bool

	mu    sync.Mutex
	files map[string]map[string][]byte // by revision and name
	head  string
	// Asked are the requests, as method and path, and at the other host with
	// their range. Leaked are tokens that the other host was sent.
	Asked, Leaked []string
}

// New starts a hub.
func New(t testing.TB) *Hub {
	h := &Hub{Config: "main", Split: "test", files: map[string]map[string][]byte{}}
	web, cdn := httptest.NewServer(http.HandlerFunc(h.serve)), httptest.NewServer(http.HandlerFunc(h.serveFile))
	t.Cleanup(func() { web.Close(); cdn.Close() })
	h.URL, h.CDN = web.URL, cdn.URL
	return h
}

// Commit puts files under a revision made of one letter, which is then the newest.
func (h *Hub) Commit(letter string, files map[string][]byte) (revision string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.head = strings.Repeat(letter, 40)
	h.files[h.head] = files
	return h.head
}

// Take returns what was asked since the last time.
func (h *Hub) Take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.Asked
	h.Asked = nil
	return asked
}

func (h *Hub) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := r.URL.EscapedPath()
	h.Asked = append(h.Asked, path)
	if h.Token != "" && r.Header.Get("Authorization") != "Bearer "+h.Token {
		http.Error(w, `{"error":"Repository not found"}`, http.StatusUnauthorized)
		return
	}
	tree := "/api/datasets/o/n/tree/"
	resolve := "/datasets/o/n/resolve/"
	switch {
	case path == "/api/datasets/o/n/parquet":
		answer(w, map[string]map[string][]string{h.Config: {h.Split: {}}})
	case path == "/api/datasets/o/n/revision/refs%2Fconvert%2Fparquet":
		answer(w, map[string]string{"sha": h.head})
	case strings.HasPrefix(path, tree):
		h.tree(w, r, strings.TrimPrefix(path, tree))
	case strings.HasPrefix(path, resolve):
		http.Redirect(w, r, h.CDN+"/"+strings.TrimPrefix(path, resolve)+"?signature=secret", http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}

// tree lists one file a page.
func (h *Hub) tree(w http.ResponseWriter, r *http.Request, path string) {
	revision, folder, _ := strings.Cut(path, "/")
	files, ok := h.files[revision]
	if !ok || folder != h.Config+"/"+h.Split {
		http.NotFound(w, r)
		return
	}
	page := 0
	fmt.Sscan(r.URL.Query().Get("page"), &page)
	if page+1 < len(files) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=%d>; rel="next"`, h.URL, r.URL.Path, page+1))
	}
	name := fmt.Sprintf("%04d.parquet", page)
	sum := sha256.Sum256(files[name])
	answer(w, []any{map[string]any{"type": "file", "path": folder + "/" + name, "size": len(files[name]),
		"lfs": map[string]any{"oid": hex.EncodeToString(sum[:]), "size": len(files[name])}}})
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

// serveFile is the other host.
func (h *Hub) serveFile(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Asked = append(h.Asked, r.URL.Path+" "+r.Header.Get("Range"))
	if a := r.Header.Get("Authorization"); a != "" {
		h.Leaked = append(h.Leaked, a)
	}
	parts := strings.Split(r.URL.Path, "/")
	content := h.files[parts[1]][parts[len(parts)-1]]
	if h.Spoilt {
		content = bytes.Repeat([]byte("x"), len(content))
	}
	if h.Cut > 0 {
		w = &cutting{w, h.Cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// A cutting connection breaks after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 && err == nil {
		if f, ok := c.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}
