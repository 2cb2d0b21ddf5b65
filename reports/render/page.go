package render

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf16"

	"nightshift/internal/words"
)

//go:embed assets
var assets embed.FS

// helpers are the functions of templates.
var helpers = template.FuncMap{"plain": Plain, "count": Count, "counted": Counted, "breakable": Breakable,
	"lines": lines}

func lines(s string) []string { return strings.Split(s, "\n") }

// Breakable is a text for HTML that may be broken behind punctuation, so that it
// need not be broken in the middle of a word.
func Breakable(s string) template.HTML {
	var b strings.Builder
	last := ' '
	for _, r := range Plain(s) {
		if strings.ContainsRune("_-/.,:()=@", last) && !unicode.IsSpace(r) && !unicode.IsDigit(r) &&
			!strings.ContainsRune(".,:;)", r) {
			b.WriteString("<wbr>")
		}
		b.WriteString(template.HTMLEscapeString(string(r)))
		last = r
	}
	return template.HTML(b.String()) // every character is escaped
}

// A Page is a template of an HTML page with its style and script, and the
// content security policy that permits these two and nothing else.
type Page struct {
	*template.Template
	Policy string
}

// NewPage reads the template and, where that asks for one, the script of a page
// from the folder assets of files. Style, the script and the templates that pages
// share are added. All are put into the template as text before it is parsed, so no value is ever
// taken for either. policy has two %s, for the hashes of style and script;
// they are those of what a browser gets, so the template is executed once
// with sample.
func NewPage(files fs.FS, name, policy string, sample any) (*Page, error) {
	text := func(files fs.FS, file string) string {
		b, err := fs.ReadFile(files, "assets/"+file)
		if err != nil {
			panic(err) // it is embedded
		}
		return string(b)
	}
	page, script := text(files, name+".html")+text(assets, "parts.html"), ""
	if strings.Contains(page, "/*script*/") {
		script = text(assets, "explorer.js") + text(files, name+".js")
	}
	whole := strings.NewReplacer("/*style*/", text(assets, "page.css"), "/*script*/", script).Replace(page)
	t, err := template.New(name).Funcs(helpers).Parse(whole)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, sample); err != nil {
		return nil, err
	}
	style := inlineHash(out.String(), "<style>", "</style>")
	return &Page{t, fmt.Sprintf(policy, style, inlineHash(out.String(), "<script>", "</script>"))}, nil
}

// inlineHash is the hash source of the first element between two tags.
func inlineHash(page, open, end string) string {
	_, rest, _ := strings.Cut(page, open)
	body, _, _ := strings.Cut(rest, end)
	sum := sha256.Sum256([]byte(body))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// VisibleJSON writes characters of JSON that cannot be seen as escapes.
func VisibleJSON(b []byte) []byte {
	if !bytes.ContainsFunc(b, words.Hidden) {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		if !words.Hidden(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, "\\u%04x", unit)
		}
	}
	return out.Bytes()
}
