package shape

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/fsx"
	"nightshift/internal/words"
)

// maxMedia is the most that one file or data URL may hold, and maxRowMedia all
// of a row: requests are refused above 32 MB.
const (
	maxMedia    = 20 << 20
	maxRowMedia = 24 << 20
)

// A mediaUse is one file that a row brings along.
type mediaUse struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A mediaFolder is where file: parts may be read: below one folder, whatever
// links lead out of it.
type mediaFolder struct {
	dir  string
	once sync.Once
	root *os.Root
	err  error
}

func (m *mediaFolder) open() (*os.Root, error) {
	m.once.Do(func() { m.root, m.err = os.OpenRoot(m.dir) })
	return m.root, m.err
}

func (m *mediaFolder) close() {
	if root, err := m.open(); err == nil {
		root.Close()
	}
}

// A Stamp recognises an unchanged media file.
type Stamp struct{ Size, ModTime int64 }

// maxStamps is how many media files are watched for changes.
const maxStamps = 200_000

// stamps are the media files as they were when the dataset was indexed.
type stamps struct {
	mu sync.Mutex
	m  map[string]Stamp
}

// note remembers a file while indexing, and compares it later. It reports
// whether the file is as it was.
func (s *stamps) note(name string, info fs.FileInfo, indexing bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := Stamp{info.Size(), info.ModTime().UnixNano()}
	old, known := s.m[name]
	if !known && indexing && len(s.m) < maxStamps {
		if s.m == nil {
			s.m = map[string]Stamp{}
		}
		s.m[name] = now
	}
	return !known || old == now
}

// An edit replaces a piece of a JSON text.
type edit struct {
	start, end int
	with       []byte
}

// inline replaces the file: parts of a message or body with what the files
// hold, and checks the size of data URLs. Everything else stays as written.
func (b *Builder) inline(raw []byte) (json.RawMessage, problem.Reason) {
	if !bytes.Contains(raw, []byte(`"file:`)) && len(raw) < maxMedia {
		return raw, problem.Reason{}
	}
	var edits []edit
	if c := b.inlineIn(raw, rowjson.NewValue(raw), &edits); c.Bad() || len(edits) == 0 {
		return raw, c
	}
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, raw[at:e.start]...), e.with...)
		at = e.end
	}
	return append(out, raw[at:]...), problem.Reason{}
}

// inlineIn looks for content parts in a message, a body, or a tool result.
func (b *Builder) inlineIn(whole []byte, v rowjson.Value, edits *[]edit) problem.Reason {
	for _, list := range []string{"messages", "content", "input", "contents", "parts"} {
		inner := v.Get(list)
		if inner.Kind != rowjson.Array {
			continue
		}
		for _, part := range rowjson.Elements(inner.Raw) {
			if part.Kind != rowjson.Object {
				continue
			}
			if c := b.inlinePart(whole, part, edits); c.Bad() {
				return c
			}
			if c := b.inlineIn(whole, part, edits); c.Bad() {
				return c
			}
		}
	}
	return problem.Reason{}
}

// inlinePart handles one content part of any dialect.
func (b *Builder) inlinePart(whole []byte, part rowjson.Value, edits *[]edit) problem.Reason {
	put := func(v rowjson.Value, with []byte) {
		// v.raw is a piece of whole: its capacity says where it begins.
		start := cap(whole) - cap(v.Raw)
		*edits = append(*edits, edit{start, start + len(v.Raw), with})
	}
	switch part.Get("type").Text() {
	case "image_url":
		url := part.Get("image_url")
		if url.Kind == rowjson.Object {
			url = url.Get("url")
		}
		return b.inlineURL(url, put)
	case "file":
		return b.inlineURL(part.Get("file").Get("file_data"), put)
	case "input_image":
		return b.inlineURL(part.Get("image_url"), put)
	case "input_file":
		return b.inlineURL(part.Get("file_data"), put)
	case "input_audio":
		data := part.Get("input_audio").Get("data")
		m, c := b.load(data)
		if m != nil {
			put(data, rowjson.Quote(m.base64()))
		}
		return c
	case "image", "document":
		source := part.Get("source")
		if source.Kind != rowjson.Object {
			return problem.Reason{}
		}
		if data := source.Get("data"); len(data.Raw)/4*3 > maxMedia {
			return tooMuch(int64(len(data.Raw) / 4 * 3))
		}
		m, c := b.load(source.Get("url"))
		if m != nil {
			put(source, m.source())
		}
		return c
	case "":
		return b.inlineGemini(part, put)
	}
	return problem.Reason{}
}

// inlineGemini handles a content part of Gemini, which has no type: the file
// stands in it as the data itself.
func (b *Builder) inlineGemini(part rowjson.Value, put func(rowjson.Value, []byte)) problem.Reason {
	if data := part.Get("inlineData").Get("data"); len(data.Raw)/4*3 > maxMedia {
		return tooMuch(int64(len(data.Raw) / 4 * 3))
	}
	m, c := b.load(part.Get("fileData").Get("fileUri"))
	if m != nil {
		put(part, []byte(`{"inlineData":{"mimeType":"`+m.media+`","data":"`+m.base64()+`"}}`))
	}
	return c
}

