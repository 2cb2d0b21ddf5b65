package stats

import "math"

// A cholesky is a lower triangle L, by rows, with L·Lᵀ a symmetric positive
// definite matrix.
type cholesky [][]float64

// smallestPivot is where a matrix counts as singular, as a share of its largest
// diagonal element: what float64 cannot tell from zero.
const smallestPivot = 1e-15

// factorize splits a matrix, of which it reads the lower half; false when the
// matrix is not positive definite.
func factorize(matrix [][]float64) (l cholesky, ok bool) {
	largest := 0.0
	for i := range matrix {
		largest = math.Max(largest, matrix[i][i])
	}
	for i, row := range matrix {
		l = append(l, make([]float64, i+1))
		for j := range i {
			l[i][j] = (row[j] - dot(l[i][:j], l[j])) / l[j][j]
		}
		pivot := row[i] - dot(l[i][:i], l[i])
		if !(pivot > smallestPivot*largest) {
			return nil, false
		}
		l[i][i] = math.Sqrt(pivot)
	}
	return l, true
}

// solve returns x with L·Lᵀ·x = b.
func (l cholesky) solve(b []float64) []float64 {
	x := make([]float64, len(b))
	for i := range x {
		x[i] = (b[i] - dot(l[i][:i], x)) / l[i][i]
	}
	for i := len(x) - 1; i >= 0; i-- {
		x[i] /= l[i][i]
		for j := range i {
			x[j] -= l[i][j] * x[i]
		}
	}
	return x
}

// dot is the sum of the products of a with the beginning of b.
func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
