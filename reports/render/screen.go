package render

import "io"

// defaultColumns is how many columns a text is written for where nobody says.
const defaultColumns = 80

// widestProse is the longest line of sentences: longer ones are hard to read.
const widestProse = 100

// A Screen is what a text is written for. The zero value has 80 columns and
// no colours.
type Screen struct {
	Columns int
	Colour  bool
}

// ScreenOf is the screen behind a writer that has a method Screen.
func ScreenOf(w io.Writer) Screen {
	if s, ok := w.(interface{ Screen() Screen }); ok {
		return s.Screen()
	}
	return Screen{}
}

// width is how many columns a line may have.
func (s Screen) width() int {
	if s.Columns <= 0 {
		return defaultColumns
	}
	return s.Columns
}

// Prose is how many columns a line of sentences may have.
func (s Screen) Prose() int { return min(s.width(), widestProse) }

// colours of a terminal by the level of a [Finding].
var levelColours = map[string]string{"good": "\x1b[32m", "bad": "\x1b[1;31m", "unsure": "\x1b[33m"}

// paint colours a text by a level, where the screen has colours.
func (s Screen) paint(level, text string) string {
	if colour := levelColours[level]; s.Colour && colour != "" {
		return colour + text + "\x1b[0m"
	}
	return text
}
