package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/wire"
)

// Upload implements [nightshift.Batcher]. The file is sent as it is read.
func (b *Batcher) Upload(ctx context.Context, name string, r io.Reader, size int64) (nightshift.BatchFile, error) {
	if b.inline() {
		return nightshift.BatchFile{}, nil
	}
	at := place{name: name}
	if b.dataset != "" {
		at.file = strings.TrimSuffix(name, ".jsonl") + "-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
		if err := b.makeDataset(ctx, at); err != nil {
			return nightshift.BatchFile{}, err
		}
	}
	reply, err := b.send(ctx, at, r, size)
	if err != nil {
		return nightshift.BatchFile{}, err
	}
	if at.file != "" {
		return nightshift.BatchFile{ID: at.file}, nil
	}
	return b.uploaded(ctx, reply)
}

// send sends a file in the way of the dialect.
func (b *Batcher) send(ctx context.Context, at place, r io.Reader, size int64) (wire.Reply, error) {
	if b.session {
		return b.sendInSession(ctx, at, r, size)
	}
	c, err := b.uploadCall(at, r, size)
	if err != nil {
		return wire.Reply{}, err
	}
	return b.call(ctx, c)
}

// sendInSession describes a file, and sends it to the URL that is answered.
func (b *Batcher) sendInSession(ctx context.Context, at place, r io.Reader, size int64) (wire.Reply, error) {
	start := textCall(http.MethodPost, b.url(b.upload, at), fmt.Sprintf(
		`{"file":{"displayName":%s,"mimeType":"application/jsonl"}}`, quoted(strings.TrimSuffix(at.name, ".jsonl"))))
	start.Header = http.Header{
		"X-Goog-Upload-Protocol": {"resumable"}, "X-Goog-Upload-Command": {"start"},
		"X-Goog-Upload-Header-Content-Length": {strconv.FormatInt(size, 10)},
		"X-Goog-Upload-Header-Content-Type":   {"application/jsonl"},
	}
	reply, err := b.call(ctx, start)
	if err != nil {
		return reply, err
	}
	to := reply.Header.Get("X-Goog-Upload-Url")
	if to == "" {
		return reply, strange(reply, "the answer to an upload does not say where the file is to be sent")
	}
	h := http.Header{"X-Goog-Upload-Command": {"upload, finalize"}, "X-Goog-Upload-Offset": {"0"},
		"Content-Type": {"application/jsonl"}}
	return b.call(ctx, wire.Call{Method: http.MethodPost, URL: to, Header: h, Body: opener(r, "", size, ""), Length: size,
		NoKey: true})
}

// opener opens a body of size bytes of r between two texts; only where r can
// be rewound does it open it again.
func opener(r io.Reader, before string, size int64, after string) func() io.Reader {
	opened := false
	return func() io.Reader {
		if opened && !rewind(r) {
			return nil
		}
		opened = true
		return io.MultiReader(strings.NewReader(before), io.LimitReader(r, size), strings.NewReader(after))
	}
}

// makeDataset makes the place that a file is put in, under a name of ours.
func (b *Batcher) makeDataset(ctx context.Context, at place) error {
	text := `{"datasetId":` + quoted(at.file) + `,"dataset":{"userUploaded":{}}}`
	_, err := b.call(ctx, textCall(http.MethodPost, b.url(b.dataset, at), text))
	return err
}

func textCall(method, url, text string) wire.Call {
	return wire.Call{Method: method, URL: url, Length: int64(len(text)),
		Body: func() io.Reader { return strings.NewReader(text) }}
}

// uploadCall is the call that sends a file: a form around what r gives.
func (b *Batcher) uploadCall(at place, r io.Reader, size int64) (wire.Call, error) {
	var form strings.Builder
	w := multipart.NewWriter(&form)
	if err := b.formFields(w, at); err != nil {
		return wire.Call{}, err
	}
	before := form.String()
	if err := w.Close(); err != nil {
		return wire.Call{}, err
	}
	after := form.String()[len(before):]
	h := http.Header{"Content-Type": {w.FormDataContentType()}}
	return wire.Call{Method: http.MethodPost, URL: b.url(b.upload, at), Header: h, Body: opener(r, before, size, after),
		Length: int64(len(before)) + size + int64(len(after))}, nil
}

func rewind(r io.Reader) bool {
	s, ok := r.(io.Seeker)
	if !ok {
		return false
	}
	_, err := s.Seek(0, io.SeekStart)
	return err == nil
}

// formFields writes a form up to where the file's own bytes begin.
func (b *Batcher) formFields(w *multipart.Writer, at place) error {
	var fields [][2]string
	if b.purpose != "" {
		fields = append(fields, [2]string{"purpose", b.purpose})
	}
	if b.titled {
		fields = append(fields, [2]string{"file_name", at.name}, [2]string{"file_type", "jsonl"})
	}
	if b.expires != "" {
		fields = append(fields, [2]string{"expires_after[anchor]", "created_at"},
			[2]string{"expires_after[seconds]", b.expires})
	}
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			return err
		}
	}
	_, err := w.CreateFormFile("file", at.name)
	return err
}

