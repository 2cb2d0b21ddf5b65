package estimate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"nightshift"
	"nightshift/datasets"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/pricing"
	"nightshift/reports/stats"
	"nightshift/runner/plan"
	"nightshift/runner/prefix"
)

// A span is an estimate with its interval: nine times in ten the truth should lie
// between Low and High. It is a forecast, never usage.
type span struct {
	Low    float64 `json:"low"`
	Likely float64 `json:"likely"`
	High   float64 `json:"high"`
}

func (s span) times(n float64) span { return span{s.Low * n, s.Likely * n, s.High * n} }

// plus adds estimates whose errors go together, as those of one tokenizer do.
func (s span) plus(t span) span { return span{s.Low + t.Low, s.Likely + t.Likely, s.High + t.High} }

func (s span) atMost(most float64) span {
	return span{min(s.Low, most), min(s.Likely, most), min(s.High, most)}
}

// Tokens per byte of text before anything is measured. Common tokenizers make
// 0.2 to 0.35 tokens of a byte of English or code; of scripts that take two to
// four bytes a character they differ more.
var (
	plainTokens   = span{0.19, 0.27, 0.40}
	foreignTokens = span{0.22, 0.40, 0.75}
	mediaTokens   = span{0.1, 0.6, 1} // of the most that images and documents can be
	framing       = span{3, 10, 40}   // of a request: roles and separators
)

// Tokens of an average answer before there has been one: between a word and a
// page, and more where the model is told to think.
var (
	answerTokens  = span{5, 300, 2000}
	thinkingWords = span{50, 1500, 16000}
)

// measured is what a look at the rows says of a model's requests.
type measured struct {
	looked, unsendable      int64
	problem                 string  // of the first row that cannot be sent
	requests                float64 // a row: one for each of its turns
	plain, foreign, media   float64 // bytes a row, over its requests; media in tokens at most
	resent                  float64 // answers a row that later turns send again
	cap, worstIn, worstOut  float64 // output a request at most; the worst case a row, in tokens
	worstCost               float64 // dollars a row
	largestCost             float64 // dollars of the dearest request
	largestIn, largestToken int64   // input and all tokens of the largest request
	uncapped                bool    // nothing bounds some answers
	body                    float64 // bytes of the request bodies a row
	target                  float64 // bytes of the targets a row
	turns, tooLong          int64   // requests of the longest row; rows longer than a batch takes
	spread                  float64 // relative standard error of what is extrapolated
	prompts                 prefix.Finder
	first                   *nightshift.Sample
	firstBody               []byte
}

// lookedRows bounds how many rows are encoded; the rest are taken to be like
// them.
const lookedRows = 20_000

// look is look of each model's own rows: those with the templates of its variant.
func (j *job) look(ctx context.Context, encoders []*encoder) ([]*measured, error) {
	all := make([]*measured, len(encoders))
	for i, e := range encoders {
		if all[i] != nil {
			continue
		}
		rows, alike, places := j.RowsOf(e.model.Name), []*encoder{}, []int{}
		for k, other := range encoders {
			if j.RowsOf(other.model.Name) == rows {
				alike, places = append(alike, other), append(places, k)
			}
		}
		found, err := look(ctx, rows, alike)
		if err != nil {
			return nil, err
		}
		for k, at := range places {
			all[at] = found[k]
		}
	}
	return all, nil
}

// look encodes rows for every model: all of them, or those from eight places
// of a large dataset.
func look(ctx context.Context, d *datasets.Dataset, encoders []*encoder) ([]*measured, error) {
	all := make([]*measured, len(encoders))
	for i := range all {
		all[i] = &measured{}
	}
	places, each := whereToLook(d)
	sizes := make([][]float64, len(encoders)) // mean bytes a row, by place
	for _, chunk := range places {
		before := make([]measured, len(all))
		for i, m := range all {
			before[i] = *m
		}
		n := each
		for s, err := range d.Read(ctx, chunk) {
			var bad *datasets.RowError
			if err != nil && !errors.As(err, &bad) {
				return nil, err
			}
			if err == nil {
				for i, e := range encoders {
					all[i].add(e, s)
				}
			}
			if n--; n == 0 {
				break
			}
		}
		for i, m := range all {
			if rows := float64(m.looked - before[i].looked); rows > 0 {
				sizes[i] = append(sizes[i], (m.plain+m.foreign-before[i].plain-before[i].foreign)/rows)
			}
		}
	}
	for i, m := range all {
		m.average()
		if len(sizes[i]) > 1 && each > 0 {
			mean, se := stats.MeanSE(sizes[i])
			m.spread = stats.TQuantile(0.95, float64(len(sizes[i])-1)) * se / max(mean, 1)
		}
	}
	return all, nil
}

