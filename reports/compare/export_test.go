package compare

// What tests say of a comparison.
const (
	Better   = better
	Worse    = worse
	NotShown = notShown
	Withheld = withheld
)

type ScorerResult = scorerResult
