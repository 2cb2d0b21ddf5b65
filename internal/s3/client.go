// Package s3 is a small client of S3-compatible object stores: whole objects
// by single requests, created or replaced under a condition, and lists. It
// never uses multipart uploads, whose completion ignores conditions on some
// stores.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// maxObject is the most bytes that one request may store; stores take 5 GiB.
const maxObject = 5 << 30

// A Bucket is a bucket and the beginning of all keys in it.
type Bucket struct {
	Name   string
	Prefix string // ends in a slash; "" is the whole bucket

	config Config
	http   *http.Client
}

// A Config says where a store is and who asks.
type Config struct {
	Endpoint string // URL; "" is AWS's of the region
	Region   string
	Keys     func(context.Context) (Keys, error)
}

// Open returns the bucket of a URL like s3://bucket/some/run. Nothing is asked
// yet.
func Open(address string, c Config) (*Bucket, error) {
	name, prefix, err := Parse(address)
	if err == nil && prefix == "" {
		err = fmt.Errorf("%q names a bucket only; add the name of the run: s3://%s/run", address, name)
	}
	if err != nil {
		return nil, err
	}
	return OpenFolder(address, c)
}

// OpenFolder is [Open] of what may be a whole bucket, as s3://bucket is.
func OpenFolder(address string, c Config) (*Bucket, error) {
	name, prefix, err := Parse(address)
	if err != nil {
		return nil, err
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("the endpoint %q is no URL like https://host:port", c.Endpoint)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport.MaxIdleConnsPerHost = 32
	return &Bucket{Name: name, Prefix: prefix, config: c, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// IsURL reports whether a run is named by the URL of a bucket.
func IsURL(run string) bool { return strings.HasPrefix(run, "s3://") }

// At is what is below a folder of the bucket, whose name ends in a slash.
func (b *Bucket) At(folder string) *Bucket {
	below := *b
	below.Prefix += folder
	return &below
}

// Parse takes a URL like s3://bucket/some/run apart. The prefix ends in a slash, or
// is empty.
func Parse(address string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(address, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	prefix = strings.Trim(prefix, "/")
	if !ok || len(bucket) < 3 || len(bucket) > 63 || strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return "", "", fmt.Errorf("%q is no address like s3://bucket/run", address)
	}
	if prefix == "" {
		return bucket, "", nil
	}
	for _, part := range strings.Split(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' }) {
			return "", "", fmt.Errorf("%q: %q is no name in a path", address, part)
		}
	}
	return bucket, prefix + "/", nil
}

// A Condition says when an object is stored. The zero value is always.
type Condition struct {
	Absent bool   // only when nothing has the key
	ETag   string // only in place of the object with this ETag
}

// Put stores an object by one request. meta is kept with it. The error is
// [ErrCondition] when the condition does not hold.
func (b *Bucket) Put(ctx context.Context, key string, body []byte, when Condition) (etag string, err error) {
	sum := sha256.Sum256(body)
	return b.PutFile(ctx, key, bytes.NewReader(body), int64(len(body)), sum, when)
}

// PutFile is [Bucket.Put] of size bytes with this SHA-256, which is kept with the
// object.
func (b *Bucket) PutFile(ctx context.Context, key string, body io.ReaderAt, size int64, sum [32]byte,
	when Condition) (etag string, err error) {
	if size > maxObject {
		return "", fmt.Errorf("%s has %d bytes; a single request stores at most %d", key, size, int64(maxObject))
	}
	q := request{method: http.MethodPut, key: key, body: body, size: size, sum: hex.EncodeToString(sum[:]),
		header: http.Header{"X-Amz-Meta-Sha256": {hex.EncodeToString(sum[:])}}}
	if when.Absent {
		q.header.Set("If-None-Match", "*")
	}
	if when.ETag != "" {
		q.header.Set("If-Match", when.ETag)
	}
	resp, err := b.do(ctx, q)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Header.Get("ETag"), drain(resp.Body)
}

// Get reads an object of at most so many bytes. The error is [ErrNotFound] when
// there is none.
func (b *Bucket) Get(ctx context.Context, key string, most int64) (body []byte, info Object, err error) {
	var buf bytes.Buffer
	info, err = b.GetTo(ctx, key, &buf, most)
	return buf.Bytes(), info, err
}

// GetTo copies an object of at most so many bytes.
func (b *Bucket) GetTo(ctx context.Context, key string, to io.Writer, most int64) (Object, error) {
	resp, err := b.do(ctx, request{method: http.MethodGet, key: key})
	if err != nil {
		return Object{}, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, io.LimitReader(resp.Body, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("%s has more than %d bytes", b.Address(key), most)
	}
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	return objectOf(key, resp), err
}

// Head looks at an object.
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	resp, err := b.do(ctx, request{method: http.MethodHead, key: key})
	if err != nil {
		return Object{}, err
	}
	defer resp.Body.Close()
	return objectOf(key, resp), nil
}

// Delete removes an object; it is no error when there is none.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	resp, err := b.do(ctx, request{method: http.MethodDelete, key: key})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return drain(resp.Body)
}

// An Object is what a store says of one.
type Object struct {
	Key      string // without the bucket's prefix
	Size     int64
	ETag     string
	SHA256   string    // as it was stored with; empty in lists
	Modified time.Time // by the store's clock
	Date     time.Time // the store's clock when it answered; zero in lists
}

func objectOf(key string, resp *http.Response) Object {
	o := Object{Key: key, Size: resp.ContentLength, ETag: resp.Header.Get("ETag"),
		SHA256: resp.Header.Get("X-Amz-Meta-Sha256")}
	o.Modified, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	o.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	return o
}

// List returns the objects whose keys begin so, after a key, in their order; at
// most so many, 0 for all. date is the store's clock.
func (b *Bucket) List(ctx context.Context, prefix, after string, most int) (list []Object, date time.Time, err error) {
	q := url.Values{"prefix": {b.Prefix + prefix}}
	if after != "" {
		q.Set("start-after", b.Prefix+after)
	}
	if most > 0 && most < 1000 {
		q.Set("max-keys", strconv.Itoa(most))
	}
	err = b.pages(ctx, q, func(p page) bool {
		date = p.date
		for _, o := range p.Contents {
			if key, ours := strings.CutPrefix(o.Key, b.Prefix); ours && (most == 0 || len(list) < most) {
				list = append(list, Object{Key: key, Size: o.Size, ETag: o.ETag, Modified: o.LastModified})
			}
		}
		return most == 0 || len(list) < most
	})
	return list, date, err
}

// Folders are the names up to the next slash, and with it, of all keys that have
// one.
func (b *Bucket) Folders(ctx context.Context) (names []string, err error) {
	err = b.pages(ctx, url.Values{"prefix": {b.Prefix}, "delimiter": {"/"}}, func(p page) bool {
		for _, f := range p.CommonPrefixes {
			if name, ours := strings.CutPrefix(f.Prefix, b.Prefix); ours {
				names = append(names, name)
			}
		}
		return true
	})
	return names, err
}

// A page is one answer of a store that lists.
type page struct {
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key, ETag    string
		Size         int64
		LastModified time.Time
	}
	CommonPrefixes []struct{ Prefix string }

	date time.Time // the store's clock
}

