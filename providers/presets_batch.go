package providers

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"nightshift"
)

// A BatchAPI is what is known of an endpoint's batch API: the place where
// files of requests are handed in, to be answered within hours at a lower
// price. 0 is not known, or no limit.
type BatchAPI struct {
	Dialect string // how it is spoken to, one of [BatchDialects]; "" where there is none
	// BaseURL is where its paths begin: a URL, or a path on the endpoint's host.
	// "" is beside the path of the requests.
	BaseURL string

	MaxRows     int   // of one batch
	MaxBytes    int64 // of one batch's input
	MaxLine     int64 // bytes of one row
	MaxEnqueued int64 // tokens of all batches of a model that are away at once

	Window   time.Duration // within which a batch ends, where nothing else is asked for
	Poll     time.Duration // least time between two polls
	Keep     time.Duration // after the creation of a batch, its results vanish
	Discount float64       // price of a row as a part of the live price, for all models alike; 0 is not known

	Metadata bool // names and values can be put on a batch, and come back
	Cancel   bool // a batch can be cancelled
}

// Dialects of batch APIs.
const (
	BatchOpenAI     = "openai"     // files of lines, then a batch; copied by most
	BatchAzure      = "azure"      // the same at Azure: a file has to be processed first
	BatchZhipu      = "zhipu"      // the same at Zhipu
	BatchMistral    = "mistral"    // jobs over files
	BatchTogether   = "together"   // batches over files, in another shape
	BatchXAI        = "xai"        // batches over files, results in pages
	BatchGemini     = "gemini"     // operations over files
	BatchFireworks  = "fireworks"  // jobs over data sets, under ids of our own
	BatchAnthropic  = "anthropic"  // the rows in the request itself
	BatchOpenRouter = "openrouter" // the rows in the request itself, in another shape
)

// BatchDialects are the names of all dialects of batch APIs.
func BatchDialects() []string {
	return []string{BatchOpenAI, BatchAzure, BatchZhipu, BatchMistral, BatchTogether, BatchXAI, BatchGemini,
		BatchFireworks, BatchAnthropic, BatchOpenRouter}
}

// DefaultBatchDialect is that of servers which nothing is known of, by the
// format of their requests; "" where there is no usual one.
func DefaultBatchDialect(p nightshift.Protocol) string {
	switch p {
	case nightshift.Messages:
		return BatchAnthropic
	case nightshift.Gemini:
		return BatchGemini
	case nightshift.GeminiEmbeddings:
		return ""
	}
	return BatchOpenAI
}

const (
	hour = time.Hour
	day  = 24 * hour
	mb   = 1_000_000
)

// A batchFacts is what is known of one service.
type batchFacts struct {
	services  []string
	protocols []nightshift.Protocol // whose requests it takes
	api       BatchAPI
}

var chatFamily = []nightshift.Protocol{nightshift.Chat, responses, completions, embeddings}

