package runner

import "nightshift"

// Request is what the pool sends for a sample: its first turn, where there are
// more. Key, Attempts and AttemptLog are left to the caller.
func (l Pool) Request(s nightshift.Sample) nightshift.Request {
	system := s.System
	if s.Body != nil {
		system = "" // the body holds it
	}
	return nightshift.Request{
		Model:        l.ModelID,
		System:       system,
		Messages:     s.Messages,
		Params:       mergeParams(l.Params, s.Params),
		Stream:       l.Stream,
		Body:         s.Body,
		BodyProtocol: s.BodyProtocol,
	}
}

// mergeParams lets a row's own parameters override the plan's.
func mergeParams(plan, row []nightshift.Param) []nightshift.Param {
	if len(row) == 0 {
		return plan
	}
	merged := make([]nightshift.Param, 0, len(plan)+len(row))
	for _, p := range plan {
		if !hasParam(row, p.Name) {
			merged = append(merged, p)
		}
	}
	return append(merged, row...)
}

func hasParam(params []nightshift.Param, name string) bool {
	for _, p := range params {
		if p.Name == name {
			return true
		}
	}
	return false
}