// whereToLook picks slices, and how many rows of each; 0 is all.
func whereToLook(d *datasets.Dataset) (places []int, each int) {
	var some []int
	for i, s := range d.Chunks() {
		if s.Selected > 0 {
			some = append(some, i)
		}
	}
	if d.Info().Selected <= lookedRows {
		return some, 0
	}
	const most = 8
	if len(some) <= most {
		return some, lookedRows / len(some)
	}
	for i := range most {
		places = append(places, some[i*(len(some)-1)/(most-1)])
	}
	return places, lookedRows / most
}

// add looks at one row.
func (m *measured) add(e *encoder, s nightshift.Sample) {
	prepared, err := e.all(s)
	if m.first == nil {
		m.first, m.firstBody = &s, prepared[0].Body
	}
	m.looked++
	if err != nil {
		if m.unsendable++; m.problem == "" {
			m.problem = fmt.Sprintf("%s:%d: %v", s.File, s.Line, err)
		}
		return
	}
	m.target += float64(len(s.Target))
	for _, p := range prepared {
		m.request(e, s, p)
	}
	if e.shares() {
		req := e.pool.Request(s)
		m.prompts.Add(&req)
	}
}

// request adds a request, and the turns after it.
func (m *measured) request(e *encoder, s nightshift.Sample, p providers.Prepared) {
	foreign := foreignShare(p.Body)
	turns := len(s.Turns)
	m.turns = max(m.turns, int64(turns+1))
	m.body += float64(len(p.Body)) * float64(turns+1)
	if most := e.model.Endpoint.Batch.MaxLine; most > 0 && int64(len(p.Body)) > most {
		m.tooLong++
	}
	text := p.InputText * int64(turns+1)
	for i, t := range s.Turns { // each turn sends those before it again
		text += int64(len(t) * (turns - i))
	}
	m.requests += float64(turns + 1)
	m.plain += float64(text) * (1 - foreign)
	m.foreign += float64(text) * foreign
	m.media += float64(p.InputOther) * float64(turns+1)
	m.resent += float64(turns*(turns+1)) / 2
	m.worst(e, s, p, e.cap(p))
}

// worst adds the most that a row's requests can use. 32 and 16 tokens are for
// what a server puts around a request and a message.
func (m *measured) worst(e *encoder, s nightshift.Sample, p providers.Prepared, most int64) {
	m.cap += float64(most) * float64(len(s.Turns)+1)
	m.uncapped = m.uncapped || most == 0 && p.Texts == 0
	in := p.InputText + p.InputOther + 32 + 16*int64(len(s.Messages)+1)
	for turn := 0; ; turn++ {
		m.worstIn += float64(in)
		m.worstOut += float64(most)
		m.largestIn, m.largestToken = max(m.largestIn, in), max(m.largestToken, in+most)
		if e.model.Price != nil {
			cost := worstCost(e.model, in, most, p.Media)
			m.worstCost += cost
			m.largestCost = max(m.largestCost, cost)
		}
		if turn == len(s.Turns) {
			return
		}
		in += most + int64(len(s.Turns[turn])) + 32
	}
}

// average turns sums over the rows looked at into figures a row.
func (m *measured) average() {
	n := max(float64(m.looked), 1)
	for _, f := range []*float64{&m.requests, &m.body, &m.target, &m.plain, &m.foreign, &m.media, &m.resent, &m.cap,
		&m.worstIn, &m.worstOut, &m.worstCost} {
		*f /= n
	}
	if m.requests > 0 {
		m.cap /= m.requests
	}
}

func foreignShare(body []byte) float64 {
	n := 0
	for _, c := range body {
		if c >= 0x80 {
			n++
		}
	}
	return float64(n) / float64(max(len(body), 1))
}