// batchTable is what is known of the batch APIs of presets, in November 2026.
// docs/batches.md says what of it is uncertain.
var batchTable = []batchFacts{
	{[]string{"openai"}, chatFamily, BatchAPI{Dialect: BatchOpenAI, MaxRows: 50_000, MaxBytes: 200 * mb,
		Window: day, Keep: 30 * day, Discount: 0.5, Metadata: true, Cancel: true}},
	{[]string{"azure-openai"}, chatFamily, BatchAPI{Dialect: BatchAzure, MaxRows: 50_000, MaxBytes: 200 * mb,
		Window: day, Poll: time.Minute, Discount: 0.5, Metadata: true, Cancel: true}},
	{[]string{"anthropic"}, []nightshift.Protocol{nightshift.Messages}, BatchAPI{Dialect: BatchAnthropic,
		MaxRows: 100_000, MaxBytes: 256 * mb, Window: day, Poll: 10 * time.Second, Keep: 29 * day,
		Discount: 0.5, Cancel: true}},
	{[]string{"gemini"}, []nightshift.Protocol{gemini}, BatchAPI{Dialect: BatchGemini, MaxBytes: 2000 * mb,
		MaxEnqueued: 3_000_000, Window: 2 * day, Keep: 2 * day, Discount: 0.5, Cancel: true}},
	{[]string{"mistral"}, []nightshift.Protocol{nightshift.Chat, embeddings}, BatchAPI{Dialect: BatchMistral,
		MaxRows: 1_000_000, MaxBytes: 512 * mb, Window: day, Discount: 0.5, Metadata: true,
		Cancel: true}},
	{[]string{"groq"}, []nightshift.Protocol{nightshift.Chat}, BatchAPI{Dialect: BatchOpenAI, MaxRows: 50_000,
		MaxBytes: 200 * mb, Window: day, Keep: 30 * day, Discount: 0.5, Metadata: true,
		Cancel: true}},
	{[]string{"together"}, []nightshift.Protocol{nightshift.Chat, completions}, BatchAPI{Dialect: BatchTogether,
		MaxRows: 50_000, MaxBytes: 100 * mb, MaxLine: 10 * mb, MaxEnqueued: 30_000_000_000, Window: day,
		Poll: 30 * time.Second, Cancel: true}},
	{[]string{"deepinfra"}, []nightshift.Protocol{nightshift.Chat, completions, embeddings}, BatchAPI{
		Dialect: BatchOpenAI, BaseURL: "/v1", MaxRows: 50_000, MaxBytes: 200 * mb, Window: day,
		Metadata: true, Cancel: true}},
	{[]string{"xai"}, []nightshift.Protocol{nightshift.Chat, responses}, BatchAPI{Dialect: BatchXAI, MaxRows: 50_000,
		MaxBytes: 200 * mb, MaxLine: 25 * mb, Window: 30 * day, Cancel: true}},
	{[]string{"fireworks"}, []nightshift.Protocol{nightshift.Chat}, BatchAPI{Dialect: BatchFireworks,
		BaseURL: "/v1/accounts/" + accountPlaceholder, MaxBytes: 150 * mb, Window: day, Discount: 0.5}},
	{[]string{"dashscope"}, []nightshift.Protocol{nightshift.Chat, embeddings}, BatchAPI{Dialect: BatchOpenAI,
		MaxRows: 50_000, MaxBytes: 500 * mb, Window: day, Discount: 0.5, Cancel: true}},
	{[]string{"moonshot"}, []nightshift.Protocol{nightshift.Chat}, BatchAPI{Dialect: BatchOpenAI, MaxBytes: 100 * mb,
		Window: day, Metadata: true, Cancel: true}},
	{[]string{"zhipu"}, []nightshift.Protocol{nightshift.Chat, embeddings}, BatchAPI{Dialect: BatchZhipu,
		MaxRows: 50_000, MaxBytes: 100 * mb, Window: day, Metadata: true, Cancel: true}},
	{[]string{"doubleword"}, []nightshift.Protocol{nightshift.Chat, responses, embeddings}, BatchAPI{
		Dialect: BatchOpenAI, MaxRows: 50_000, MaxBytes: 200 * mb, Window: day, Metadata: true,
		Cancel: true}},
	{[]string{"openrouter"}, []nightshift.Protocol{nightshift.Chat, responses, nightshift.Messages}, BatchAPI{
		Dialect: BatchOpenRouter, BaseURL: "/api/beta", Window: day, Keep: 30 * day}},
	{[]string{"litellm"}, chatFamily, BatchAPI{Dialect: BatchOpenAI, MaxRows: 50_000, MaxBytes: 200 * mb,
		Window: day, Metadata: true, Cancel: true}},
	{[]string{"simulator"}, chatFamily, BatchAPI{Dialect: BatchOpenAI, MaxRows: 50_000, MaxBytes: 200 * mb,
		Window: day, Keep: 30 * day, Discount: 0.5, Metadata: true, Cancel: true}},
	{[]string{"simulator"}, []nightshift.Protocol{nightshift.Messages}, BatchAPI{Dialect: BatchAnthropic,
		MaxRows: 100_000, MaxBytes: 256 * mb, Window: day, Keep: 29 * day, Discount: 0.5, Cancel: true}},
}

// accountPlaceholder stands in a BaseURL for the name of an account, which only
// its owner knows.
const accountPlaceholder = "{account}"

// batchOf is the batch API of a service for a format.
func batchOf(service string, p nightshift.Protocol) BatchAPI {
	for _, f := range batchTable {
		if slices.Contains(f.services, service) && slices.Contains(f.protocols, p) {
			return f.api
		}
	}
	return BatchAPI{}
}

// BatchURL is where the paths of the endpoint's batch API begin, and the query
// that all its URLs carry; errors are in a person's words.
func (e Endpoint) BatchURL() (base, query string, err error) {
	full, err := e.URL()
	if err != nil {
		return "", "", err
	}
	u, err := url.Parse(strings.ReplaceAll(full, modelPlaceholder, "model-placeholder"))
	if err != nil {
		return "", "", err
	}
	origin, at := u.Scheme+"://"+u.Host, e.Batch.BaseURL
	if strings.Contains(at, accountPlaceholder) {
		return "", "",
			fmt.Errorf("the batch API needs the name of the account: set batch_api: {base_url: %q} of the "+
				"endpoint, with it in the place of %s",
				origin+at, accountPlaceholder)
	}
	switch {
	case strings.HasPrefix(at, "/"):
		return origin + cleanPath(at), u.RawQuery, nil
	case at != "":
		own, err := Endpoint{BaseURL: at, AllowHTTP: e.AllowHTTP}.base()
		if err != nil {
			return "", "", fmt.Errorf("batch_api.%w", err)
		}
		return own.Scheme + "://" + own.Host + cleanPath(own.EscapedPath()), own.RawQuery, checkQuery(own.RawQuery)
	}
	query = u.Query().Encode()
	if q := u.Query(); q.Has("alt") { // of Gemini's streams
		q.Del("alt")
		query = q.Encode()
	}
	return origin + strings.TrimSuffix(listPath(u.Path, e.Protocol), "/models"), query, nil
}

// validate checks what a plan may have set.
func (b BatchAPI) validate() error {
	if b.Dialect != "" && !slices.Contains(BatchDialects(), b.Dialect) {
		return fmt.Errorf("batch_api.dialect %q: choose %s", b.Dialect, strings.Join(BatchDialects(), ", "))
	}
	for _, n := range []int64{int64(b.MaxRows), b.MaxBytes, b.MaxLine, b.MaxEnqueued, int64(b.Window), int64(b.Poll),
		int64(b.Keep)} {
		if n < 0 {
			return errors.New("batch_api: a number is negative: leave it out when it is not known")
		}
	}
	return nil
}
