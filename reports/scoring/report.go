package scoring

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// judgesDir holds a directory for each judge of a run.
const judgesDir = "judges"

// A JudgeReport says what one judge was asked, what that cost, and how far its
// word can be taken. Nil pointers are unknown.
type JudgeReport struct {
	Scorer       string          `json:"scorer"`
	Type         string          `json:"type"`
	Model        string          `json:"model"` // model id
	Endpoint     string          `json:"endpoint"`
	Params       json.RawMessage `json:"params,omitempty"`
	TemplateHash string          `json:"template_hash"`

	Requests   int64 `json:"requests"`   // answered or not, asking again included
	Reasked    int64 `json:"reasked"`    // of them, because a reply could not be read
	Failed     int64 `json:"failed"`     // of them, without a reply
	Judged     int64 `json:"judged"`     // answers, or pairs, with a verdict
	Unreadable int64 `json:"unreadable"` // answers, or pairs, without one

	// VerdictWords counts judgements of answers that hold words of a verdict
	// themselves, such as GRADE: C, which may be meant for the judge.
	VerdictWords int64 `json:"answers_with_verdict_words,omitempty"`

	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	CostNanoUSD  int64 `json:"cost_nano_usd"`
	CostUnknown  int64 `json:"rows_without_cost"`

	// Of pairwise judges.
	Consistency   *itemRate `json:"position_consistency,omitempty"` // same winner in both orders
	FirstPosition *itemRate `json:"first_position_win_rate,omitempty"`
	Longer        *itemRate `json:"longer_answer_win_rate,omitempty"`

	// Human is the agreement with the labels that rows carry.
	Human *Agreement `json:"human_agreement,omitempty"`
	// HumanUnknown counts labels of people that are none of the judge's.
	HumanUnknown int64 `json:"human_labels_not_on_offer,omitempty"`
	// SameFamily lists the models that come from the judge's own family.
	SameFamily []string `json:"same_family,omitempty"`
}

// An itemRate is a share of n.
type itemRate struct {
	Value float64 `json:"value"`
	N     int     `json:"n"`
}

// An Agreement of a judge with people; see [stats.Agreement]. Figures are nil
// where they are undefined.
type Agreement struct {
	N     int      `json:"n"` // rows
	Share float64  `json:"share"`
	Kappa *float64 `json:"kappa"`
	// Weighted is Cohen's kappa with quadratic weights, of three grades or more.
	Weighted *float64 `json:"weighted_kappa,omitempty"`
	// Alpha is Krippendorff's, of the judge and all people; People that of
	// people alone.
	Alpha  *float64 `json:"krippendorff_alpha,omitempty"`
	People *float64 `json:"krippendorff_alpha_people,omitempty"`
}

// Dir is where a judge's requests and replies are kept.
func (d Described) Dir(run string) string { return filepath.Join(run, judgesDir, d.Table()) }

// WriteFile keeps the report beside the judge's runs.
func (r JudgeReport) WriteFile(dir string) error {
	return writeJSON(filepath.Join(dir, "judge.json"), r)
}

// ReadJudges returns the reports of all judges of a run, by name.
func ReadJudges(run string) ([]JudgeReport, error) {
	entries, err := os.ReadDir(filepath.Join(run, judgesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []JudgeReport
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(run, judgesDir, e.Name(), "judge.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has not got so far
		}
		var r JudgeReport
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b JudgeReport) int {
		if a.Scorer < b.Scorer {
			return -1
		}
		return 1
	})
	return all, nil
}
