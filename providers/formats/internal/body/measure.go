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

// measure returns the bytes of prompt text in a body, an upper bound on the
// tokens of what is not text, and what that is.
func measure(root rawjson.Value, model string) (text, other int64, media nightshift.Media) {
	m := meter{model: strings.ToLower(model)}
	for f := root.First(); f.Exists(); f = f.Next() {
		switch f.Key() {
		case "messages":
			for msg := f.First(); msg.Exists(); msg = msg.Next() {
				m.message(msg)
			}
		case "system":
			m.content(f)
		case "modalities":
			for word := f.First(); word.Exists(); word = word.Next() {
				m.media.AudioOutput = m.media.AudioOutput || word.Is("audio")
				m.media.ImageOutput = m.media.ImageOutput || word.Is("image")
			}
		case "tools", "functions", "response_format", "output_config", "output_format":
			m.text += int64(f.Len())
		}
	}
	return m.text, m.other, m.media
}

type meter struct {
	model       string
	text, other int64
	media       nightshift.Media
}

func (m *meter) message(msg rawjson.Value) {
	for f := msg.First(); f.Exists(); f = f.Next() {
		switch {
		case f.KeyIs("role"):
		case f.KeyIs("content"):
			m.content(f)
		default:
			m.text += int64(f.Len())
		}
	}
}

// content measures a string or a list of parts, tool results with parts of
// their own included.
func (m *meter) content(v rawjson.Value) {
	switch v.Kind() {
	case rawjson.String:
		m.text += int64(v.Len() - 2)
	case rawjson.Array:
		for part := v.First(); part.Exists(); part = part.Next() {
			m.part(part)
		}
	default:
		m.text += int64(v.Len())
	}
}

func (m *meter) part(v rawjson.Value) {
	switch v.Get("type").String() {
	case "image", "image_url", "input_image":
		m.media.ImageInput = true
		m.other += m.image()
	case "document", "file":
		m.document(v)
	case "input_audio", "audio":
		m.media.AudioInput = true
		m.other += int64(v.Len())*3/4/audioBytes + 1
	case "video", "video_url", "container_upload":
		m.other += partUnknown
	case "text":
		m.text += int64(max(v.Get("text").Len()-2, 0))
	case "tool_result":
		m.content(v.Get("content"))
	default:
		m.text += int64(v.Len())
	}
}

func (m *meter) image() int64 {
	switch {
	case strings.Contains(m.model, "claude"):
		return imageClaude
	case strings.Contains(m.model, "4o-mini"):
		return imageMini
	}
	return imageUnknown
}

// document bounds a PDF by its size where it is in the request: two tokens for
// a byte, which no compressed text in practice exceeds, and a page of picture.
func (m *meter) document(v rawjson.Value) {
	switch v.Get("source").Get("type").String() {
	case "text", "content":
		m.text += int64(v.Len())
		return
	}
	data := max(v.Get("source").Get("data").Len(), v.Get("file").Get("file_data").Len())
	if data == 0 {
		m.other += documentMost
		return
	}
	m.other += min(int64(data)*3/4*2+documentPage, documentMost)
}