// maxList bounds what is read of one page of a list: 1,000 keys of 1,024 bytes.
const maxList = 8 << 20

// pages turns the pages of a list, until take wants no more.
func (b *Bucket) pages(ctx context.Context, q url.Values, take func(page) bool) error {
	q.Set("list-type", "2")
	for {
		p, err := b.page(ctx, q)
		if err != nil {
			return err
		}
		if !take(p) || !p.IsTruncated || p.NextContinuationToken == "" {
			return nil
		}
		q.Del("start-after")
		q.Set("continuation-token", p.NextContinuationToken)
	}
}

func (b *Bucket) page(ctx context.Context, q url.Values) (p page, err error) {
	resp, err := b.do(ctx, request{method: http.MethodGet, query: q})
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	if err := xml.NewDecoder(io.LimitReader(resp.Body, maxList)).Decode(&p); err != nil {
		return p, fmt.Errorf("listing s3://%s/%s: %w", b.Name, q.Get("prefix"), err)
	}
	p.date, _ = http.ParseTime(resp.Header.Get("Date"))
	return p, nil
}

// Address is an object's URL, for people.
func (b *Bucket) Address(key string) string { return "s3://" + b.Name + "/" + b.Prefix + key }

// A request is one call, before it is signed.
type request struct {
	method string
	key    string // "" is the bucket itself
	query  url.Values
	header http.Header
	body   io.ReaderAt
	size   int64
	sum    string // SHA-256 of the body in hex; "" when there is none
}

// do sends a request and turns refusals into errors. The answer's body is the
// caller's to close.
func (b *Bucket) do(ctx context.Context, q request) (*http.Response, error) {
	keys, err := b.config.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if q.body != nil {
		body = io.NewSectionReader(q.body, 0, q.size)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, b.url(q), body)
	if err != nil {
		return nil, err
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	if q.body != nil {
		r.ContentLength = q.size
		if q.size == 0 {
			r.Body = http.NoBody
		}
	}
	sign(r, keys, b.region(), q.sum, time.Now())
	resp, err := b.http.Do(r)
	if err != nil {
		var failed *url.Error // would repeat the whole URL
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, &Error{Op: q.method, Address: b.Address(q.key), Endpoint: r.URL.Host, Err: err}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, b.refusal(q, resp)
}

// url is where a request goes: AWS has a host for each bucket, others have paths.
func (b *Bucket) url(q request) string {
	base, path := b.config.Endpoint, "/"
	if base == "" {
		base = "https://s3." + b.region() + ".amazonaws.com"
		if !strings.Contains(b.Name, ".") {
			base = "https://" + b.Name + ".s3." + b.region() + ".amazonaws.com"
		}
	}
	if b.config.Endpoint != "" || strings.Contains(b.Name, ".") {
		path += b.Name
		if q.key != "" {
			path += "/"
		}
	}
	if q.key != "" {
		path += escape(b.Prefix+q.key, true)
	}
	base = strings.TrimRight(base, "/") + path
	if len(q.query) > 0 {
		base += "?" + canonicalQuery(q.query)
	}
	return base
}

func (b *Bucket) region() string {
	if b.config.Region == "" {
		return "us-east-1"
	}
	return b.config.Region
}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	return err
}

func canonicalQuery(q url.Values) string {
	var parts []string
	for name, values := range q {
		for _, v := range values {
			parts = append(parts, escape(name, false)+"="+escape(v, false))
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "&")
}

// escape is the percent-encoding that signatures are made of: everything but
// unreserved characters, and slashes of a path.
func escape(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0,
			path && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
