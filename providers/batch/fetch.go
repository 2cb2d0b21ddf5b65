package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/wire"
)

// Bounds on a result file and on one page of results.
const (
	maxResult      = 64 << 30
	maxResultPage  = 512 << 20
	maxResultPages = 100_000
)

// Fetch implements [nightshift.Batcher].
func (b *Batcher) Fetch(ctx context.Context, batch nightshift.Batch, handle string, w io.Writer) error {
	at := place{id: batch.ID, file: handle}
	switch {
	case b.pages:
		err := b.fetchPages(ctx, b.content, at, w)
		if gone(err) && b.fallback != "" {
			err = b.fetchPages(ctx, b.fallback, at, w)
		}
		return fileMissing(err)
	case b.links:
		return fileMissing(b.fetchLinks(ctx, at, w))
	}
	size, err := b.sizeOf(ctx, at)
	if err != nil {
		return err
	}
	reply, err := b.call(ctx, wire.Call{Method: http.MethodGet, URL: b.url(b.content, at), To: w, Most: maxResult})
	if err != nil {
		return fileMissing(err)
	}
	if size.Known() && size.N() != reply.Bytes {
		return cut(fmt.Sprintf("the result file %s has %d bytes by the server's word, and %d came",
			handle, size.N(), reply.Bytes))
	}
	return nil
}

// sizeOf is the length of a file by the server's word; unknown where it has
// none.
func (b *Batcher) sizeOf(ctx context.Context, at place) (size nightshift.Count, err error) {
	if !b.sizes || at.file == b.result {
		return size, nil
	}
	reply, err := b.getJSON(ctx, b.file, at)
	if err != nil {
		return size, fileMissing(err)
	}
	if root, err := rawjson.Scan(reply.Body); err == nil {
		size = firstCount(root, "bytes", "size_bytes", "sizeBytes")
	}
	if size.N() == 0 {
		size = nightshift.Count{} // some say 0 for what they do not know
	}
	return size, nil
}

// fetchPages writes the rows of all pages as lines.
func (b *Batcher) fetchPages(ctx context.Context, path string, at place, w io.Writer) error {
	asked := url.Values{}
	for range maxResultPages {
		to := b.url(path, at)
		if len(asked) > 0 {
			to = withQuery(to, asked.Encode())
		}
		reply, err := b.call(ctx, wire.Call{Method: http.MethodGet, URL: to, Most: maxResultPage})
		if err != nil {
			return err
		}
		root, err := rawjson.Scan(reply.Body)
		if err != nil {
			return strange(reply, "a page of results cannot be read: "+err.Error())
		}
		rows := firstSet(root.Get("results"), root.Get("data"))
		if err := writeRows(w, rows); err != nil {
			return err
		}
		next := b.nextPage(root, rows.Count(), page{}, asked)
		if next == nil || rows.Count() == 0 {
			return nil
		}
		if next.Encode() == asked.Encode() {
			return strange(reply, "the pages of results lead back to where they have been")
		}
		asked = next
	}
	return cut("the pages of results have no end")
}

// writeRows writes the elements of a list, one a line.
func writeRows(w io.Writer, rows rawjson.Value) error {
	var line bytes.Buffer
	for r := rows.First(); r.Exists(); r = r.Next() {
		line.Reset()
		if err := json.Compact(&line, r.JSON()); err != nil {
			continue // JSON is strict: never
		}
		line.WriteByte('\n')
		if _, err := w.Write(line.Bytes()); err != nil {
			return &nightshift.BatchError{Err: &nightshift.Error{Class: nightshift.ClassInput,
				Message: "writing what was downloaded: " + err.Error(), Err: err}}
		}
	}
	return nil
}

// fetchLinks writes the files that a list of links leads to, one after another.
func (b *Batcher) fetchLinks(ctx context.Context, at place, w io.Writer) error {
	reply, err := b.getJSON(ctx, b.content, at)
	if err != nil {
		return err
	}
	root, err := rawjson.Scan(reply.Body)
	if err != nil {
		return strange(reply, "the list of result files cannot be read: "+err.Error())
	}
	var links []string
	all := firstSet(root.Get("filenameToSignedUrls"), root.Get("filename_to_signed_urls"))
	for l := all.First(); l.Exists(); l = l.Next() {
		links = append(links, l.Key()+"\x00"+l.String())
	}
	if len(links) == 0 {
		e := failed(nightshift.BatchAgain, nightshift.ClassNotFound, "the list of result files is empty")
		e.Cause = nightshift.BatchFileMissing
		return e
	}
	slices.Sort(links)
	for _, link := range links {
		_, to, _ := strings.Cut(link, "\x00")
		end := &lineEnd{to: w}
		c := wire.Call{Method: http.MethodGet, URL: to, To: end, Most: maxResult, NoKey: true}
		if _, err := b.call(ctx, c); err != nil {
			return err
		}
		if err := end.close(); err != nil {
			return err
		}
	}
	return nil
}

// lineEnd ends the last line of a file before another one follows.
type lineEnd struct {
	to   io.Writer
	last byte
}

func (l *lineEnd) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.to.Write(p)
}

func (l *lineEnd) close() error {
	if l.last == 0 || l.last == '\n' {
		return nil
	}
	_, err := l.to.Write([]byte{'\n'})
	return err
}
