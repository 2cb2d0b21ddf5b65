package reports

import "nightshift"

// hints say what to try when rows failed in one way.
var hints = map[nightshift.ErrorClass]string{
	nightshift.ClassRateLimit: "lower the concurrency, or say the limits in the plan (limits:), and run " +
		"again with --retry-failed",
	nightshift.ClassExceedsLimit: "these rows are larger than the rate limit itself: shorten them, lower " +
		"max_tokens, or use a key with higher limits",
	nightshift.ClassQuota: "add credit or raise the quota at the provider; the same command then goes on",
	nightshift.ClassAuth:  "the key was refused: check the variable that holds it (nightshift presets NAME)",
	nightshift.ClassPermission: "the key may not use this model: check its permissions and the region at the " +
		"provider",
	nightshift.ClassNotFound: "no such model or path: compare the model id and base_url with the provider's list",
	nightshift.ClassInvalidRequest: "the endpoint refuses the request as it is: look at the message and at " +
		"params in the plan",
	nightshift.ClassTooLarge:      "the request is too large for the endpoint: shorten the prompt or its media",
	nightshift.ClassContextLength: "prompt and max_tokens together exceed the model's window: shorten one of them",
	nightshift.ClassContentPolicy: "refused for what the prompt says: these rows are no failures of the network " +
		"and will be refused again",
	nightshift.ClassConflict: "run again with --retry-failed",
	nightshift.ClassOverloaded: "the endpoint was overloaded for longer than the attempts lasted: run again " +
		"with --retry-failed, later",
	nightshift.ClassNoCapacity: "the cheap tier had no room: run again with --retry-failed, later, or " +
		"without service_tier: flex",
	nightshift.ClassServer: "the endpoint failed repeatedly: run again with --retry-failed; if it fails " +
		"on the same rows, look at them",
	nightshift.ClassTimeoutConnect:   "no connection in time: check the network and base_url",
	nightshift.ClassTimeoutFirstByte: "no answer began in time: raise the first-byte timeout for slow or reasoning models",
	nightshift.ClassTimeoutIdle:      "answers stopped coming: raise the idle timeout, or lower the concurrency",
	nightshift.ClassTimeoutTotal:     "answers took too long: raise the total timeout, or lower max_tokens",
	nightshift.ClassConnection:       "the connection broke: check the network, DNS and base_url, then --retry-failed",
	nightshift.ClassTLS:              "the certificate was not accepted: a proxy in between, or a wrong clock",
	nightshift.ClassRedirect: "redirects are never followed, as they would carry the key away: put the " +
		"final address into base_url",
	nightshift.ClassBadResponse: "the answers cannot be read: check protocol and base_url; the raw responses " +
		"are in raw_response",
	nightshift.ClassNotAnAPI:      "a web page answered: base_url points at a site, not at its API",
	nightshift.ClassEmptyResponse: "nothing came back: a proxy in between, or an endpoint in trouble; --retry-failed",
	nightshift.ClassCut: "answers were cut: try without stream, or with a longer timeout; partial texts " +
		"are in attempt_log",
	nightshift.ClassTooLong: "answers exceeded the cap on bytes: lower max_tokens",
	nightshift.ClassUntranslatable: "the row uses something that the endpoint's protocol cannot say: use the other " +
		"protocol, or change the row",
	nightshift.ClassUnknownOutcome: "a process ended between sending and reading: --retry-failed sends them again, " +
		"which may bill them twice",
	nightshift.ClassCancelled: "these were cancelled; the same command sends them again",
	nightshift.ClassBatchExpired: "their batch ended before they had run: run again with --retry-failed, or with " +
		"then: live in the plan's batch block",
	nightshift.ClassInput: "the dataset row cannot be used: correct it (the message names the line)",
	nightshift.ClassPanic: "a mistake in nightshift: please report it with the message",
}
