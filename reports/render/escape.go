package render

import (
	"strings"

	"nightshift/internal/words"
)

// Plain makes a text from outside safe for one line of a terminal.
func Plain(s string) string { return words.VisibleLine(s) }

var markdownSpecial = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "|",
	`\|`, "!", `\!`, "#", `\#`,
)

// Markdown makes a text from outside Plain text in Markdown.
func Markdown(s string) string { return markdownSpecial.Replace(Plain(s)) }
