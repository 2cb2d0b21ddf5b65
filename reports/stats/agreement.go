package stats

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// An Agreement says how far a judge and people agree on labels.
type Agreement struct {
	N int // rows that the judge and some person labelled
	// Share of labels of people that are the judge's. Each row counts once,
	// however many people labelled it. NaN without rows.
	Share float64
	// Kappa is what is left of the share after what chance would give (J.
	// Cohen, 1960). NaN when both always say the same one thing.
	Kappa float64
	// Weighted is Cohen's kappa with quadratic weights (1968): a grade beside
	// the right one is half agreement. NaN where a label has no worth.
	Weighted float64
	// alpha is Krippendorff's, of the judge and all people together (K.
	// Krippendorff, "Content Analysis", 2004): of squared differences of
	// worth where all labels have one, else of labels that are equal or not.
	Alpha float64
	// People is Krippendorff's alpha of people alone, which a judge can hardly
	// exceed. NaN when no row has two of them.
	People float64
}

// Agree compares a judge's labels with those of people, row by row; empty
// labels do not count. grades gives the worth of each label; nil leaves labels
// without worth. Labels of people may also be worths: they are, where all of
// them are a number that some grade is worth and one is not a grade's name too.
// It panics when the columns differ in length.
func Agree(judge []string, people [][]string, grades map[string]float64) Agreement {
	if len(judge) != len(people) {
		panic("stats: columns of labels of different lengths")
	}
	t := ratings{index: map[string]float64{}, graded: len(grades) > 0}
	if areWorths(people, grades) {
		t.read = gradeOfWorth
	}
	for i, label := range judge {
		t.add(label, people[i], grades)
	}
	a := Agreement{N: len(t.pairs), Share: t.share()}
	a.Kappa = t.kappa(nominal)
	a.Weighted, a.Alpha, a.People = math.NaN(), alpha(t.rows, nominal), alpha(t.people, nominal)
	if t.graded {
		a.Weighted, a.Alpha, a.People = t.kappa(squared), alpha(t.rows, squared), alpha(t.people, squared)
	}
	return a
}

// ratings are labels as numbers: the worth of a grade or, as long as labels
// are only equal or not, their place among all labels.
type ratings struct {
	index  map[string]float64 // of labels without worth
	graded bool               // every label so far has a worth
	read   func(label string, grades map[string]float64) string
	pairs  []pairOfLabels
	rows   [][]float64 // the judge and people
	people [][]float64
}

type pairOfLabels struct {
	judge  float64
	people []float64
}

func (t *ratings) add(judge string, people []string, grades map[string]float64) {
	var seen []float64
	for _, label := range people {
		if strings.TrimSpace(label) != "" {
			label = strings.TrimSpace(label)
			if t.read != nil {
				label = t.read(label, grades)
			}
			seen = append(seen, t.number(label, grades))
		}
	}
	t.people = append(t.people, seen)
	if strings.TrimSpace(judge) == "" {
		t.rows = append(t.rows, seen)
		return
	}
	by := t.number(strings.TrimSpace(judge), grades)
	t.rows = append(t.rows, append([]float64{by}, seen...))
	if len(seen) > 0 {
		t.pairs = append(t.pairs, pairOfLabels{by, seen})
	}
}

// number is the worth of a label, or a number of its own beyond all worths.
func (t *ratings) number(label string, grades map[string]float64) float64 {
	if worth, ok := grades[label]; ok {
		return worth
	}
	t.graded = false
	n, ok := t.index[label]
	if !ok {
		n = 1e6 + float64(len(t.index))
		t.index[label] = n
	}
	return n
}

// areWorths reports whether labels are worths of grades, and not their names:
// 0.75 is no name, and 1 may be the lowest grade or the worth of the best.
func areWorths(people [][]string, grades map[string]float64) bool {
	unnamed := false
	for _, labels := range people {
		for _, label := range labels {
			if label = strings.TrimSpace(label); label == "" {
				continue
			}
			if gradeOfWorth(label, grades) == "" {
				return false
			}
			if _, named := grades[label]; !named {
				unnamed = true
			}
		}
	}
	return unnamed
}

// gradeOfWorth is the grade that is worth a number; empty when none is.
func gradeOfWorth(label string, grades map[string]float64) string {
	v, err := strconv.ParseFloat(label, 64)
	if err != nil {
		return ""
	}
	best := ""
	for name, worth := range grades { // names of one worth are one number
		if math.Abs(worth-v) <= 1e-9 && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

func (t *ratings) share() float64 {
	var shares []float64
	for _, p := range t.pairs {
		same := 0
		for _, v := range p.people {
			if v == p.judge {
				same++
			}
		}
		shares = append(shares, float64(same)/float64(len(p.people)))
	}
	return Mean(shares)
}

// kappa is 1 - observed/expected disagreement: expected if each had given its
// own labels as often, but at random.
func (t *ratings) kappa(distance func(a, b float64) float64) float64 {
	var observed, expected accumulator
	for _, p := range t.pairs {
		for _, v := range p.people {
			observed.add(distance(p.judge, v) / float64(len(p.people)))
		}
	}
	byJudge, byPeople := map[float64]float64{}, map[float64]float64{}
	for _, p := range t.pairs {
		byJudge[p.judge]++
		for _, v := range p.people {
			byPeople[v] += 1 / float64(len(p.people))
		}
	}
	for a, n := range byJudge {
		for b, m := range byPeople {
			expected.add(distance(a, b) * n * m)
		}
	}
	// 0/0: both always said the same one thing.
	return 1 - observed.sum()*float64(len(t.pairs))/expected.sum()
}

// nominal is the distance of labels that are equal or not.
func nominal(a, b float64) float64 {
	if a == b {
		return 0
	}
	return 1
}

// squared is the distance of values on a scale.
func squared(a, b float64) float64 { return (a - b) * (a - b) }

// alpha is Krippendorff's alpha: 1 - observed/expected disagreement among all
// values that are given to the same unit by different raters, whoever and
// however many they are. Units with one value do not count. NaN without pairs,
// and where all values are alike.
func alpha(units [][]float64, distance func(a, b float64) float64) float64 {
	var within accumulator
	var all []float64
	for _, values := range units {
		if len(values) < 2 {
			continue
		}
		sum := 0.0
		for i, a := range values {
			for _, b := range values[:i] {
				sum += 2 * distance(a, b)
			}
		}
		within.add(sum / float64(len(values)-1))
		all = append(all, values...)
	}
	n := float64(len(all))
	between := pairDistances(all, distance)
	return 1 - within.sum()*(n-1)/between
}

// pairDistances sums the distances of all ordered pairs of values.
func pairDistances(all []float64, distance func(a, b float64) float64) float64 {
	counts := map[float64]float64{}
	for _, v := range all {
		counts[v]++
	}
	values := make([]float64, 0, len(counts))
	for v := range counts {
		values = append(values, v)
	}
	slices.Sort(values)
	var sum accumulator
	for _, a := range values {
		for _, b := range values {
			sum.add(distance(a, b) * counts[a] * counts[b])
		}
	}
	return sum.sum()
}
