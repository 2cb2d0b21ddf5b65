package batches

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// A file is an input file or one of results.
type file struct {
	id, name, purpose string
	project           string
	created, expires  time.Time
	seen              time.Time // from when on it can be seen
	data              blob
	told              int64 // size that is told; 0 means the true one
	lines             []lineEnd
	batch             *batch // of results
	deleted           bool
	users             int // batches over it that have not ended
}

// A lineEnd is where a line of results ends, and whose answer it is; nil for
// nobody's.
type lineEnd struct {
	end int64
	row *row
}

// dropLastNewline takes the end of the last line away.
func (f *file) dropLastNewline() {
	if f != nil && f.data.size > 0 {
		f.data.truncate(f.data.size - 1)
		f.lines[len(f.lines)-1].end--
	}
}

// retention is how long files are kept.
func (s *Service) retention() time.Duration {
	kept := s.cfg.Retention
	if kept == 0 {
		kept = 30 * 24 * time.Hour
	}
	return s.cfg.scaled(kept)
}

// forget drops the contents of files whose time is over; mu is held.
func (s *Service) forget(now time.Time) {
	for _, f := range s.files {
		if !f.deleted && !f.expires.IsZero() && !now.Before(f.expires) {
			s.drop(f)
		}
	}
}

// drop deletes a file.
func (s *Service) drop(f *file) {
	if f == nil || f.deleted {
		return
	}
	f.deleted = true
	if f.users == 0 {
		f.data.close()
	}
}

// release says that a batch over the file has ended.
func (f *file) release() {
	if f == nil {
		return
	}
	if f.users--; f.users == 0 && f.deleted {
		f.data.close()
	}
}

// find returns a file that the caller may see; nil else. mu is held.
func (c *call) find(id string) *file {
	if c.at.style == gemini && !strings.HasPrefix(id, "files/") {
		id = "files/" + id
	}
	for _, f := range slices.Backward(c.files) {
		if f.id == id && f.visible(c.project, c.now) {
			return f
		}
	}
	return nil
}

func (f *file) visible(project string, now time.Time) bool {
	return !f.deleted && f.project == project && !now.Before(f.seen) && (f.batch == nil || !f.batch.is(otherProject))
}

var errCut = errors.New("the upload was cut")

// receive reads a file's content; a fault may cut it off.
func (c *call) receive(f *file, from io.Reader) error {
	if c.struck(uploadCut, 0) != nil {
		length := max(c.r.ContentLength/2, 100)
		_, _ = io.CopyN(io.Discard, from, length)
		return errCut
	}
	n, err := io.Copy(&f.data, io.LimitReader(from, c.maxBytes()+1))
	if err == nil && n > c.maxBytes() {
		err = errTooLong
	}
	return err
}

var errTooLong = errors.New("the file is too long")

func (c *call) maxBytes() int64 {
	if c.cfg.MaxBytes > 0 {
		return c.cfg.MaxBytes
	}
	return 512 << 20
}

// uploadForm takes a file in a form of several parts.
func (c *call) uploadForm() (abort bool) {
	if c.struck(uploadError, 0) != nil {
		_, _ = io.Copy(io.Discard, c.r.Body)
		return c.refuse(&refusal{status: 503, kind: "server_error", message: "The server is currently overloaded."})
	}
	f := &file{project: c.project, created: c.now}
	expires, err := c.readForm(f)
	switch {
	case errors.Is(err, errCut):
		f.data.close()
		return true
	case errors.Is(err, errTooLong):
		f.data.close()
		return c.refuse(&refusal{status: 413, kind: "invalid_request_error", message: "The file is too large."})
	case err != nil:
		f.data.close()
		return c.refuse(invalid("", "file", "The form cannot be read: "+err.Error()))
	case f.name == "":
		return c.refuse(invalid("missing_required_parameter", "file", "'file' is a required property"))
	case f.purpose == "":
		return c.refuse(invalid("missing_required_parameter", "purpose", "'purpose' is a required property"))
	}
	f.expires = c.now.Add(c.retention())
	if expires > 0 {
		f.expires = c.now.Add(c.cfg.scaled(expires))
	}
	return c.keep(f, "file-")
}

// keep stores an uploaded file and describes it.
func (c *call) keep(f *file, prefix string) (abort bool) {
	if bad := c.mistralRefusal(f); bad != nil {
		f.data.close()
		return c.refuse(bad)
	}
	if late := c.struck(fileUnseen, 0); late != nil {
		f.seen = c.now.Add(c.held(late, 3*time.Second))
	}
	f.id = c.id(prefix)
	c.mu.Lock()
	c.files = append(c.files, f)
	c.mu.Unlock()
	return c.send(http.StatusOK, c.fileObject(f))
}

// readForm reads the parts of a form.
func (c *call) readForm(f *file) (expires time.Duration, err error) {
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return 0, err
	}
	form := multipart.NewReader(c.r.Body, params["boundary"])
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return expires, nil
		}
		if err != nil {
			return 0, err
		}
		if part.FormName() == "file" {
			f.name = part.FileName()
			if err := c.receive(f, part); err != nil {
				return 0, err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, 1<<16))
		if err != nil {
			return 0, err
		}
		switch part.FormName() {
		case "purpose":
			f.purpose = string(value)
		case "file_name": // Together
			f.name = string(value)
		case "expires_after[seconds]":
			seconds, _ := strconv.Atoi(string(value)) // 0 is none
			expires = time.Duration(seconds) * time.Second
		}
	}
}

