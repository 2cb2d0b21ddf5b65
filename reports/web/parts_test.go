package web

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSortBy compares the order of pages with that of the standard library.
func TestSortBy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), -1, 1, math.Inf(1), math.Inf(-1), math.NaN(), 1e-300, -1e300}
	for range 500 {
		values = append(values, math.Trunc(r.NormFloat64()*20))
	}
	items := make([]int32, len(values))
	for i := range items {
		items[i] = int32(i)
	}
	for _, down := range []bool{false, true} {
		want := slices.Clone(items)
		slices.SortStableFunc(want, func(a, b int32) int {
			x, y := values[a], values[b]
			switch {
			case math.IsNaN(x) && math.IsNaN(y) || x == y:
				return 0
			case math.IsNaN(y) || !math.IsNaN(x) && (x < y) != down:
				return -1
			}
			return 1
		})
		if got := sortBy(items, down, func(i int) float64 { return values[i] }); !slices.Equal(got, want) {
			t.Errorf("down %v: %v, want %v", down, got[:12], want[:12])
		}
	}
}

func TestReadRange(t *testing.T) {
	for _, c := range []struct {
		text string
		in   []float64
		out  []float64
	}{
		{"1", []float64{1}, []float64{0.99, 0}}, {"0.7", []float64{0.7}, []float64{0.69}},
		{"<0.5", []float64{0, -3}, []float64{0.5, 1}}, {"<=0.5", []float64{0.5}, []float64{0.6}},
		{"> 0.5", []float64{1}, []float64{0.5}}, {">=0.5", []float64{0.5, 9}, []float64{0.4}},
		{"0.2..0.6", []float64{0.2, 0.6}, []float64{0.1, 0.7}}, {"-2..-1", []float64{-1.5}, []float64{0}},
	} {
		r, err := readRange(c.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range c.in {
			if !r.holds(score{value: float32(v), status: isScored}) {
				t.Errorf("%s does not hold %v", c.text, v)
			}
		}
		for _, v := range c.out {
			if r.holds(score{value: float32(v), status: isScored}) {
				t.Errorf("%s holds %v", c.text, v)
			}
		}
	}
	none, err := readRange("none")
	if err != nil || !none.holds(score{value: float32(math.NaN()), status: 3}) || none.holds(score{}) ||
		none.holds(score{value: 1, status: isScored}) {
		t.Errorf("none: %v", err)
	}
	for _, bad := range []string{"x", "1..", "<", "..", ">=high", "NaN"} {
		if _, err := readRange(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestMarked(t *testing.T) {
	for _, c := range []struct{ text, other, want string }{
		{"a b c", "a b c", "a b c"},
		{"a x c", "a b c", "a [x ]c"},
		{"the answer is 12 apples", "the answer is 13", "the answer is [12 apples]"},
		{"", "a", ""},
		{"new", "", "[new]"},
		{"a\n\nb", "a b", "a[\n\n]b"},
		{"ä ö ü", "ä ü", "ä [ö ]ü"},
	} {
		var got strings.Builder
		for _, s := range marked(c.text, c.other) {
			if s.Marked {
				got.WriteString("[" + s.Text + "]")
			} else {
				got.WriteString(s.Text)
			}
		}
		if got.String() != c.want {
			t.Errorf("%q against %q: %q, want %q", c.text, c.other, got.String(), c.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"# Title\n\nA *b* **c** `d`", "<h4>Title</h4><p>A <em>b</em> <strong>c</strong> <code>d</code></p>"},
		{"- one\n- two", "<ul><li>one</li><li>two</li></ul>"},
		{"```\na < b\n```", "<pre>a &lt; b\n</pre>"},
		{"[x](javascript:alert(1))", "<p>x (javascript:alert(1))</p>"},
		{"![x](http://a/b.png)", "<p>[image: x] (http://a/b.png)</p>"},
		{"<b onclick=x>y</b>", "<p>&lt;b onclick=x&gt;y&lt;/b&gt;</p>"},
		{"<script>\nalert(1)\n</script>\n", "<pre>&lt;script&gt;\nalert(1)\n&lt;/script&gt;\n</pre>"},
		{"a\u202eb", `<p>a\u{202e}b</p>`},
		{"|a|b|\n|-|-|\n|1|2|", "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"},
	} {
		if got := string(renderMarkdown(c.text)); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

// harmlessTag is every tag that Markdown may become.
var harmlessTag = regexp.MustCompile(`</?(p|h[4-6]|em|strong|code|pre|ul|ol|li|blockquote|table|tr|td|del|hr|br)>`)

// FuzzMarkdown: whatever a model says, only these tags come out, and all else
// is escaped.
func FuzzMarkdown(f *testing.F) {
	for _, s := range []string{"# a\n* b", "<img src=x onerror=alert(1)>", "[a](javascript:x \"<b>\")",
		"```<\n</pre>", "|a|\n|-|\n|<|",
		"<!--\n<p>", "a\x00\u202e", "~~x~~ <http://a.b/'\">"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if left := harmlessTag.ReplaceAllString(string(renderMarkdown(s)), ""); strings.ContainsAny(left, "<>\"\u202e\x1b") {
			t.Errorf("%q leaves %q", s, left)
		}
	})
}

// TestCache: what was not asked for longest goes first, and the bytes are right.
func TestCache(t *testing.T) {
	c := newCache(100)
	for i := range 10 {
		c.put(i, i, 20)
		c.get(0)
	}
	if c.used != 100 || c.get(0) != 0 || c.get(9) != 9 || c.get(1) != nil {
		t.Errorf("%d bytes, %v %v %v", c.used, c.get(0), c.get(9), c.get(1))
	}
	c.put("large", 1, 500)
	if c.used != 500 || c.get(0) != nil || c.get("large") != 1 {
		t.Errorf("%d bytes", c.used)
	}
}
