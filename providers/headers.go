package providers

import "net/http"

// requestIDs are the headers in which servers name an exchange. A gateway's
// own id comes first: it is the one its operator can look up.
var requestIDs = []string{
	"X-Oneapi-Request-Id", "Request-Id", "X-Request-Id", "Apim-Request-Id", "X-Generation-Id",
	"X-Ds-Trace-Id", "X-Trace-Id", "Mistral-Correlation-Id", "X-Ms-Request-Id", "X-Amzn-Requestid",
	"X-Litellm-Call-Id", "X-Correlation-Id", "Cf-Ray",
}

// RequestID is the server's id of the exchange; empty when it gave none.
func RequestID(h http.Header) string {
	for _, name := range requestIDs {
		if id := h.Get(name); id != "" {
			return clip(id, maxCode)
		}
	}
	return ""
}