func (c *call) fileObject(f *file) []byte {
	if c.at.style == gemini {
		return geminiFile(c, f)
	}
	o := jsontext.New()
	size := f.data.size
	if f.told > 0 {
		size = f.told
	}
	o.Text("id", f.id)
	o.Text("object", "file")
	o.Int("bytes", size)
	o.Int("created_at", c.shown(f.created).Unix())
	if f.expires.IsZero() {
		o.Null("expires_at")
	} else {
		o.Int("expires_at", c.shown(f.expires).Unix())
	}
	o.Text("filename", f.name)
	o.Text("purpose", f.purpose)
	o.Text("status", "processed")
	o.Null("status_details")
	return o.End()
}

// listFiles lists a project's files, newest first.
func (c *call) listFiles() (abort bool) {
	return c.reply(func() ([]byte, *refusal) {
		q := c.r.URL.Query()
		var all []*file
		for _, f := range slices.Backward(c.files) {
			if f.visible(c.project, c.now) && (q.Get("purpose") == "" || q.Get("purpose") == f.purpose) {
				all = append(all, f)
			}
		}
		if q.Get("order") == "asc" {
			slices.Reverse(all)
		}
		from := 1 + slices.IndexFunc(all, func(f *file) bool { return f.id == q.Get("after")+q.Get("pageToken") })
		size := limit(q.Get("limit")+q.Get("pageSize"), 10_000, 10_000)
		page := all[from:min(len(all), from+size)]
		return c.filePage(page, from+size < len(all)), nil
	})
}

func (c *call) filePage(page []*file, more bool) []byte {
	var list []string
	for _, f := range page {
		list = append(list, string(c.fileObject(f)))
	}
	o := jsontext.New()
	if c.at.style == gemini {
		o.Raw("files", "["+strings.Join(list, ",")+"]")
		if more {
			o.Text("nextPageToken", page[len(page)-1].id)
		}
		return o.End()
	}
	o.Text("object", "list")
	o.Raw("data", "["+strings.Join(list, ",")+"]")
	if len(page) > 0 {
		o.Text("first_id", page[0].id)
		o.Text("last_id", page[len(page)-1].id)
	}
	o.Raw("has_more", strconv.FormatBool(more))
	return o.End()
}

// limit reads the size of a page.
func limit(text string, otherwise, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		n = otherwise
	}
	return min(n, most)
}

func noFile(id string) *refusal { return notFound("No such File object: " + id) }

func (c *call) getFile() (abort bool) {
	return c.reply(func() ([]byte, *refusal) {
		f := c.find(c.at.id)
		if f == nil {
			return nil, noFile(c.at.id)
		}
		return c.fileObject(f), nil
	})
}

func (c *call) removeFile() (abort bool) {
	return c.reply(func() ([]byte, *refusal) {
		f := c.find(c.at.id)
		if f == nil {
			return nil, noFile(c.at.id)
		}
		c.drop(f)
		if c.at.style == gemini {
			return []byte("{}"), nil
		}
		o := jsontext.New()
		o.Text("id", f.id)
		o.Text("object", "file")
		o.Raw("deleted", "true")
		return o.End(), nil
	})
}

// content sends what is in a file.
func (c *call) content() (abort bool) {
	c.mu.Lock()
	f := c.find(c.at.id)
	c.mu.Unlock()
	if f == nil {
		return c.refuse(noFile(c.at.id))
	}
	return c.download(f, "application/octet-stream")
}

// download sends a file. Its rows are delivered as far as they were written.
func (c *call) download(f *file, contentType string) (abort bool) {
	number := 0
	if f.batch != nil {
		number = f.batch.number
	}
	if c.struck(content404, number) != nil {
		return c.refuse(noFile(f.id))
	}
	size := f.data.size
	cut, stall := c.struck(downloadCut, number), c.struck(downloadStall, number)
	at := c.seed.With("cut").WithInt(uint64(c.number))
	switch {
	case cut != nil:
		size = int64(float64(size) * at.Roll("where"))
	case stall != nil:
		size /= 2
	}
	c.w.Header().Set("Content-Type", contentType)
	sent, err := io.Copy(c.w, io.NewSectionReader(&f.data, 0, size))
	if err == nil {
		flush(c.w)
	}
	c.deliver(f, sent)
	switch {
	case stall != nil:
		return c.hang(hold(stall, 10*time.Minute))
	case cut != nil:
		return at.Bits()%2 == 0
	}
	return err != nil
}

// deliver enters the rows that were sent.
func (c *call) deliver(f *file, sent int64) {
	if f.batch == nil || f.batch.foreign {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range f.lines {
		if l.end > sent {
			break
		}
		if l.row != nil && !l.row.given && l.row.tokens.Total() > 0 {
			l.row.given = true
			c.book.DeliverRow(l.row.id, l.row.prompt, f.batch.model, l.row.tokens)
		}
	}
}
