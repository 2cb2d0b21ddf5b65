package algebra

import (
	"strings"
	"testing"
)

// TestEqual: what mathematicians take for the same, and what they do not.
func TestEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{`0.5`, `\frac{1}{2}`, true}, {`1/2`, `\dfrac12`, true}, {`2/4`, `0.5`, true}, {`0.333`, `1/3`, false},
		{`1,000`, `1000`, true}, {`1{,}000`, `10^3`, true}, {`-3`, `−3`, true}, {`.5`, `0.50`, true}, {`3`, `-3`, false},
		{`1\frac{3}{4}`, `1.75`, true}, {`1 3/4`, `\frac{7}{4}`, true}, {`2\frac{x}{4}`, `x/2`, true},
		{`50\%`, `50`, true}, {`50\%`, `50 percent`, true}, {`0.5`, `50\%`, false}, {`50`, `50\%`, false},
		{`5\text{ cm}`, `5`, true}, {`5 cm`, `5\text{ cm}`, true}, {`5 cm`, `5 m`, false}, {`12 inches`,
			`12\text{ in}`, true},
		{`\$5`, `5`, true}, {`30^\circ`, `30`, true}, {`16 cm^2`, `16\text{ cm}^2`, true}, {`5 dollars`, `5`, true},
		{`(x+1)^2`, `x^2+2x+1`, true}, {`(x+1)^2`, `x^2+1`, false}, {`x(x+1)`, `x^2 + x`, true}, {`xy`, `yx`, true},
		{`\frac{x^2-1}{x-1}`, `x+1`, true}, {`\frac{1}{x}+\frac{1}{y}`, `\frac{x+y}{xy}`, true}, {`2x`, `x+x+1`, false},
		{`(x-y)(x+y)(x^2+y^2)`, `x^4-y^4`, true}, {`x^{-2}`, `1/x^2`, true}, {`a_1+a_2`, `a_{2} + a_{1}`, true},
		{`\sqrt{12}`, `2\sqrt3`, true}, {`\frac{1}{\sqrt{2}}`, `\frac{\sqrt{2}}{2}`, true}, {`\sqrt[3]{8}`, `2`, true},
		{`\sqrt{2}`, `1.4142`, false}, {`3.14159`, `\pi`, false}, {`2\pi r`, `2 π r`, true}, {`\sqrt[3]{-8}`, `-2`, true},
		{`\sin^2 x + \cos^2 x`, `1`, true}, {`\sin 2x`, `2\sin x\cos x`, true}, {`\ln(e^2)`, `2`, true},
		{`\log_2 8`, `3`, true}, {`(1+i)^2`, `2i`, true}, {`5!`, `120`, true}, {`\binom{5}{2}`, `10`, true},
		{`2^{10}`, `1024`, true}, {`2^{1/2}`, `\sqrt 2`, true}, {`|{-3}|`, `3`, true}, {`e^{x+1}`, `e \cdot e^x`, true},
		{`10^{1000000}`, `10^{1000000}+1`, false}, {`2305843009213693951+5`, `5`, false},
		{`[0,3]`, `[0, 3]`, true}, {`[0,3]`, `(0,3)`, false}, {`[0,3)`, `[0,6/2)`, true}, {`(1,2)`, `(2,1)`, false},
		{`(-\infty, 2]`, `x \le 2`, true}, {`x > 5`, `5 < x`, true}, {`x>5`, `(5,\infty)`, true}, {`1 < x \leq 3`,
			`(1,3]`, true},
		{`x \in [0,1]`, `[0,1]`, true}, {`[0,1]\cup[2,3]`, `[2,3] \cup [0,1]`, true}, {`[0,1]\cup[2,3]`, `[0,1]`, false},
		{`\{1,2,3\}`, `\{3,2,1\}`, true}, {`\{1,2\}`, `\{1,2,3\}`, false}, {`1, 2`, `2,1`, true}, {`1 and 2`,
			`\{1,2\}`, true},
		{`x=1, x=2`, `2, 1`, true}, {`1,2`, `(1,2)`, true}, {`\pm 2`, `2,-2`, true}, {`1\pm\sqrt2`,
			`1+\sqrt2, 1-\sqrt2`, true},
		{`x = 5`, `5`, true}, {`5`, `x=5`, true}, {`y = 2x + 1`, `2x - y + 1 = 0`, true}, {`y=2x`, `y=3x`, false},
		{`y = 2x+1`, `2x+1`, true}, {`\left(\frac12, 3\right)`, `(0.5, 3)`, true}, {`\{3\}`, `3`, true},
		{`\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}`, `\begin{bmatrix}1&2\\3&\frac{8}{2}\end{bmatrix}`, true},
		{`\begin{pmatrix} 1 & 2 \end{pmatrix}`, `\begin{pmatrix} 1 \\ 2 \end{pmatrix}`, false},
		{`\infty`, `\infty`, true}, {`-\infty`, `\infty`, false}, {`101_2`, `101_{2}`, true}, {`101_2`, `101`, false},
		{`\text{(A)}`, `A`, true}, {`1/0`, `1/0`, false}, {`\sqrt{x^2}`, `x`, true}, {`7.0`, `7`, true},
		{`-\frac{1}{2}`, `\frac{-1}{2}`, true},
	} {
		if got, _ := Equal(tc.a, tc.b, 0); got != tc.want {
			t.Errorf("%s and %s: %v", tc.a, tc.b, got)
		}
	}
	if got, _ := Equal("0.333", "1/3", 0.01); !got {
		t.Error("a tolerance is not used")
	}
}

// TestNoFormula: words and what is too long are not read, and nothing takes long.
func TestNoFormula(t *testing.T) {
	for _, a := range []string{"east", "the answer", `\frac`, "((", "x^", strings.Repeat("(", 1000),
		strings.Repeat("1+", 2000) + "1",
		`\unknown{x}`, "\xff", "1 2 3 and", "{", `\begin{cases}1\end{cases}`} {
		if _, ok := Equal(a, "1", 0); ok {
			t.Errorf("%.40q is read", a)
		}
	}
	tower := strings.Repeat("9^{", 50) + "9" + strings.Repeat("}", 50)
	if got, _ := Equal(tower, "9", 0); got {
		t.Error("a tower of powers equals 9")
	}
}

// FuzzEqual: nothing breaks, a formula that has a value equals itself, and order
// does not matter.
func FuzzEqual(f *testing.F) {
	for _, s := range []string{`\frac{x^2-1}{x-1}`, `[0,3)\cup\{5\}`, `1\frac34`, `\sqrt[3]{-8}`, `x=1, x=2`,
		`|x|`, `\sin^2 x`,
		`\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}`, `5\text{ cm}`, `1 < x \le 3`, "\xff", `2^{2^{2^{2^{99}}}}`} {
		f.Add(s, `x+1`)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, okX := Equal(a, b, 0)
		y, okY := Equal(b, a, 0)
		if okX && okY && x != y && !strings.Contains(a+b, "%") && !strings.Contains(strings.ToLower(a+b), "percent") {
			t.Errorf("%q and %q: %v, the other way %v", a, b, x, y)
		}
	})
}
