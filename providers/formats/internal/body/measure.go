package body

import (
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
)

// Upper bounds on the tokens of one part that is not text, from the vendors'
// documents of 2026. Where a part's size cannot be seen from here, the bound
// is the most that any current model makes of one.
const (
	imageClaude  = 4_800   // 2,576 pixels on the long edge
	imageMini    = 48_200  // gpt-4o-mini: 2,833 and 8 tiles of 5,667
	imageUnknown = 16_400  // Qwen-VL at its largest
	documentMost = 460_000 // 100 pages of text and picture
	documentPage = 4_600
	partUnknown  = documentMost
	// audioBytes is how many bytes of audio hold at least one token: at most
	// 32 tokens a second, at least 1 kB a second.
	audioBytes = 31
)

// A Meter measures a request body: the bytes of prompt text, an upper bound on
// the tokens of what is not text, and what that is. A format feeds it with the
// parts of its bodies.
type Meter struct {
	Model       string // in lower case: the size of an image depends on it
	Text, Other int64
	Media       nightshift.Media
}

// NewMeter returns a Meter for requests to a model.
func NewMeter(model string) *Meter { return &Meter{Model: strings.ToLower(model)} }

// Body measures a body whose prompt is a list of messages, in the manner of
// OpenAI and Anthropic.
func (m *Meter) Body(root rawjson.Value) {
	for f := root.First(); f.Exists(); f = f.Next() {
		switch f.KeyOneOf("model", "messages", "system") {
		case "messages":
			for msg := f.First(); msg.Exists(); msg = msg.Next() {
				m.message(msg)
			}
		case "system":
			m.Content(f)
		case "modalities":
			m.Modalities(f)
		case "tools", "functions", "response_format", "output_config", "output_format":
			m.JSON(f)
		}
	}
}

// Modalities notes what a list of words asks for beside text.
func (m *Meter) Modalities(list rawjson.Value) {
	for word := list.First(); word.Exists(); word = word.Next() {
		m.Media.AudioOutput = m.Media.AudioOutput || strings.EqualFold(word.String(), "audio")
		m.Media.ImageOutput = m.Media.ImageOutput || strings.EqualFold(word.String(), "image")
	}
}

// JSON counts a value as text, as it is written.
func (m *Meter) JSON(v rawjson.Value) { m.Text += int64(v.Len()) }

// Words counts a string as text, without its quotes.
func (m *Meter) Words(v rawjson.Value) { m.Text += int64(max(v.Len()-2, 0)) }

// Image counts an image of any size.
func (m *Meter) Image() {
	m.Media.ImageInput = true
	m.Other += m.image()
}

// Audio counts audio of so many bytes of base64.
func (m *Meter) Audio(base64 int) {
	m.Media.AudioInput = true
	m.Other += int64(base64)*3/4/audioBytes + 1
}

// Document counts a PDF of so many bytes of base64; 0 where it is out of sight.
// Where it is in the request its size bounds it: two tokens for a byte, which
// no compressed text in practice exceeds, and a page of picture.
func (m *Meter) Document(base64 int) {
	if base64 == 0 {
		m.Other += documentMost
		return
	}
	m.Other += min(int64(base64)*3/4*2+documentPage, documentMost)
}

// Unknown counts a part whose size cannot be seen from here.
func (m *Meter) Unknown() { m.Other += partUnknown }

func (m *Meter) message(msg rawjson.Value) {
	for f := msg.First(); f.Exists(); f = f.Next() {
		switch {
		case f.KeyIs("role"):
		case f.KeyIs("content"):
			m.Content(f)
		default:
			m.JSON(f)
		}
	}
}

// Content measures a string or a list of parts, tool results with parts of
// their own included.
func (m *Meter) Content(v rawjson.Value) {
	switch v.Kind() {
	case rawjson.String:
		m.Words(v)
	case rawjson.Array:
		for part := v.First(); part.Exists(); part = part.Next() {
			m.part(part)
		}
	default:
		m.JSON(v)
	}
}

func (m *Meter) part(v rawjson.Value) {
	switch v.Get("type").String() {
	case "image", "image_url", "input_image":
		m.Image()
	case "document", "file":
		m.document(v)
	case "input_audio", "audio":
		m.Audio(v.Len())
	case "video", "video_url", "container_upload":
		m.Unknown()
	case "text":
		m.Words(v.Get("text"))
	case "tool_result":
		m.Content(v.Get("content"))
	default:
		m.JSON(v)
	}
}

func (m *Meter) image() int64 {
	switch {
	case strings.Contains(m.Model, "claude"):
		return imageClaude
	case strings.Contains(m.Model, "4o-mini"):
		return imageMini
	}
	return imageUnknown
}

func (m *Meter) document(v rawjson.Value) {
	switch v.Get("source").Get("type").String() {
	case "text", "content":
		m.JSON(v)
		return
	}
	m.Document(max(v.Get("source").Get("data").Len(), v.Get("file").Get("file_data").Len()))
}
