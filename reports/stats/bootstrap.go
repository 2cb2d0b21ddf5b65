package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// blocks is how many units a bootstrap draws from at most. Beyond it, items
// are dealt into blocks at random and the blocks are drawn: sums of
// independent items are as good to resample as the items, and the work stays
// bounded.
const blocks = 10_000

// Bootstrap is the percentile interval and the standard error of a statistic
// that is a function of column sums, over resamples of items (or of clusters):
// BLEU over its counts, a ratio over its two sums (B. Efron, 1979).
// columns[j][i] belongs to item i. Resamples whose statistic is not finite are
// left out; NaN when none is left. The order of items does not matter.
func Bootstrap(columns [][]float64, stat func(sums []float64) float64, opt Options) (v Interval, se float64,
	err error) {
	var draws []float64
	err = resample(columns, opt, func(sums []float64) {
		if v := stat(sums); finite(v) {
			draws = append(draws, v)
		}
	})
	if err != nil {
		return undefined, math.NaN(), err
	}
	slices.Sort(draws)
	tail := (1 - opt.level()) / 2
	return Interval{percentile(draws, tail), percentile(draws, 1-tail)}, math.Sqrt(Variance(draws)), nil
}

// resample visits the column sums of each resample. sums is reused.
func resample(columns [][]float64, opt Options, visit func(sums []float64)) error {
	units, n, err := unitRows(columns, opt)
	if err != nil || n == 0 {
		return err
	}
	width := len(columns)
	source := rand.New(rand.NewPCG(opt.Seed, 0x626f_6f74_7374_7261))
	sums := make([]float64, width)
	for range opt.resamples() {
		clear(sums)
		for range n {
			row := units[source.IntN(n)*width:]
			for j := range sums {
				sums[j] += row[j]
			}
		}
		visit(sums)
	}
	return nil
}

// unitRows returns what is drawn, row by row: items, clusters, or blocks of
// them when there are many. Rows are sorted, so that equal data in another
// order gives the same draws.
func unitRows(columns [][]float64, opt Options) (rows []float64, n int, err error) {
	if len(columns) == 0 {
		return nil, 0, nil
	}
	n = len(columns[0])
	for _, c := range columns {
		if len(c) != n {
			return nil, 0, errLengths
		}
	}
	if err := opt.check(n); err != nil {
		return nil, 0, err
	}
	units := columns
	if opt.Clusters != nil {
		units = make([][]float64, len(columns))
		for j, c := range columns {
			units[j] = clusterSums(c, opt.Clusters, 0)
		}
		n = len(units[0])
	}
	rows = sortedRows(units, n)
	if n > blocks {
		rows, n = deal(rows, n, len(columns), opt.Seed), blocks
	}
	return rows, n, nil
}

// sortedRows lays the columns out row by row, in lexical order.
func sortedRows(columns [][]float64, n int) []float64 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		for _, c := range columns {
			if d := cmp.Compare(c[a], c[b]); d != 0 {
				return d
			}
		}
		return 0
	})
	rows := make([]float64, 0, n*len(columns))
	for _, i := range order {
		for _, c := range columns {
			rows = append(rows, c[i])
		}
	}
	return rows
}

// deal sums n rows into blocks of equal size, at random.
func deal(rows []float64, n, width int, seed uint64) []float64 {
	dealt := make([]float64, blocks*width)
	for place, i := range rand.New(rand.NewPCG(seed, 0x6465_616c)).Perm(n) {
		block := dealt[place%blocks*width:]
		for j := range width {
			block[j] += rows[i*width+j]
		}
	}
	return dealt
}
