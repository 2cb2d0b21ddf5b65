package scorers

import "errors"

// Combined is the kind of scorers that combine what others have said: use
// [NewJury].
const Combined Kind = "combined"

type juryParams struct {
	Judges []string `json:"judges" required:"true" doc:"names of the plan's scorers whose verdicts are combined, two or more"`
	Rule   string   `json:"rule" doc:"majority: the value that most judges gave; mean: their average"`
}

// A Jury combines the scores that several judges gave to one answer.
type Jury struct {
	base
	p juryParams
}

// NewJury builds a scorer of type panel.
func NewJury(spec Spec) (*Jury, error) { return buildAs[*Jury](spec) }

func newJury(b base, p juryParams) (*Jury, error) {
	if err := oneOf("rule", p.Rule, "majority", "mean"); err != nil {
		return nil, err
	}
	if len(unique(append([]string(nil), p.Judges...))) < 2 {
		return nil, errors.New("judges: name two or more different scorers")
	}
	return &Jury{b, p}, nil
}

// Judges are the names of the scorers whose verdicts count.
func (j *Jury) Judges() []string { return j.p.Judges }

// Combine is the panel's verdict; see [Panel].
func (j *Jury) Combine(verdicts []Result) Result { return Panel(j.p.Rule, verdicts) }

func init() {
	register("panel", Combined, "1", "what several judges say together", juryParams{Judges: []string{}, Rule: "majority"}, newJury)
}
