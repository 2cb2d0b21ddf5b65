package simulator

import "slices"

// Answers are answers known beforehand: prompt → model → text.
type Answers map[string]map[string]string

// Models names the models that have answers.
func (a Answers) Models() []string {
	names := map[string]bool{}
	for _, models := range a {
		for m := range models {
			names[m] = true
		}
	}
	return slices.Sorted(func(yield func(string) bool) {
		for n := range names {
			if !yield(n) {
				return
			}
		}
	})
}

func (a Answers) has(model string) bool { return slices.Contains(a.Models(), model) }
