package render

import (
	"strings"
	"unicode"
)

// Plain makes a text from outside safe for one line of a terminal: control,
// format and bidirectional characters become visible escapes.
func Plain(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			b.WriteString(sprintf("\\u{%x}", r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false // most text is ASCII, and the tables are slow
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

var markdownSpecial = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "|", `\|`, "!", `\!`, "#", `\#`,
)

// markdown makes a text from outside Plain text in Markdown.
func Markdown(s string) string { return markdownSpecial.Replace(Plain(s)) }
