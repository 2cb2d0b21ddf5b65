package requests

import (
	"bytes"
	"encoding/base64"
	"image"
	_ "image/gif"  // for the size of images
	_ "image/jpeg" // for the size of images
	_ "image/png"  // for the size of images
	"strings"
)

// media counts the tokens of an image or document.
func (p *prompt) media(b wireBlock, field string) error {
	var data string
	switch {
	case b.Source != nil && b.Source.Type == "base64":
		data = b.Source.Data
	case b.ImageURL != nil:
		if header, rest, _ := strings.Cut(b.ImageURL.URL, ","); strings.HasPrefix(header, "data:") {
			data = rest
		}
	}
	p.prefix = p.prefix.With(b.Type).With(data)
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
		return &Error{Message: field + ": Could not process image", Param: field, Code: "invalid_image"}
	}
	p.images += imageTokens(p.Protocol, config.Width, config.Height)
	return nil
}

// imageTokens follows the vendors' published rules: pixels / 750 up to 1,600
// for Messages; 85 and 170 for each tile of 512 pixels for Chat.
func imageTokens(p Protocol, width, height int) int {
	if p != Chat {
		return min(1600, max(1, width*height/750))
	}
	tiles := ((width + 511) / 512) * ((height + 511) / 512)
	return 85 + 170*min(tiles, 8)
}