// A modelForecast is what one model, or one judge, will use and cost.
type modelForecast struct {
	Model    string `json:"model"`
	ModelID  string `json:"model_id"`
	Endpoint string `json:"endpoint"`
	Protocol string `json:"protocol"`
	URL      string `json:"url"`
	Judge    bool   `json:"judge,omitempty"`

	Requests float64 `json:"requests"` // without retries
	Input    span    `json:"input_tokens"`
	Output   span    `json:"output_tokens"`
	CostUSD  *span   `json:"cost_usd"` // null when no price is known
	PriceID  string  `json:"price_id,omitempty"`
	// AtMost is what a budget reserves in all: no answer is longer than its cap
	// and no tokenizer makes more tokens than bytes. null without a cap.
	AtMostTokens *float64 `json:"at_most_tokens"`
	AtMostUSD    *float64 `json:"at_most_usd"`
	// Measured says on how many real answers the estimate rests; 0 is none.
	Measured int `json:"measured"`

	// Batch says how the rows travel; null for a model that is live.
	Batch *batchForecast `json:"batch,omitempty"`
	// Caching says what the prompts share; absent where that is nothing to cache.
	Caching *cacheForecast `json:"caching,omitempty"`

	Unsendable int64  `json:"unsendable_rows,omitempty"`
	Problem    string `json:"unsendable_example,omitempty"`

	model   plan.ResolvedModel
	largest measured
	latency span // seconds an answer; zero when not measured
	perRow  float64
}

// forecastModel works out a model's figures for rows rows (times epochs).
func forecastModel(e *encoder, m *measured, c *calibration, rows float64) modelForecast {
	f := modelForecast{
		Model: e.model.Name, ModelID: e.model.ModelID, Endpoint: e.model.Endpoint.Name, Protocol: e.dialect(),
		URL:        e.target(),
		Unsendable: m.unsendable, Problem: m.problem, PriceID: e.model.PriceID, model: e.model, largest: *m,
		Requests: m.requests * rows, perRow: m.requests,
	}
	answer := c.answer(priorAnswer(e.model, m.cap), m.cap)
	f.Output = answer.times(f.Requests)
	f.Input = c.input(m).plus(answer.times(m.resent)).times(rows)
	f.Input.Low *= 1 - min(m.spread, 0.9)
	f.Input.High *= 1 + m.spread
	f.Measured, f.latency = c.answers(), c.seconds()
	if !m.uncapped {
		f.AtMostTokens = new((m.worstIn + m.worstOut) * rows)
	}
	f.price(e.model.Price, m.worstCost*rows, m.uncapped)
	f.Caching = m.caching(e.model, rows)
	return f
}

// priorAnswer is how long an average answer may be before there has been one.
func priorAnswer(m plan.ResolvedModel, most float64) span {
	if !formats.Writes(m.Endpoint.Protocol) {
		return span{}
	}
	s := answerTokens
	for _, p := range m.Params {
		switch p.Name {
		case "thinking", "reasoning", "reasoning_effort", "output_config":
			s = thinkingWords
		}
	}
	if most > 0 { // a cap is mostly set with room to spare
		s = s.atMost(most)
		s.Likely = min(s.Likely, max(most/2, 1))
	}
	return s
}

// price fills in the money.
func (f *modelForecast) price(p *pricing.Price, worst float64, uncapped bool) {
	if f.CostUSD = f.costIn(p, f.model.Tier()); f.CostUSD != nil && !uncapped {
		f.AtMostUSD = &worst
	}
}

// costIn is the cost in a service tier; nil where no price of it is known.
func (f *modelForecast) costIn(p *pricing.Price, tier string) *span {
	if p == nil || !p.Covers(tier) {
		return nil
	}
	n := max(f.Requests, 1)
	each := func(in, out float64) float64 {
		u := nightshift.Usage{ServiceTier: tier, Input: nightshift.Tokens(int64(math.Ceil(in / n))),
			Output: nightshift.Tokens(int64(math.Ceil(out / n)))}
		cost, _ := pricing.Cost(*p, u)
		return cost.Dollars() * f.Requests
	}
	return &span{each(f.Input.Low, f.Output.Low), each(f.Input.Likely, f.Output.Likely),
		each(f.Input.High, f.Output.High)}
}
