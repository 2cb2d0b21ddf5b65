package render_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshift/reports/render"
)

// TestScatterNames: names stand beside their dots where they have the room, else in a
// legend; what shares a colour with another is hollow.
func TestScatterNames(t *testing.T) {
	var points []render.Point
	for i := range 10 {
		points = append(points, render.Point{Name: fmt.Sprintf("model-%d", i), X: float64(i%2) + 0.5, Y: 0.5})
	}
	for _, c := range []struct{ points, names, legend, hollow int }{{2, 2, 0, 0}, {10, 0, 10, 2}} {
		chart := render.Scatter(render.Chart{ID: "cost"}, points[:c.points], "")
		names, hollow := 0, 0
		for _, d := range chart.Dots {
			if d.Label != "" {
				names++
			}
			if d.Again {
				hollow++
			}
		}
		if names != c.names || len(chart.Legend) != c.legend || hollow != c.hollow {
			t.Errorf("%d points: %d names, %d in the legend, %d hollow, want %+v", c.points, names, len(chart.Legend),
				hollow, c)
		}
	}
}

// TestLegendOfStacks names what is drawn, and keeps the colours.
func TestLegendOfStacks(t *testing.T) {
	c := render.StackedOverTime(render.Chart{}, []string{"a", "b", "c"},
		[]render.Stack{{At: time.Unix(0, 0), Counts: []int64{1, 0, 2}}}, 60)
	if got := fmt.Sprint(c.Legend); got != "[{0 a false} {2 c false}]" {
		t.Error(got)
	}
}

// TestNarrowGrid: a head that alone is wider than the terminal is broken into lines.
func TestNarrowGrid(t *testing.T) {
	g := render.Grid{Head: []string{"run", "a-name-of-a-model-that-is-long"}, Rows: [][]string{{"monday", "0.620 ±0.07"}}}
	for _, columns := range []int{21, 24, 30} {
		text, head := g.Text(render.Screen{Columns: columns}), ""
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "─") {
				break
			}
			head += strings.TrimPrefix(strings.TrimSpace(line), "run")
		}
		if strings.ReplaceAll(head, " ", "") != g.Head[1] {
			t.Errorf("the head is not whole in %d columns:\n%s", columns, text)
		}
		for line := range strings.Lines(text) {
			if n := render.Columns(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d columns in %d: %s", n, columns, line)
			}
		}
	}
}

// TestBreakable: lines break behind punctuation, and none begins with it.
func TestBreakable(t *testing.T) {
	for text, want := range map[string]string{"a/b=0.7": "a/<wbr>b=0.7", "(of 200); x": "(<wbr>of 200); x",
		"a<b": "a&lt;b", "f(steps/plain)": "f(<wbr>steps/<wbr>plain)"} {
		if got := string(render.Breakable(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestTooManyColumns: a table that would take many blocks of a terminal is left to the
// files.
func TestTooManyColumns(t *testing.T) {
	g := render.Grid{Head: []string{"answer by category"}, Rows: [][]string{{"arithmetic"}}}
	for i := range 20 {
		g.Head = append(g.Head, fmt.Sprintf("large/steps/temperature=%d", i))
		g.Rows[0] = append(g.Rows[0], "0.640 ±0.19")
	}
	if text := g.Text(render.Screen{Columns: 80}); !strings.Contains(text, "answer by category has 21 columns") ||
		strings.Contains(text, "arithmetic") {
		t.Errorf("%s", text)
	}
	if text := g.Text(render.Screen{Columns: 2000}); !strings.Contains(text, "arithmetic") {
		t.Errorf("%s", text)
	}
}
