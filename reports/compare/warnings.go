package compare

import (
	"math"
	"slices"
	"strings"

	"nightshift/reports/render"
	"nightshift/reports/scoring"
)

// fewMissing is the share of scores that may be missing without a warning.
const fewMissing = 0.01

// warnings say what weakens the comparison, the worst first.
func (m *matrix) warnings(c *Comparison) []string {
	w := append(truncationBanner(c), m.notices...)
	if len(c.Scorers)+len(c.Preferences) == 0 {
		w = append(w, "nothing has been scored: nightshift score RUN --scorer … does")
	}
	for i, s := range c.Scorers {
		w = append(w, s.coverageWarnings(i == 0)...)
	}
	for _, r := range c.Runs {
		if !scoring.Complete(r.State) {
			w = append(w, sprintf("%s is not finished (%s): figures are of what is on record", r.Name, r.State))
		}
	}
	for _, model := range c.Models {
		if model.NoCost > 0 {
			w = append(w, costUnknown(model.Label, model.NoCost))
		}
		if model.Stops.Suspect > 0 {
			w = append(w, sprintf("%s: %s answers look cut off though they are not marked so (as many tokens as the "+
				"limit allows, or reasoning without an answer)", model.Label, render.Count(model.Stops.Suspect)))
		}
		if len(model.Served) > 1 {
			w = append(w, sprintf("%s: asked for %s, answered by %s", model.Label, model.ModelID,
				render.Tally(model.Served)))
		}
	}
	if m.clusters != nil && m.clusters.Duplicates > 0 {
		w = append(w, sprintf("%s items ask what another one asks: they count as %s clusters, not as %s "+
			"independent items", render.Count(int64(m.clusters.Duplicates)), render.Count(int64(m.clusters.Clusters)),
			render.Count(int64(c.Items))))
	}
	return append(w, judgeWarnings(c)...)
}

func costUnknown(model string, answers int64) string {
	return sprintf("%s: the cost of %s answers is unknown: its total reads “at least”", model, render.Count(answers))
}

const truncatedAnswers = "TRUNCATED ANSWERS: "

// IsTruncation reports whether a warning of a comparison is about truncated answers.
func IsTruncation(warning string) bool { return strings.HasPrefix(warning, truncatedAnswers) }

// truncationBanner warns when a cap on tokens may have decided the result.
func truncationBanner(c *Comparison) []string {
	shares := make([]float64, len(c.Models))
	worst := 0
	for i, m := range c.Models {
		if answered := m.Stops.Completed + m.Stops.Truncated + m.Stops.Refused + m.Stops.Empty; answered > 0 {
			shares[i] = float64(m.Stops.Truncated) / float64(answered)
		}
		if shares[i] > shares[worst] {
			worst = i
		}
	}
	if len(shares) == 0 || shares[worst] <= fewMissing && shares[worst]-slices.Min(shares) <= coverageGap {
		return nil
	}
	var parts []string
	for i, m := range c.Models {
		parts = append(parts, sprintf("%s %s", m.Label, asPercent(shares[i])))
	}
	return []string{truncatedAnswers + join(parts, ", ") +
		". Raise max_tokens and run again before believing a difference"}
}

func (s *scorerResult) coverageWarnings(headline bool) []string {
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, m := range s.Models {
		lowest, highest = math.Min(lowest, m.Missing()), math.Max(highest, m.Missing())
	}
	if highest <= fewMissing && highest-lowest <= coverageGap {
		return nil
	}
	var w []string
	for _, m := range s.Models {
		if m.Missing() == 0 || m.Bounds == nil {
			continue
		}
		// Rows that did not run fail every scorer alike: once is enough.
		if !headline && m.Unscored == 0 {
			continue
		}
		w = append(w, sprintf("%s by %s: %s of %s scores are missing (%s errors, %s unscored, %s not run); with them "+
			"the mean would lie in %s",
			m.Label, s.Name, asPercent(m.Missing()), render.Count(m.Total), render.Count(m.Errors),
			render.Count(m.Unscored), render.Count(m.NotRun), m.Bounds.percents()))
	}
	return w
}

func judgeWarnings(c *Comparison) []string {
	var w []string
	for _, j := range c.Judges {
		if len(j.SameFamily) > 0 {
			w = append(w, sprintf("judge %s (%s) is of one family with %s, and judges tend to prefer their own",
				j.Scorer, j.Model, join(j.SameFamily, ", ")))
		}
		if j.Consistency != nil && j.Consistency.N >= 20 && j.Consistency.Value < 0.8 {
			w = append(w, sprintf("judge %s names the same winner in both orders in only %s of %d pairs", j.Scorer,
				asPercent(j.Consistency.Value), j.Consistency.N))
		}
		if j.Unreadable > 0 {
			w = append(w, sprintf("judge %s: %s of %s verdicts could not be read", j.Scorer, render.Count(j.Unreadable),
				render.Count(j.Judged+j.Unreadable)))
		}
		if j.VerdictWords > 0 {
			w = append(w, sprintf("judge %s: %s of %s times an answer held words of a verdict itself (as “GRADE: "+
				"C”), which may sway the judge; their explanations say so",
				j.Scorer, render.Count(j.VerdictWords), render.Count(j.Judged+j.Unreadable)))
		}
		if j.HumanUnknown > 0 {
			w = append(w, sprintf("judge %s: %s labels of people are none of its grades and are left out of "+
				"the agreement", j.Scorer, render.Count(j.HumanUnknown)))
		}
	}
	return w
}
