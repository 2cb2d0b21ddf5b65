package plan

import (
	"cmp"
	"fmt"
	"slices"

	"nightshift/reports/scorers"
)

// decided is the only thing that a run can stop for, besides precision.
const decided = "decided"

// A Stopping says when the comparison needs no more rows. The zero value is never.
type Stopping struct {
	Decided             bool
	Smallest, Precision float64 // 0 is none
}

// stops reports whether the run may end before its last row.
func (c Compare) stops() bool { return c.StopWhen != "" || c.Precision > 0 }

// stopping checks that the comparison can be made while the run goes on.
func (c *checker) stopping() {
	k := c.plan.Compare
	c.oneOf("compare.stop_when", k.StopWhen, decided)
	if k.SmallestDifference > 0 && k.StopWhen == "" {
		c.at("compare.smallest_difference", "add stop_when: decided, or write precision:",
			"smallest_difference says when a difference is decided, and nothing asks for that")
	}
	if !k.stops() {
		return
	}
	path := "compare.stop_when"
	if k.StopWhen == "" {
		path = "compare.precision"
	}
	if n := len(c.plan.lanes()); n == 1 {
		c.at(path, "add a model or a variant", "there is nothing to compare: the plan has one model")
	}
	if c.plan.Datasets != nil && k.Average != AverageRows {
		c.at(path, "write average: rows, or give each dataset a run of its own", "the plan has several datasets, whose "+
			"average weighs all alike: rows in random order are a sample of all rows, and of the average by rows alone")
	}
	for i, m := range c.plan.Models {
		if cmp.Or(c.plan.allModes, m.Mode) == ModeBatch {
			c.at(path, "leave it out, or send live", "models[%d] goes in batches, whose answers all come at the end: "+
				"there is nothing to stop", i)
		}
	}
	c.scoresAtOnce(path)
}

// scoresAtOnce sees that the first scorer of each dataset, whose comparison decides, scores an answer as
// soon as it is there.
func (c *checker) scoresAtOnce(path string) {
	if c.plan.Datasets == nil {
		c.firstAtOnce(path, "the plan", c.plan.placedScorers())
		return
	}
	for _, d := range c.plan.Datasets {
		c.firstAtOnce(path, d.Name, slices.DeleteFunc(c.plan.placedScorers(), func(s placedScorer) bool {
			return s.datasets != nil && !slices.Contains(s.datasets, d.Name)
		}))
	}
}

func (c *checker) firstAtOnce(path, whose string, list []placedScorer) {
	if len(list) == 0 {
		c.at(path, "add scorers:", "there is nothing to decide by: %s has no scorer", whose)
		return
	}
	first := list[0]
	info, err := scorers.Lookup(first.Type)
	if err != nil || info.Kind == scorers.Pure {
		return // an unknown one is reported where it stands
	}
	why := map[scorers.Kind]string{
		scorers.Judged:    "asks a model after the run",
		scorers.Embedded:  "asks a model after the run",
		scorers.Combined:  "combines judges, which are asked after the run",
		scorers.OfCommand: "runs a program after the run",
		scorers.OfCorpus:  "is a statistic of all answers together",
	}[info.Kind]
	hint := "put a scorer first that does not; this one then scores the answers that there are"
	if i := slices.IndexFunc(list, func(s placedScorer) bool {
		info, err := scorers.Lookup(s.Type)
		return err == nil && info.Kind == scorers.Pure
	}); i >= 0 {
		hint = fmt.Sprintf("put %s first; the others then score the answers that there are", list[i].name())
	}
	c.at(path, hint, "the first scorer of %s decides when to stop, and %s %s", whose, first.name(), why)
}
