// Package s3test is an object store in memory, for tests: single PUTs with
// conditions, GET, HEAD, DELETE and lists, and the faults that tests ask for.
package s3test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is an object store with one bucket, "runs".
type Server struct {
	*httptest.Server
	// Fault is asked about every request, before it is carried out. A status
	// other than 0 is answered instead; with after it is carried out first.
	Fault func(r *http.Request) (status int, after bool)
	// Ignores makes the store ignore this header of conditions.
	Ignores string

	mu      sync.Mutex
	objects map[string]object
	methods map[string]int
}

type object struct {
	body     []byte
	etag     string
	sum      string
	modified time.Time
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{objects: map[string]object{}, methods: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Env are the variables by which it is found.
func (s *Server) Env() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL_S3": s.URL, "AWS_ACCESS_KEY_ID": "test-id",
		"AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}
}

// Getenv looks into [Server.Env].
func (s *Server) Getenv(name string) string { return s.Env()[name] }

// Keys are the keys that begin so, sorted.
func (s *Server) Keys(prefix string) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Object is an object's content; nil when there is none.
func (s *Server) Object(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[key].body
}

// Set puts an object there, as another writer might.
func (s *Server) Set(key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = newObject(body, "")
}

// Requests counts the requests with a method.
func (s *Server) Requests(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.methods[method]
}

func newObject(body []byte, sum string) object {
	digest := md5.Sum(body)
	return object{body: body, etag: `"` + hex.EncodeToString(digest[:]) + `"`, sum: sum, modified: time.Now()}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.methods[r.Method]++
	fault := s.Fault
	s.mu.Unlock()
	if fault != nil {
		status, after := fault(r)
		if status != 0 {
			if after {
				s.answer(httptest.NewRecorder(), r, body)
			}
			refuse(w, status, "SlowDown", "try again")
			return
		}
	}
	s.answer(w, r, body)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=test-id/") {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId", "who is that")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != "runs" {
		refuse(w, http.StatusNotFound, "NoSuchBucket", "no such bucket")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there := s.objects[key]
	switch {
	case r.Method == http.MethodPut:
		s.put(w, r, key, body)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case key == "":
		s.list(w, r)
	case !there:
		refuse(w, http.StatusNotFound, "NoSuchKey", "no such key")
	default:
		w.Header().Set("ETag", o.etag)
		w.Header().Set("X-Amz-Meta-Sha256", o.sum)
		w.Header().Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(o.body)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(o.body)
		}
	}
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if r.URL.Query().Has("uploads") || r.URL.Query().Has("partNumber") {
		refuse(w, http.StatusNotImplemented, "NotImplemented", "no multipart uploads")
		return
	}
	o, there := s.objects[key]
	absent, match := r.Header.Get("If-None-Match") == "*", r.Header.Get("If-Match")
	if absent && there && s.Ignores != "If-None-Match" || match != "" && match != o.etag && s.Ignores != "If-Match" {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "at least one condition does not hold")
		return
	}
	o = newObject(body, r.Header.Get("X-Amz-Meta-Sha256"))
	s.objects[key] = o
	w.Header().Set("ETag", o.etag)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key, ETag    string
		Size         int
		LastModified time.Time
	}
	type folder struct{ Prefix string }
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
		CommonPrefixes        []folder
	}
	q := r.URL.Query()
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	most := 7 // small, so that pages are turned
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, q.Get("prefix")) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	last := ""
	for i, key := range keys {
		name := strings.TrimPrefix(key, q.Get("prefix"))
		if at := strings.Index(name, "/"); at >= 0 && q.Get("delimiter") == "/" {
			if f := key[:len(key)-len(name)+at+1]; f != last && !strings.HasPrefix(after, f) {
				page.CommonPrefixes, last = append(page.CommonPrefixes, folder{f}), f
			}
		} else {
			o := s.objects[key]
			page.Contents = append(page.Contents, content{key, o.etag, len(o.body), o.modified.UTC()})
		}
		if len(page.Contents)+len(page.CommonPrefixes) == most && i+1 < len(keys) {
			page.IsTruncated, page.NextContinuationToken = true, key
			break
		}
	}
	_ = xml.NewEncoder(w).Encode(page)
}
