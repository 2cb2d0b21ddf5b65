package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift/reports/render"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// Options say what to compare, and how. Only Runs must be given.
type Options struct {
	Runs []string // run directories
	// Names are what people call runs, by their directory, where that is another.
	Names map[string]string
	// BaselineRun is an earlier run: each model is compared with the model of
	// its name there, in place of one baseline for all.
	BaselineRun string
	Models      []string // names of models to compare; nil is all
	Baseline    string   // name of a model; default the plan's, else the first
	AllPairs    bool     // compare every pair and not only with the baseline
	// Along is what models with variants are compared along: models, variants or all;
	// default the plan's.
	Along string
	// Average is what the average over several datasets weighs each by: datasets (all
	// alike) or rows; default the plan's.
	Average string
	Scorers []string // names, the headline first; nil is all, as the plan orders them
	Alpha   float64  // level of significance; default the plan's, else 0.05
	// ErrorsAsZero counts requests that failed as wrong answers. Default: they
	// have no score, and their share is shown.
	ErrorsAsZero bool
	// AnyPrompts compares runs also where the rows of one id differ in prompt
	// or target.
	AnyPrompts bool
	// Disagreements is how many of them are shown in full; 0 is 20, negative
	// none.
	Disagreements int
	Gates         []string // conditions; nil are those of the runs' plans
	// MaxErrors is the share of rows without an answer above which no gate can
	// be passed; 0 is 1 %.
	MaxErrors float64
}