func (b *Builder) inlineURL(url rowjson.Value, put func(rowjson.Value, []byte)) problem.Reason {
	if url.Kind != rowjson.String {
		return problem.Reason{}
	}
	if bytes.HasPrefix(url.Raw, []byte(`"data:`)) && len(url.Raw)/4*3 > maxMedia {
		return tooMuch(int64(len(url.Raw) / 4 * 3))
	}
	m, c := b.load(url)
	if m != nil {
		put(url, rowjson.Quote(m.dataURL()))
	}
	return c
}

func tooMuch(n int64) problem.Reason {
	return problem.Refuse("an image or document of "+words.Bytes(n), "at most "+words.Bytes(maxMedia))
}

// A medium is a loaded file.
type medium struct {
	data  []byte
	media string // media type
	name  string
}

func (m *medium) base64() string { return base64.StdEncoding.EncodeToString(m.data) }

func (m *medium) dataURL() string { return "data:" + m.media + ";base64," + m.base64() }

// source is the medium in the words of the Messages format.
func (m *medium) source() []byte {
	if m.media == "text/plain" {
		return []byte(`{"type":"text","media_type":"text/plain","data":` + string(rowjson.Quote(string(m.data))) + `}`)
	}
	return []byte(`{"type":"base64","media_type":"` + m.media + `","data":"` + m.base64() + `"}`)
}

// load reads what a file: reference names. It returns nil for anything else,
// and while only checking.
func (b *Builder) load(ref rowjson.Value) (*medium, problem.Reason) {
	if ref.Kind != rowjson.String || !bytes.HasPrefix(ref.Raw, []byte(`"file:`)) {
		return nil, problem.Reason{}
	}
	name := strings.TrimPrefix(ref.Text(), "file:")
	return b.loadFile(strings.TrimPrefix(name, "//"))
}

func (b *Builder) loadFile(name string) (*medium, problem.Reason) {
	f, info, c := b.openMedia(name)
	if c.Bad() {
		return nil, c
	}
	defer f.Close()
	var total int64
	for _, m := range b.media {
		total += m.Bytes
	}
	switch {
	case info.Size() > maxMedia:
		return nil, problem.Refuse("file "+words.Quote(name)+" holds "+words.Bytes(info.Size()),
			"at most "+words.Bytes(maxMedia))
	case total+info.Size() > maxRowMedia:
		return nil, problem.Refuse("the row's files hold more than " + words.Bytes(maxRowMedia) + " together")
	case !b.stamps.note(filepath.Join(b.folder.dir, name), info, b.indexing):
		return nil, problem.Refuse("file " + words.Quote(name) + " has changed since the dataset was indexed")
	case b.check:
		b.media = append(b.media, mediaUse{File: name, Bytes: info.Size()})
		return nil, problem.Reason{}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxMedia+1))
	if err != nil || int64(len(data)) != info.Size() {
		return nil, problem.Refuse("file "+words.Quote(name)+" cannot be read whole", fmt.Sprint(err))
	}
	sum := sha256.Sum256(data)
	b.media = append(b.media, mediaUse{name, info.Size(), hex.EncodeToString(sum[:])})
	m := &medium{data: data, media: mediaType(name, data), name: filepath.Base(name)}
	if m.media == "" {
		return nil, problem.Refuse("file "+words.Quote(name)+" is of a kind that is not known",
			"PNG, JPEG, GIF, WebP, PDF, WAV, MP3 or text")
	}
	return m, problem.Reason{}
}

// openMedia opens a regular file below the dataset's folder. It never waits:
// opening a pipe would, without O_NONBLOCK.
func (b *Builder) openMedia(name string) (*os.File, fs.FileInfo, problem.Reason) {
	what := "file " + words.Quote(name)
	root, err := b.folder.open()
	if err != nil {
		return nil, nil, problem.Refuse(what+": the dataset's folder cannot be opened", err.Error())
	}
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, problem.Refuse(what+" is missing", "paths are relative to the dataset's folder")
	case err != nil:
		return nil, nil, problem.Refuse(what+" is refused", "only files below the dataset's folder are read")
	case !info.Mode().IsRegular():
		return nil, nil, problem.Refuse(what + " is not a regular file")
	}
	f, err := root.OpenFile(name, os.O_RDONLY|fsx.NonBlock, 0)
	if err != nil {
		return nil, nil, problem.Refuse(what+" cannot be read", "check its permissions")
	}
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, problem.Refuse(what + " is not a regular file")
	}
	return f, info, problem.Reason{}
}

