package algebra

import (
	"math"
	"math/cmplx"
)

// near compares two expressions in floating point at positive points. The tolerance
// is relative to the largest part that was added up on the way.
func (c *comparison) near(a, b *node, tol float64) bool {
	for point := range points {
		x, sizeX := c.float(a, point)
		y, sizeY := c.float(b, point)
		if !finite(x) || !finite(y) || !(math.Max(sizeX, sizeY) < 1e300) {
			return false
		}
		size := math.Max(cmplx.Abs(x), cmplx.Abs(y))
		if grown := 1e-15 * math.Max(sizeX, sizeY); grown > tol*size && grown < 1e-6 { // what cancelling leaves
			size = grown / tol
		}
		if cmplx.Abs(x-y) > tol*size {
			return false
		}
	}
	return true
}

func finite(v complex128) bool { return !cmplx.IsNaN(v) && !cmplx.IsInf(v) }

// float is the value at a point, and the largest size of what was added up.
func (c *comparison) float(n *node, point int) (v complex128, size float64) {
	if c.steps--; c.steps < 0 {
		return cmplx.NaN(), 0
	}
	args := make([]complex128, len(n.args))
	for i, a := range n.args {
		var of float64
		args[i], of = c.float(a, point)
		size = math.Max(size, of)
	}
	defer func() { size = math.Max(size, cmplx.Abs(v)) }()
	switch n.op {
	case "num":
		f, _ := n.num.Float64()
		return complex(f, 0), size
	case "var":
		return complex(0.3+2*float64(c.draw(n.name, point)>>11)/(1<<53), 0), size
	case "const":
		return map[string]complex128{"π": math.Pi, "e": math.E, "i": 1i, "∞": cmplx.Inf()}[n.name], size
	case "+":
		return args[0] + args[1], size
	case "neg":
		return -args[0], size
	case "*":
		return args[0] * args[1], size
	case "/":
		return args[0] / args[1], size
	case "^":
		return power(args[0], args[1], n.args[1]), size
	case "fn":
		return function(n.name, args), size
	}
	return cmplx.NaN(), size
}

// power takes the real root of a negative number where the root is odd.
func power(base, e complex128, of *node) complex128 {
	if over := of; over.op == "/" && imag(base) == 0 && real(base) < 0 {
		if root, whole := exponent(over.args[1]); whole && root%2 != 0 {
			if up, whole := exponent(over.args[0]); whole {
				r := cmplx.Pow(complex(-real(base), 0), e)
				if up%2 != 0 {
					r = -r
				}
				return r
			}
		}
	}
	return cmplx.Pow(base, e)
}

func function(name string, args []complex128) complex128 {
	x := args[len(args)-1]
	switch name {
	case "sin":
		return cmplx.Sin(x)
	case "cos":
		return cmplx.Cos(x)
	case "tan":
		return cmplx.Tan(x)
	case "cot":
		return 1 / cmplx.Tan(x)
	case "sec":
		return 1 / cmplx.Cos(x)
	case "csc":
		return 1 / cmplx.Sin(x)
	case "arcsin":
		return cmplx.Asin(x)
	case "arccos":
		return cmplx.Acos(x)
	case "arctan":
		return cmplx.Atan(x)
	case "sinh":
		return cmplx.Sinh(x)
	case "cosh":
		return cmplx.Cosh(x)
	case "tanh":
		return cmplx.Tanh(x)
	case "ln":
		return cmplx.Log(x)
	case "log":
		base := complex(10, 0)
		if len(args) == 2 {
			base = args[0]
		}
		return cmplx.Log(x) / cmplx.Log(base)
	case "exp":
		return cmplx.Exp(x)
	case "abs":
		return complex(cmplx.Abs(x), 0)
	case "factorial":
		return gamma(x)
	case "binom":
		return gamma(args[0]) / gamma(x) / gamma(args[0]-x)
	}
	return cmplx.NaN()
}

// gamma is n! of a real number.
func gamma(n complex128) complex128 {
	if imag(n) != 0 {
		return cmplx.NaN()
	}
	return complex(math.Gamma(real(n)+1), 0)
}
