package compare

// What tests say of a comparison.
const (
	Better   = better
	Worse    = worse
	NotShown = notShown
	Withheld = withheld
)

type ScorerResult = scorerResult

// Headline says in a sentence of what the history is.
func (h *History) Headline() string { return h.headline() }
