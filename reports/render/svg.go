package render

import (
	"bytes"
	"html/template"
	"strings"
	"sync"
)

// SVG is the drawing of a chart as a file of its own, with its legend below it: the
// same drawing as in pages, for where there is no page around it.
func (c Chart) SVG() ([]byte, error) {
	t, err := drawing()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.ExecuteTemplate(&b, "file", c)
	return b.Bytes(), err
}

// drawing is the template of a file that holds a chart.
var drawing = sync.OnceValues(func() (*template.Template, error) {
	parts, err := assets.ReadFile("assets/parts.html")
	if err != nil {
		panic(err) // it is embedded
	}
	style, err := assets.ReadFile("assets/page.css")
	if err != nil {
		panic(err)
	}
	const file = `{{define "file"}}<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -8 440 {{.FileHeight}}" ` +
		`font-family="system-ui, sans-serif">
<style>/*style*/</style>
<rect x="-4" y="-8" width="440" height="{{.FileHeight}}" style="fill: var(--bg)"></rect>
<svg width="432" height="{{.Frame}}">{{template "drawing" .}}</svg>
{{range $i, $l := .Legend}}<rect class="f{{$l.Colour}}{{if $l.Again}} l{{$l.Colour}} again{{end}}"` +
		` x="50" y="{{$.LegendY $i}}" width="10" height="10"></rect>` +
		`<text x="66" y="{{$.LegendY $i}}" dy="9">{{plain $l.Label}}</text>
{{end}}</svg>
{{end}}`
	// Drawings fill their place in a page; in a file the place is given.
	own := strings.Replace(string(style), "svg { width: 100%; height: auto; display: block; }\n", "", 1)
	whole := strings.Replace(file, "/*style*/", own, 1)
	return template.New("file").Funcs(helpers).Parse(whole + string(parts))
})

// legendLine is the height of a line of the legend of a file.
const legendLine = 18

// LegendY is where a line of the legend of a file begins.
func (c Chart) LegendY(line int) int { return c.Frame() + 8 + line*legendLine }

// FileHeight is the height of the file of a chart.
func (c Chart) FileHeight() int { return c.LegendY(len(c.Legend)) + 16 }
