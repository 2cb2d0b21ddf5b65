package compare

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"nightshift/reports/stats"
)

// fewItems is how many items a category needs for an interval.
const fewItems = 5

// breakdown adds the scores by category, largest first, and their macro means.
func (m *matrix) breakdown(c *Comparison, r *scorerResult, cols []scoredColumn) {
	if len(m.names) < 2 {
		return
	}
	members := make([][]int32, len(m.names))
	for i, k := range m.categories {
		if k < 0 {
			continue
		}
		if _, inside := slices.BinarySearch(m.members, int32(i)); inside || m.members == nil {
			members[k] = append(members[k], int32(i))
		}
	}
	var order []int
	for i := range members {
		if len(members[i]) > 0 {
			order = append(order, i)
		}
	}
	if len(order) < 2 {
		return
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(members[b]), len(members[a])), cmp.Compare(m.names[a], m.names[b]))
	})
	pairs := m.pairs(c)
	means, ses := make([][]float64, len(cols)), make([][]float64, len(cols))
	for _, k := range order {
		if m.arrival != nil {
			members[k] = m.arrival.among(members[k])
		}
		row := categoryRow{Category: m.names[k], Items: len(members[k])}
		part := make([][]float64, len(cols))
		labels := chosenOf(m.labels, members[k])
		for j, col := range cols {
			part[j] = chosenOf(col.values, members[k])
			e, err := stats.Score(part[j], stats.Options{Clusters: labels, Epochs: col.epochs})
			if err != nil {
				continue // the whole column has passed the same checks
			}
			if m.arrival != nil {
				e = m.arrival.score(col.values, members[k])
			}
			row.Models = append(row.Models, cellOf(e.N, e.Mean, e.Interval))
			if e.N > 0 {
				means[j], ses[j] = append(means[j], e.Mean), append(ses[j], e.SE)
			}
		}
		for _, pair := range pairs {
			epochs := max(cols[pair[0]].epochs, cols[pair[1]].epochs)
			p, err := stats.Compare(part[pair[0]], part[pair[1]],
				stats.Options{Clusters: labels, Epochs: epochs, Resamples: 1})
			if m.arrival != nil {
				p.Interval = m.arrival.difference(cols[pair[0]].values, cols[pair[1]].values, members[k])
			}
			if err == nil {
				row.Deltas = append(row.Deltas, cellOf(p.N, p.Delta, p.Interval))
			}
		}
		r.Categories = append(r.Categories, row)
	}
	for j, col := range cols {
		mean, se := stats.Macro(means[j], ses[j])
		r.Macro = append(r.Macro, macroScore{col.Label, stats.Defined(mean), stats.Defined(se)})
	}
}

func chosenOf[T any](all []T, at []int32) []T {
	if all == nil {
		return nil
	}
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = all[k]
	}
	return out
}

func cellOf(n int, mean float64, v stats.Interval) cellScore {
	out := cellScore{N: n, Mean: stats.Defined(mean)}
	if n >= fewItems {
		out.Interval = rangeOf(v)
	}
	return out
}

// repeats says what the epochs of one model add; votes says whether the scorer
// knows which answers are equal.
func repeats(c scoredColumn, scorer int, votes bool) repeatScore {
	k := c.epochs
	scores := c.scores[scorer]
	e := stats.Epochs(scores, k)
	r := repeatScore{
		Label: c.Label, Epochs: k, Within: stats.Defined(e.Within), Between: stats.Defined(e.Between),
		Removable: stats.Defined(e.Removable), SEInfinite: stats.Defined(e.SEInfinite), Unstable: e.Unstable,
	}
	ks := someOf(k)
	pass, all := make([][]float64, len(ks)), make([][]float64, len(ks))
	var majority, best running
	for i := range len(scores) / k {
		values, answers := c.epochScores(scorer, i)
		if len(values) == 0 {
			continue
		}
		if votes && answers != nil {
			majority.add(stats.MajorityVote(answers, values))
		}
		best.add(stats.Max(values))
		right := stats.Correct(values)
		for j, kk := range ks {
			if len(values) >= kk {
				pass[j] = append(pass[j], stats.PassAtK(len(values), right, kk))
				all[j] = append(all[j], stats.PassHatK(len(values), right, kk))
			}
		}
	}
	r.Majority, r.Best = majority.part(), best.part()
	for j, kk := range ks {
		r.PassAtK = append(r.PassAtK, atK(kk, pass[j]))
		r.PassHatK = append(r.PassHatK, atK(kk, all[j]))
	}
	return r
}

func atK(k int, values []float64) scoreAtK {
	mean, se := stats.MeanSE(values)
	return scoreAtK{k, stats.Defined(mean), stats.Defined(se)}
}

// someOf are 1, 2, 4, … and k itself.
func someOf(k int) []int {
	ks := map[int]bool{k: true}
	for i := 1; i < k; i *= 2 {
		ks[i] = true
	}
	return slices.Sorted(maps.Keys(ks))
}

// epochScores are the scores of one item, with what each answer counts as in a
// vote; answers is nil where the scorer does not say which answers are equal.
func (c *column) epochScores(scorer, item int) (values []float64, answers []string) {
	votes := c.answers[scorer] != nil
	for i := item * c.epochs; i < (item+1)*c.epochs; i++ {
		v := c.scores[scorer][i]
		if math.IsNaN(v) {
			continue
		}
		values = append(values, v)
		if votes = votes && (c.answers[scorer][i] != "" || c.status[scorer][i] == stateNoAnswer); votes {
			answers = append(answers, c.answers[scorer][i])
		}
	}
	if !votes {
		return values, nil
	}
	return values, answers
}
