package simulator

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/gif"  // for the size of images
	_ "image/jpeg" // for the size of images
	_ "image/png"  // for the size of images
	"strings"
	"unicode/utf8"
)

// bytesPerToken is how many bytes of a word make a token.
const bytesPerToken = 5

// nextToken returns the length in bytes of the first token of s: white space
// with the start of the word after it, a piece of a word, or one other
// character. It is at least 1, so no text has more tokens than bytes.
func nextToken(s string) int {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i == len(s) {
		return i
	}
	if !isWord(s[i]) {
		_, size := utf8.DecodeRuneInString(s[i:])
		return i + size
	}
	end := min(len(s), i+bytesPerToken)
	for i < end && isWord(s[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// countTokens counts the tokens of a text.
func countTokens(s string) int {
	n := 0
	for len(s) > 0 {
		s = s[nextToken(s):]
		n++
	}
	return n
}

// cutTokens returns the first n tokens of a text, and whether that is less
// than all of it.
func cutTokens(s string, n int) (head string, cut bool) {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		at += nextToken(s[at:])
	}
	return s[:at], at < len(s)
}

// media counts the tokens of an image or document.
func (p *prompt) media(b wireBlock, field string) error {
	var data string
	switch {
	case b.Source != nil && b.Source.Type == "base64":
		data = b.Source.Data
	case b.ImageURL != nil:
		header, rest, ok := strings.Cut(b.ImageURL.URL, ",")
		if ok && strings.HasPrefix(header, "data:") {
			data = rest
		} else {
			data = ""
		}
	}
	p.prefix = p.prefix.with(b.Type).with(data)
	if data == "" {
		p.images += 800 // by URL or file id: nothing is fetched
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return invalid(field, "%s: invalid base64 data", field)
	}
	if b.Type == "document" || b.Type == "file" || b.Type == "input_audio" {
		p.images += max(1, len(raw)/20)
		return nil
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return &requestError{message: field + ": Could not process image", param: field, code: "invalid_image"}
	}
	p.images += imageTokens(p.protocol, config.Width, config.Height)
	return nil
}

// imageTokens follows the vendors' published rules: pixels / 750 up to 1,600
// for Messages; 85 and 170 for each tile of 512 pixels for Chat.
func imageTokens(p protocol, width, height int) int {
	if p != chat {
		return min(1600, max(1, width*height/750))
	}
	tiles := ((width + 511) / 512) * ((height + 511) / 512)
	return 85 + 170*min(tiles, 8)
}
