package stats

import (
	"cmp"
	"math"
	"slices"
)

// PassAtK estimates the chance that at least one of k answers is right, from n
// answers of which correct are: 1 - C(n-c,k)/C(n,k), as a product so that
// nothing overflows (M. Chen et al., "Evaluating Large Language Models Trained
// on Code", 2021). NaN when n < k or the counts make no sense.
func PassAtK(n, correct, k int) float64 {
	if !sensible(n, correct, k) {
		return math.NaN()
	}
	if n-correct < k {
		return 1
	}
	miss := 1.0
	for i := n - correct + 1; i <= n; i++ {
		miss *= 1 - float64(k)/float64(i)
	}
	return 1 - miss
}

// PassHatK estimates the chance that all of k answers are right: C(c,k)/C(n,k)
// (S. Yao et al., "τ-bench", 2024). NaN when n < k.
func PassHatK(n, correct, k int) float64 {
	if !sensible(n, correct, k) {
		return math.NaN()
	}
	all := 1.0
	for i := range k {
		all *= float64(max(correct-i, 0)) / float64(n-i)
	}
	return all
}

func sensible(n, correct, k int) bool {
	return k >= 1 && n >= k && correct >= 0 && correct <= n
}

// Correct counts the values of a right answer, which is a full score.
func Correct(values []float64) int {
	c := 0
	for _, v := range values {
		if v >= 1 {
			c++
		}
	}
	return c
}

// Max is the best of the values; NaN without any.
func Max(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Max(values)
}

// MajorityVote is the score of the answer that was given most often (X. Wang
// et al., "Self-Consistency", 2022): values[i] is the score of answers[i].
// Empty answers do not vote unless all are empty; ties are averaged. NaN
// without answers.
func MajorityVote(answers []string, values []float64) float64 {
	order := make([]int, 0, len(answers))
	for i, a := range answers {
		if a != "" {
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return Mean(values)
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(answers[i], answers[j]) })
	best, ties, sum := 0, 0, 0.0
	for start := 0; start < len(order); {
		end, total := start, 0.0
		for end < len(order) && answers[order[end]] == answers[order[start]] {
			total += values[order[end]]
			end++
		}
		score := total / float64(end-start)
		switch {
		case end-start > best:
			best, ties, sum = end-start, 1, score
		case end-start == best:
			ties, sum = ties+1, sum+score
		}
		start = end
	}
	return sum / float64(ties)
}

// A Repeats splits the variance of repeated answers into what differs between
// items and what differs between answers to one item (Miller 2024, section 3).
type Repeats struct {
	Items   int     // items with a score
	Mean    float64 // of the item means
	SE      float64 // of the mean, from the item means
	Within  float64 // mean sample variance over the epochs of an item
	Between float64 // variance of the items' true means; never below 0
	// Removable is the share of the variance of the mean that more epochs
	// would remove.
	Removable float64
	// SEInfinite is the standard error that endless epochs would leave.
	SEInfinite float64
	// Unstable counts the items that are neither always right nor always
	// wrong.
	Unstable int
	Means    []float64 // of each item; NaN where it has no score
}

// Epochs splits scores that stand item by item, k epochs each; NaN where an
// epoch has no score. It panics when len(scores) is not a multiple of k.
func Epochs(scores []float64, k int) Repeats {
	if k < 1 || len(scores)%k != 0 {
		panic("stats: scores are not a whole number of items")
	}
	means := make([]float64, 0, len(scores)/k)
	var within, noise accumulator
	repeated, unstable := 0, 0
	for start := 0; start < len(scores); start += k {
		kept, _ := scored(scores[start:start+k], nil)
		means = append(means, Mean(kept))
		if v := Variance(kept); !math.IsNaN(v) {
			repeated++
			within.add(v)
			noise.add(v / float64(len(kept)))
		}
		if len(kept) > 1 && slices.Max(kept)-slices.Min(kept) > tied {
			unstable++
		}
	}
	kept, _ := scored(means, nil)
	r := Repeats{Items: len(kept), Unstable: unstable, Means: means}
	r.Mean, r.SE = MeanSE(kept)
	r.Within = within.sum() / float64(repeated)
	r.split(Variance(kept), noise.sum()/float64(repeated))
	return r
}

// split takes the variance of the item means apart; noise is the part that
// comes from having few epochs.
func (r *Repeats) split(total, noise float64) {
	r.Between = math.Max(0, total-noise)
	r.SEInfinite = math.Sqrt(r.Between / float64(r.Items))
	r.Removable = math.NaN()
	if total > 0 {
		r.Removable = math.Min(1, noise/total)
	}
}
