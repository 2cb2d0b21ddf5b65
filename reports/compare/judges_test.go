package compare

import (
	"strings"
	"testing"

	"nightshift/reports/scoring"
)

// TestWhatIsSaidOfJudges: agreement with people, answers that hold verdicts and
// labels that are no grade reach the reader.
func TestWhatIsSaidOfJudges(t *testing.T) {
	c := &Comparison{Judges: []scoring.JudgeReport{{
		Scorer: "helpful", Model: "gpt-5", Judged: 90, Unreadable: 10, VerdictWords: 3, HumanUnknown: 7,
		Human: &scoring.Agreement{N: 40, Share: 0.75, Kappa: ptrTo(0.5), Weighted: ptrTo(0.61), Alpha: ptrTo(0.55),
			People: ptrTo(0.7)},
	}, {Scorer: "two", Human: &scoring.Agreement{N: 3, Share: 1}}}}
	notes := strings.Join(c.judgeGrids()[0].Notes, "\n")
	for _, part := range []string{
		"helpful: agrees with people on 75.0 % of 40 rows, kappa 0.500, weighted kappa 0.610, Krippendorff's alpha " +
			"0.550, of people alone 0.700",
		"two: agrees with people on 100.0 % of 3 rows, kappa ",
	} {
		if !strings.Contains(notes, part) {
			t.Errorf("no %q in the notes:\n%s", part, notes)
		}
	}
	warnings := strings.Join(judgeWarnings(c), "\n")
	for _, part := range []string{"judge helpful: 3 of 100 times an answer held words of a verdict itself",
		"judge helpful: 7 labels of people are none of its grades"} {
		if !strings.Contains(warnings, part) {
			t.Errorf("no %q in the warnings:\n%s", part, warnings)
		}
	}
}

func ptrTo(v float64) *float64 { return &v }
