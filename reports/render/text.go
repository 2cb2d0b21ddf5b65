package render

import (
	"encoding/json"
	"io"
	"strings"
)

// A Finding is one statement of the strip.
type Finding struct {
	Level  string `json:"level"` // good, bad, unsure or plain
	Title  string `json:"title"`
	Text   string `json:"text"`
	Detail string `json:"detail,omitempty"`
}

// Line is the finding as one line of text.
func (v Finding) Line() string {
	line := v.Title + ": " + v.Text
	if v.Detail != "" {
		line += " (" + v.Detail + ")"
	}
	return line
}

// JSON writes v as indented JSON.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Wrap breaks a text into lines of at most so many characters, at spaces;
// lines after the first are set in by two.
func Wrap(text string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > width:
			lines = append(lines, line)
			line = "  " + word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n")
}