// uploaded reads what the server made of a file.
func (b *Batcher) uploaded(ctx context.Context, reply wire.Reply) (nightshift.BatchFile, error) {
	root, err := rawjson.Scan(reply.Body)
	if err != nil {
		return nightshift.BatchFile{}, strange(reply, "the answer to an upload cannot be read: "+err.Error())
	}
	if inner := firstSet(root.Get("file"), root.Get("data")); inner.Kind() == rawjson.Object {
		root = inner
	}
	o := object{root: root, parts: []rawjson.Value{root}}
	f := nightshift.BatchFile{ID: o.text("id", "name"), ExpiresAt: o.time("expires_at", "expirationTime", "expiresAt")}
	if f.ID == "" {
		return f, strange(reply, "the answer to an upload names no file")
	}
	if b.checked {
		return f, b.awaitFile(ctx, f.ID, o.text("status"))
	}
	return f, nil
}

// Times of [Batcher.awaitFile].
const (
	fileLook = 5 * time.Second
	fileWait = 15 * time.Minute
)

// awaitFile waits until the server has looked through a file. Status words that
// are not known end the wait: the call that creates will tell.
func (b *Batcher) awaitFile(ctx context.Context, id, status string) error {
	for began := time.Now(); ; {
		switch strings.ToLower(status) {
		case "pending", "running", "uploaded", "notstarted", "not_started", "processing":
		case "error", "failed", "deleted":
			return failed(nightshift.BatchStop, nightshift.ClassInvalidRequest,
				"the server refused the input file when it looked through it ("+status+")")
		default:
			return nil
		}
		if time.Since(began) > fileWait {
			return failed(nightshift.BatchAgain, nightshift.ClassServer,
				"the server has not looked through the input file for "+fileWait.String())
		}
		if err := sleep(ctx, fileLook); err != nil {
			return err
		}
		reply, err := b.getJSON(ctx, b.file, place{file: id})
		if err != nil {
			return err
		}
		if root, err := rawjson.Scan(reply.Body); err == nil {
			status = root.Get("status").String()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Create implements [nightshift.Batcher].
func (b *Batcher) Create(ctx context.Context, o nightshift.BatchOrder) (nightshift.Batch, error) {
	c, closeFile, err := b.createCall(o)
	if err != nil {
		return nightshift.Batch{}, err
	}
	defer closeFile()
	reply, err := b.call(ctx, c)
	if err != nil {
		if b.dataset != "" && reply.Status == http.StatusConflict {
			return nightshift.Batch{ID: o.File.ID, Phase: nightshift.BatchWaiting, FileID: o.File.ID}, nil // the id is ours
		}
		return nightshift.Batch{}, created(reply, err)
	}
	root, err := rawjson.Scan(reply.Body)
	if err != nil {
		return nightshift.Batch{}, unread(reply, "the answer to the creation of a batch cannot be read: "+err.Error())
	}
	made, ok := b.batch(root)
	if !ok {
		return nightshift.Batch{}, unread(reply, "the answer to the creation of a batch has no id")
	}
	made.RetryAfter = reply.Wait
	return b.settled(made), nil
}

// createCall is the call that makes a batch. closeFile is to be called after it.
func (b *Batcher) createCall(o nightshift.BatchOrder) (c wire.Call, closeFile func(), err error) {
	before, after := b.orderBody(o)
	to := b.url(b.create, place{file: o.File.ID, model: b.Model})
	if !b.inline() {
		return textCall(http.MethodPost, to, before+after), func() {}, nil
	}
	file, err := os.Open(o.Path)
	if err != nil {
		return c, nil, unsent(err)
	}
	size, err := rowsSize(file)
	if err != nil {
		_ = file.Close()
		return c, nil, unsent(err)
	}
	open := func() io.Reader {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil
		}
		return io.MultiReader(strings.NewReader(before), &rows{from: file, left: size}, strings.NewReader(after))
	}
	c = wire.Call{Method: http.MethodPost, URL: to, Body: open, Length: int64(len(before)) + size + int64(len(after))}
	return c, func() { _ = file.Close() }, nil
}

// rowsSize is the size of a file of lines without the last line's end.
func rowsSize(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, errors.Join(err, errors.New("the input file is empty"))
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return info.Size() - 1, nil
	}
	return info.Size(), nil
}

// unsent is an error of this machine before anything was sent.
func unsent(err error) error {
	e := failed(nightshift.BatchStop, nightshift.ClassInput, "the input file of a batch cannot be read: "+err.Error())
	e.Err.Err = err
	return e
}

// Cancel implements [nightshift.Batcher]. A batch that has ended already is no
// error.
func (b *Batcher) Cancel(ctx context.Context, id string) error {
	if b.cancel == "" {
		return failed(nightshift.BatchFinal, nightshift.ClassInvalidRequest,
			"batches of endpoint "+b.Endpoint.Name+" cannot be cancelled")
	}
	reply, err := b.call(ctx, textCall(http.MethodPost, b.url(b.cancel, place{id: id}), "{}"))
	if reply.Status == http.StatusConflict {
		return nil
	}
	return err
}

// Delete implements [nightshift.Batcher].
func (b *Batcher) Delete(ctx context.Context, batch nightshift.Batch) error {
	var errs []error
	remove := func(path string, at place) {
		if path == "" || at == (place{}) {
			return
		}
		if _, err := b.call(ctx, wire.Call{Method: http.MethodDelete, URL: b.url(path, at)}); err != nil && !gone(err) {
			errs = append(errs, err)
		}
	}
	for _, handle := range batch.Results {
		if handle != b.result && !b.session { // Google's go with their batch
			remove(b.file, place{file: handle})
		}
	}
	remove(b.remove, place{id: batch.ID})
	remove(b.file, place{file: batch.FileID})
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}