// A Comparison says which model is better: scores and differences with their
// intervals, coverage, costs. Nil pointers are unknown or undefined. Text,
// Markdown and JSON are renderings of it.
type Comparison struct {
	Created  time.Time     `json:"created_at"`
	Runs     []runFacts    `json:"runs"`
	Items    int           `json:"items"` // distinct rows over all runs
	Epochs   int           `json:"epochs"`
	Clusters *clusterFacts `json:"clusters,omitempty"` // nil when all rows are independent
	Alpha    float64       `json:"alpha"`
	// ErrorsAsZero says that requests that failed count as wrong answers.
	ErrorsAsZero bool   `json:"errors_as_zero,omitempty"`
	Baseline     string `json:"baseline,omitempty"` // empty where there is no single one
	// Along is models or variants where each model is compared with one of its own;
	// empty otherwise.
	Along    string          `json:"along,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Models   []comparedModel `json:"models"`
	Scorers  []scorerResult  `json:"scorers"` // the first is the headline
	// Preferences are the results of pairwise judges, Judges what is known of
	// all judges.
	Preferences []preference          `json:"preferences,omitempty"`
	Judges      []scoring.JudgeReport `json:"judges,omitempty"`
	// Cost of everything shown: of the models, and apart from them of judges.
	Cost money `json:"cost"`
	// Stopping is nil where no run may stop early. Otherwise all intervals and p are those of
	// confidence sequences.
	Stopping  *stopping    `json:"stopping,omitempty"`
	JudgeCost *money       `json:"judge_cost,omitempty"`
	Gates     []gateResult `json:"gates,omitempty"`
	// Invalid says why no gate can be passed; empty when they can.
	Invalid    string `json:"invalid,omitempty"`
	Incomplete bool   `json:"incomplete,omitempty"` // it is invalid because rows have not run

	group     string          // along models or variants: the model or variant that others are compared with
	baselines map[string]bool // labels of models that others are compared with
}

// money is a sum that may be a lower bound.
type money struct {
	NanoUSD int64   `json:"nano_usd"`
	USD     float64 `json:"usd"`
	AtLeast bool    `json:"at_least"` // some part of it is unknown
}

func (m money) String() string {
	if m.NanoUSD == 0 && m.AtLeast {
		return render.Unknown
	}
	return render.Money(m.NanoUSD, m.AtLeast)
}

func (m *money) add(n int64, atLeast bool) {
	m.NanoUSD += n
	m.USD = float64(m.NanoUSD) / 1e9
	m.AtLeast = m.AtLeast || atLeast
}

// A runFacts is one run of a Comparison.
type runFacts struct {
	Name       string     `json:"name"`
	Dir        string     `json:"dir"`
	Baseline   bool       `json:"baseline,omitempty"` // the earlier run
	State      string     `json:"state"`
	Tool       string     `json:"tool"`
	Dataset    string     `json:"dataset_hash"`
	Rows       int64      `json:"dataset_rows"`
	PriceTable string     `json:"price_table,omitempty"`
	Started    *time.Time `json:"started_at"`
	Finished   *time.Time `json:"finished_at"`
}

// clusterFacts say how items depend on each other.
type clusterFacts struct {
	Clusters   int `json:"clusters"`
	Duplicates int `json:"duplicate_prompts"` // items whose prompt an earlier one has
}

// A comparedModel is one column of a Comparison: a model of one run.
type comparedModel struct {
	Label     string            `json:"label"` // unique: the model's name, with its run's where that is needed
	Model     string            `json:"model"`
	Run       string            `json:"run"`
	Earlier   bool              `json:"earlier,omitempty"`    // of the baseline run
	Variant   string            `json:"variant,omitempty"`    // how the model was asked
	VariantOf string            `json:"variant_of,omitempty"` // the model's name without it
	ModelID   string            `json:"model_id"`
	Endpoint  string            `json:"endpoint,omitempty"`
	Params    json.RawMessage   `json:"params,omitempty"`
	Served    map[string]int64  `json:"served_models,omitempty"`
	Samples   int64             `json:"samples"` // items × epochs
	Stops     stopMix           `json:"stops"`
	Cost      money             `json:"cost"`
	NoCost    int64             `json:"rows_without_cost"`
	Per1000   *float64          `json:"usd_per_1000,omitempty"`
	LatencyMS stats.Percentiles `json:"latency_ms"`
	Tokens    tokenSums         `json:"tokens"`
}

// A stopMix counts how answers ended.
type stopMix struct {
	Completed int64            `json:"completed"`
	Truncated int64            `json:"truncated"`
	Refused   int64            `json:"refused"`
	Empty     int64            `json:"empty"`
	Errors    int64            `json:"errors"`
	NotRun    int64            `json:"not_run"`
	Suspect   int64            `json:"suspected_truncation"` // ended at the cap, or reasoned without saying anything
	Reasons   map[string]int64 `json:"reasons"`
}

// tokenSums are tokens of the answers on record, as far as reported; nil where no
// answer reports them.
type tokenSums struct {
	Input      *int64 `json:"input"` // cached ones included
	CacheRead  *int64 `json:"cache_read"`
	CacheWrite *int64 `json:"cache_write"`
	Output     *int64 `json:"output"`
	Reasoning  *int64 `json:"reasoning"`
}

// addKnown adds what is known to a sum.
func addKnown(sum **int64, tokens *int64) {
	if tokens != nil {
		*sum = new(view.Value(*sum) + *tokens)
	}
}

// A scorerResult is what one scorer says of all models.
type scorerResult struct {
	scoring.Described
	// Dataset is the one of several that the result is of; Name is then DATASET/SCORER.
	Dataset       string         `json:"dataset,omitempty"`
	Models        []modelScore   `json:"models"`
	Parts         []partScore    `json:"parts,omitempty"`
	Deltas        []delta        `json:"deltas,omitempty"`
	Effects       []effect       `json:"effects,omitempty"` // main effects, of a grid of variants
	Categories    []categoryRow  `json:"categories,omitempty"`
	Macro         []macroScore   `json:"macro,omitempty"`
	Repeats       []repeatScore  `json:"repeats,omitempty"`
	Disagreements []disagreement `json:"disagreements,omitempty"`
	// Differing is how many items the models do not all score alike.
	Differing int `json:"differing_items"`

	scored scoring.Described // the scorer itself
	head   bool              // it stands for its dataset in the average
}

// An interval has two ends.
type interval struct {
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

// A modelScore is how one model did by one scorer. Counts are of samples,
// which are items times epochs; N is of items.
type modelScore struct {
	Label    string    `json:"label"`
	N        int       `json:"n"`
	Mean     *float64  `json:"mean"`
	SE       *float64  `json:"se"`
	Interval *interval `json:"interval"`
	Method   string    `json:"method"`
	Scored   int64     `json:"scored"`
	NoAnswer int64     `json:"no_answer"`
	Unscored int64     `json:"unscored"`
	Errors   int64     `json:"errors"`
	NotRun   int64     `json:"not_run"`
	Total    int64     `json:"total"`
	Bounds   *interval `json:"bounds,omitempty"` // what missing scores leave possible; only where it matters
	// ErrorsAsZero says that errors count as wrong, and not as missing.
	ErrorsAsZero bool `json:"errors_as_zero,omitempty"`
	// Completed and Truncated are the means over answers that ended by
	// themselves, and over those that were cut off.
	Completed part `json:"completed"`
	Truncated part `json:"truncated"`
	// Corpus is the statistic of all answers together, where the scorer has
	// one beside the mean (chrF).
	Corpus *float64 `json:"corpus,omitempty"`
	// Words are the usual figures of a statistic whose score is none of them
	// (perplexity).
	Words string `json:"words,omitempty"`

	PerCorrectUSD     *float64 `json:"usd_per_correct"`
	PerCorrectSE      *float64 `json:"usd_per_correct_se"`
	SecondsPerCorrect *float64 `json:"seconds_per_correct"`
	Frontier          bool     `json:"frontier"` // no other model is both cheaper and better
}

// Missing is the share of samples without a score.
func (m modelScore) Missing() float64 {
	if m.Total == 0 {
		return 0
	}
	missing := m.Unscored + m.NotRun
	if !m.ErrorsAsZero {
		missing += m.Errors
	}
	return float64(missing) / float64(m.Total)
}

// A part is a mean over some samples; nil without any.
type part struct {
	N    int64    `json:"n"`
	Mean *float64 `json:"mean"`
}

// A delta is one model against another on the items that both have a score
// for. It is positive when the model is better.
type delta struct {
	Label    string    `json:"label"`
	Against  string    `json:"against"`
	Differs  []string  `json:"differs,omitempty"` // what the one was asked otherwise; only with variants
	N        int       `json:"n"`
	LeftOut  int       `json:"left_out"`
	Delta    *float64  `json:"delta"`
	SE       *float64  `json:"se"`
	Interval *interval `json:"interval"`
	Method   string    `json:"method"`
	P        *float64  `json:"p"`
	Adjusted *float64  `json:"p_adjusted"`
	Test     string    `json:"test"`
	Win      int       `json:"win"`
	Tie      int       `json:"tie"`
	Loss     int       `json:"loss"`
	// Differing counts the items, or clusters of them, that differ at all.
	Differing int `json:"differing"`
	// Detectable is the smallest gap that these items show four times out of
	// five, null where no gap could be shown; Needed how many items would show
	// the gap that was seen.
	Detectable *float64 `json:"smallest_detectable"`
	Needed     *int     `json:"items_needed,omitempty"`
	Verdict    verdict  `json:"verdict"`
	Why        string   `json:"why"`            // the verdict in words
	Note       string   `json:"note,omitempty"` // what the reader has to know of verdict and interval
	// NewlyFailing are items that the other had right and the model has not,
	// NewlyPassing the reverse: the first hundred ids.
	NewlyFailing      []string `json:"newly_failing,omitempty"`
	NewlyPassing      []string `json:"newly_passing,omitempty"`
	NewlyFailingCount int      `json:"newly_failing_count"`
	NewlyPassingCount int      `json:"newly_passing_count"`

	// Peeking is how wide the interval of a run that may stop early is, as a multiple of
	// one for a fixed number of items.
	Peeking *float64 `json:"width_over_fixed,omitempty"`

	rule             *scoring.StopRule // nil where no run may stop early
	paired           stats.Paired
	corpus           bool      // of a statistic of all answers together
	readings         []reading // as it is; where scores are missing also against and for the model
	missing          string    // what is missing, where it may matter
	failing, passing []int32   // items of the matrix
}

// A verdict on a difference.
type verdict string

const (
	better   verdict = "better"
	worse    verdict = "worse"
	notShown verdict = "no difference shown"
	tooSmall verdict = "difference too small" // to matter, as the plan says
	withheld verdict = "withheld"             // cannot tell: what is missing could turn it
)

// A categoryRow is one category's scores. Deltas stand as in the ScorerResult;
// no interval is given under five items.
type categoryRow struct {
	Category string      `json:"category"`
	Items    int         `json:"items"`
	Models   []cellScore `json:"models"`
	Deltas   []cellScore `json:"deltas,omitempty"`
}

// A cellScore is a mean of a category.
type cellScore struct {
	N        int       `json:"n"`
	Mean     *float64  `json:"mean"`
	Interval *interval `json:"interval"`
}

// A macroScore is the unweighted mean over categories.
type macroScore struct {
	Label string   `json:"label"`
	Mean  *float64 `json:"mean"`
	SE    *float64 `json:"se"`
}

// A repeatScore says what several answers to each item add.
type repeatScore struct {
	Label      string     `json:"label"`
	Epochs     int        `json:"epochs"`
	Within     *float64   `json:"variance_within"`
	Between    *float64   `json:"variance_between"`
	Removable  *float64   `json:"removable_share"` // of the variance of the mean, by more epochs
	SEInfinite *float64   `json:"se_endless_epochs"`
	Unstable   int        `json:"unstable_items"` // neither always right nor always wrong
	PassAtK    []scoreAtK `json:"pass_at_k"`
	PassHatK   []scoreAtK `json:"pass_hat_k"`
	Majority   part       `json:"majority"`
	Best       part       `json:"best"`
}

// A scoreAtK is a mean over items of a statistic of k answers.
type scoreAtK struct {
	K    int      `json:"k"`
	Mean *float64 `json:"mean"`
	SE   *float64 `json:"se"`
}

// A disagreement is an item that models score differently.
type disagreement struct {
	ID     string            `json:"id"`
	Row    int64             `json:"row"` // of the first run
	Spread float64           `json:"spread"`
	System string            `json:"system,omitempty"`
	Prompt string            `json:"prompt"` // messages as JSON
	Target string            `json:"target,omitempty"`
	Models []disagreedAnswer `json:"models"`

	item int32
}

// A disagreedAnswer is one model's first answer to an item in dispute.
type disagreedAnswer struct {
	Label       string   `json:"label"`
	Mean        *float64 `json:"mean"` // over epochs
	Output      string   `json:"output"`
	Answer      string   `json:"answer,omitempty"`
	Explanation string   `json:"explanation,omitempty"`
}

// An IncomparableError says why runs cannot be compared.
type IncomparableError struct{ Why string }

func (e *IncomparableError) Error() string { return e.Why }

func incomparable(format string, args ...any) error {
	return &IncomparableError{fmt.Sprintf(format, args...)}
}

// Compare reads the runs and compares their models. It reads files only. An
// [*IncomparableError] says that the runs do not fit together.
func Runs(o Options) (*Comparison, error) {
	if len(o.Runs) == 0 {
		return nil, errors.New("no run to compare")
	}
	m, err := loadMatrix(o)
	if err != nil {
		return nil, err
	}
	c := m.comparison()
	c.Stopping = m.stopping(c)
	if err := m.evaluate(c); err != nil {
		return nil, err
	}
	if err := m.describeItems(c); err != nil {
		return nil, err
	}
	if err := m.preferences(c); err != nil {
		return nil, err
	}
	if err := c.knows(o.Gates); err != nil {
		return nil, err
	}
	c.Warnings = append(c.Warnings, m.warnings(c)...)
	c.gate(m.gates(), o.MaxErrors)
	return c, nil
}

func rangeOf(v stats.Interval) *interval {
	if stats.Defined(v.Lower) == nil || stats.Defined(v.Upper) == nil {
		return nil
	}
	return &interval{v.Lower, v.Upper}
}

// model finds a column by its label or, where that is unique among the runs
// that are not the earlier one, its model name. The name of a model with variants
// stands for all of them, that of a variant for it with every model.
func (c *Comparison) model(name string) (labels []string) {
	var found, several []string
	for _, m := range c.Models {
		switch {
		case m.Label == name:
			return []string{name}
		case m.Earlier:
		case m.Model == name:
			found = append(found, m.Label)
		case m.Variant != "" && (m.VariantOf == name || m.Variant == name):
			several = append(several, m.Label)
		}
	}
	if len(found) == 1 {
		return found
	}
	return several
}

// scoreOf finds what a scorer says of a model.
func (s *scorerResult) scoreOf(label string) *modelScore {
	i := slices.IndexFunc(s.Models, func(m modelScore) bool { return m.Label == label })
	if i < 0 {
		return nil
	}
	return &s.Models[i]
}
