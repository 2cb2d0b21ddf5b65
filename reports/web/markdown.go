package web

import (
	"fmt"
	"html"
	"html/template"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"

	"nightshift/internal/words"
)

var markdownParser = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough)).Parser()

// tags are the elements that Markdown becomes, without any attribute. What is
// not here is written as text: links with their address beside them, images as
// their description, and HTML as it was.
var tags = map[ast.NodeKind]string{
	ast.KindParagraph: "p", ast.KindBlockquote: "blockquote", ast.KindListItem: "li", ast.KindCodeSpan: "code",
	extast.KindTable: "table", extast.KindTableRow: "tr", extast.KindTableHeader: "tr",
	extast.KindTableCell: "td", extast.KindStrikethrough: "del",
}

// mostMarkdown bounds what is rendered; longer texts stay as they are.
const mostMarkdown = 200_000

// renderMarkdown makes HTML of a model's answer: a few elements without
// attributes, and text. Nothing of it can be followed, loaded or run.
func renderMarkdown(answer string) template.HTML {
	if len(answer) > mostMarkdown {
		return template.HTML("<pre>" + html.EscapeString(words.Visible(answer)) + "</pre>")
	}
	source := []byte(visibleLines(answer))
	m := &markdownWriter{source: source}
	_ = ast.Walk(markdownParser.Parse(text.NewReader(source)), m.node) // it never fails
	return template.HTML(m.out.String())
}

// visibleLines is words.Visible that leaves line ends alone.
func visibleLines(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = words.Visible(l)
	}
	return strings.Join(lines, "\n")
}

type markdownWriter struct {
	source []byte
	out    strings.Builder
}

func (m *markdownWriter) text(b []byte) { m.out.WriteString(html.EscapeString(string(b))) }

// lines writes a block of literal lines.
func (m *markdownWriter) lines(n ast.Node) {
	m.out.WriteString("<pre>")
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		m.text(line.Value(m.source))
	}
	if h, ok := n.(*ast.HTMLBlock); ok && h.HasClosure() {
		m.text(h.ClosureLine.Value(m.source))
	}
	m.out.WriteString("</pre>")
}

func (m *markdownWriter) node(n ast.Node, entering bool) (ast.WalkStatus, error) {
	tag := tags[n.Kind()]
	switch n := n.(type) {
	case *ast.Heading:
		tag = fmt.Sprintf("h%d", min(n.Level+3, 6)) // below the headings of the page
	case *ast.Emphasis:
		if tag = "em"; n.Level > 1 {
			tag = "strong"
		}
	case *ast.List:
		if tag = "ul"; n.IsOrdered() {
			tag = "ol"
		}
	default:
		if tag == "" {
			return m.leaf(n, entering)
		}
	}
	if entering {
		m.out.WriteString("<" + tag + ">")
	} else {
		m.out.WriteString("</" + tag + ">")
	}
	return ast.WalkContinue, nil
}

// leaf writes what has no element of its own.
func (m *markdownWriter) leaf(n ast.Node, entering bool) (ast.WalkStatus, error) {
	switch n := n.(type) {
	case *ast.Link:
		if !entering {
			m.text(fmt.Appendf(nil, " (%s)", n.Destination))
		}
		return ast.WalkContinue, nil
	case *ast.Image:
		if entering {
			m.text([]byte("[image: "))
		} else {
			m.text(fmt.Appendf(nil, "] (%s)", n.Destination))
		}
		return ast.WalkContinue, nil
	}
	if !entering {
		return ast.WalkContinue, nil
	}
	switch n := n.(type) {
	case *ast.Text:
		m.text(n.Value(m.source))
		if n.HardLineBreak() {
			m.out.WriteString("<br>")
		} else if n.SoftLineBreak() {
			m.out.WriteString("\n")
		}
	case *ast.String:
		m.text(n.Value)
	case *ast.AutoLink:
		m.text(n.URL(m.source))
	case *ast.RawHTML:
		for i := range n.Segments.Len() {
			s := n.Segments.At(i)
			m.text(s.Value(m.source))
		}
	case *ast.ThematicBreak:
		m.out.WriteString("<hr>")
	case *ast.CodeBlock, *ast.FencedCodeBlock, *ast.HTMLBlock:
		m.lines(n)
	}
	return ast.WalkContinue, nil
}