// mediaType tells what a file is by its first bytes, and text and audio by its
// name.
func mediaType(name string, data []byte) string {
	for _, m := range []struct{ magic, media string }{
		{"\x89PNG\r\n\x1a\n", "image/png"},
		{"\xff\xd8\xff", "image/jpeg"},
		{"GIF8", "image/gif"},
		{"%PDF-", "application/pdf"},
		{"ID3", "audio/mpeg"},
		{"OggS", "audio/ogg"},
		{"fLaC", "audio/flac"},
	} {
		if bytes.HasPrefix(data, []byte(m.magic)) {
			return m.media
		}
	}
	if len(data) > 12 && string(data[:4]) == "RIFF" {
		switch string(data[8:12]) {
		case "WEBP":
			return "image/webp"
		case "WAVE":
			return "audio/wav"
		}
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".txt", ".md", ".csv":
		return "text/plain"
	case ".mp3":
		return "audio/mpeg"
	}
	return ""
}

// images reads the media that Fields["images"] names: a path, a URL, a list of
// them, or an image as Hugging Face writes it into Parquet.
func (b *Builder) images(r rowjson.Row) problem.Reason {
	b.parts = b.parts[:0]
	if b.Rules.images.name == "" {
		return problem.Reason{}
	}
	v := b.unwrapped(b.find(r, &b.Rules.images))
	b.use(b.Rules.images.name)
	switch v.Kind {
	case rowjson.Array:
		for _, one := range rowjson.Elements(v.Raw) {
			if c := b.image(one); c.Bad() {
				return c
			}
		}
		return problem.Reason{}
	case rowjson.Missing, rowjson.Null:
		return problem.Reason{}
	}
	return b.image(v)
}

func (b *Builder) image(v rowjson.Value) problem.Reason {
	if v.Kind == rowjson.Object && v.Get("bytes").Given() {
		return b.embedded(v.Get("bytes"))
	}
	if v.Kind != rowjson.String {
		return b.wrongType(b.Rules.images, v, "a path or URL")
	}
	ref := v.Text()
	switch {
	case ref == "":
		return problem.Reason{}
	case strings.HasPrefix(ref, "http://"), strings.HasPrefix(ref, "https://"):
		b.attach(rowjson.Quote(ref), "")
		return problem.Reason{}
	case strings.HasPrefix(ref, "data:"):
		if len(ref)/4*3 > maxMedia {
			return tooMuch(int64(len(ref) / 4 * 3))
		}
		b.attach(rowjson.Quote(ref), "")
		return problem.Reason{}
	}
	m, c := b.loadFile(strings.TrimPrefix(strings.TrimPrefix(ref, "file:"), "//"))
	if m != nil {
		b.attachMedium(m)
	}
	return c
}

// embedded reads bytes that stand in the row itself.
func (b *Builder) embedded(v rowjson.Value) problem.Reason {
	if len(v.Raw)/4*3 > maxMedia {
		return tooMuch(int64(len(v.Raw) / 4 * 3))
	}
	if b.check {
		return problem.Reason{}
	}
	data, err := base64.StdEncoding.DecodeString(v.Text())
	if err != nil {
		return problem.Refuse("the embedded image is not base64")
	}
	media := mediaType("", data)
	if media == "" {
		return problem.Refuse("the embedded image is of a kind that is not known", "PNG, JPEG, GIF, WebP or PDF")
	}
	b.attachMedium(&medium{data: data, media: media, name: "document.pdf"})
	return problem.Reason{}
}

func (b *Builder) attachMedium(m *medium) {
	if strings.HasPrefix(m.media, "image/") {
		b.attach(rowjson.Quote(m.dataURL()), "")
		return
	}
	b.attach(rowjson.Quote(m.dataURL()), m.name)
}

// attach adds a content part in the Chat dialect; name is empty for images.
func (b *Builder) attach(url []byte, name string) {
	if name == "" {
		b.parts = append(b.parts, `{"type":"image_url","image_url":{"url":`+string(url)+`}}`)
		return
	}
	b.parts = append(b.parts,
		`{"type":"file","file":{"filename":`+string(rowjson.Quote(name))+`,"file_data":`+string(url)+`}}`)
}

// withParts puts the attached media before the text of the first user message.
func (b *Builder) withParts() {
	for i, m := range b.s.Messages {
		if len(b.parts) == 0 || m.Role != nightshift.RoleUser || m.Raw != nil {
			continue
		}
		raw := `{"role":"user","content":[` + strings.Join(b.parts, ",") +
			`,{"type":"text","text":` + string(rowjson.Quote(m.Text)) + `}]}`
		b.s.Messages[i] = nightshift.Message{Role: m.Role, Raw: json.RawMessage(raw)}
		return
	}
}

// withMedia notes in the metadata which files went out.
func (b *Builder) withMedia() {
	if len(b.media) == 0 {
		return
	}
	list, err := json.Marshal(b.media)
	if err != nil {
		return
	}
	meta := bytes.TrimSuffix(b.s.Metadata, []byte("}"))
	if len(meta) == 0 {
		meta = []byte("{")
	} else {
		meta = append(meta[:len(meta):len(meta)], ',')
	}
	b.s.Metadata = append(append(append(meta, `"_media":`...), list...), '}')
}
