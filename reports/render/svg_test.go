package render_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"nightshift/reports/render"
)

// A chart as a file is XML of its own, with a point for every value, and what grows
// in proportion rises evenly.
func TestChartAsFile(t *testing.T) {
	points := func(y ...float64) (list []render.Point) {
		for i, v := range y {
			list = append(list, render.Point{X: []float64{10, 100, 1000}[i], Y: v})
		}
		return list
	}
	c := render.Curves(render.Chart{ID: "c", Title: "<Growth>", XLabel: "rows"}, []render.Curve{
		{Name: "linear & more", Points: points(1, 10, 100)}, {Name: "level", Points: points(1, 1, 1)}})
	b, err := c.SVG()
	if err != nil {
		t.Fatal(err)
	}
	var circles int
	d := xml.NewDecoder(strings.NewReader(string(b)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 6 {
		t.Errorf("%d points, want 6", circles)
	}
	for _, want := range []string{
		`points="54,204 228,108 402,12"`, `points="54,204 228,204 402,204"`, "linear &amp; more",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
}
