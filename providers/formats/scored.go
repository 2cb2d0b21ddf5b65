package formats

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// A Scoring is a Format in which the log-probability of a given text can be asked
// for.
type Scoring interface {
	Format
	// Score makes a request for an answer of one for the log-probability of its
	// continuation.
	Score(req nightshift.Request) (plain nightshift.Request, scored providers.Scored, err error)
	// Loglikelihood reads it from the answer. Errors are of class no_logprobs where
	// no request to the server will fare better, and bad_response else.
	Loglikelihood(answer rawjson.Value, scored providers.Scored) (nightshift.Loglikelihood, *nightshift.Error)
}

// encodeScored is Encode for a request with a continuation.
func encodeScored(f Format, req nightshift.Request) (providers.Prepared, error) {
	scoring, ok := f.(Scoring)
	if !ok || req.Body != nil {
		return providers.Prepared{}, &nightshift.Error{
			Class: nightshift.ClassUntranslatable, Code: "loglikelihood",
			Message: "log-probabilities of a given text cannot be asked for in the " + f.Name() + " format of this endpoint",
			Hint:    "base models are scored over protocol: completions, from rows with a prompt that is text",
		}
	}
	plain, scored, err := scoring.Score(req)
	if err != nil {
		return providers.Prepared{}, err
	}
	p, err := Encode(f, plain, false)
	p.Scored = &scored
	return p, err
}
