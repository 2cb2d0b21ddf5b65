package providers

import (
	"testing"

	"nightshift"
)

func TestURLWithModel(t *testing.T) {
	const (
		google = "https://generativelanguage.googleapis.com"
		vertex = "https://us-east5-aiplatform.googleapis.com/v1/projects/P/locations/us-east5"
	)
	for _, tc := range []struct{ base, path, model, want string }{
		{google, "", "gemini-x", google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/", "", "models/gemini-x", google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/v1beta", "", "gemini-x", google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/v1beta/", "", "tunedModels/mine", google + "/v1beta/tunedModels/mine:generateContent"},
		{google + "/v1", "", "gemini-x", google + "/v1/models/gemini-x:generateContent"},
		{google + "/v1beta/models", "", "gemini-x", google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/v1beta/models/other:generateContent", "", "gemini-x", google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/v1beta/models/other:streamGenerateContent?alt=sse", "", "gemini-x",
			google + "/v1beta/models/gemini-x:generateContent"},
		{google + "/v1beta/models/{model}:generateContent", "", "gemini-x",
			google + "/v1beta/models/gemini-x:generateContent"},
		{"https://a.test", "", "gemini-x", "https://a.test/v1beta/models/gemini-x:generateContent"},
		{"https://a.test/gemini", "", "gemini-x", "https://a.test/gemini/v1beta/models/gemini-x:generateContent"},
		{"https://a.test/gemini/v1beta", "", "google/gemini-x",
			"https://a.test/gemini/v1beta/models/google/gemini-x:generateContent"},
		{"https://a.test/v1/ACCOUNT/GATEWAY/google-ai-studio", "", "gemini-x",
			"https://a.test/v1/ACCOUNT/GATEWAY/google-ai-studio/v1beta/models/gemini-x:generateContent"},
		{"https://a.test/models/m:generateContent", "", "gemini-x", "https://a.test/models/gemini-x:generateContent"},
		{vertex, "", "gemini-x", vertex + "/publishers/google/models/gemini-x:generateContent"},
		{vertex + "/publishers/google", "", "gemini-x", vertex + "/publishers/google/models/gemini-x:generateContent"},
		{vertex + "/publishers/google/models", "", "gemini-x", vertex + "/publishers/google/models/gemini-x:generateContent"},
		{vertex + "/publishers/google/models/m:generateContent", "", "gemini-x",
			vertex + "/publishers/google/models/gemini-x:generateContent"},
		{vertex, "", "publishers/google/models/gemini-x", vertex + "/publishers/google/models/gemini-x:generateContent"},
		{vertex, "", "publishers/other/models/m@001", vertex + "/publishers/other/models/m@001:generateContent"},
		{vertex, "", "endpoints/123", vertex + "/endpoints/123:generateContent"},
		{vertex, "", "projects/Q/locations/L/endpoints/5",
			"https://us-east5-aiplatform.googleapis.com/v1/projects/Q/locations/L/endpoints/5:generateContent"},
		{"https://aiplatform.googleapis.com", "", "gemini-x",
			"https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-x:generateContent"},
		{"https://aiplatform.googleapis.com/v1beta1", "", "gemini-x",
			"https://aiplatform.googleapis.com/v1beta1/publishers/google/models/gemini-x:generateContent"},
		{"https://aiplatform.googleapis.com/v1", "", "projects/P/locations/L/publishers/google/models/m",
			"https://aiplatform.googleapis.com/v1/projects/P/locations/L/publishers/google/models/m:generateContent"},
		{"https://a.test", "/v1beta/models/{model}:generateContent", "models/gemini-x",
			"https://a.test/v1beta/models/gemini-x:generateContent"},
		{"https://a.test/v1beta", "/v1beta/models/{model}:streamGenerateContent?alt=sse", "a b?",
			"https://a.test/v1beta/models/a%20b%3F:generateContent"},
		{"https://a.test?tenant=x", "", "gemini-x", "https://a.test/v1beta/models/gemini-x:generateContent?tenant=x"},
	} {
		e := Endpoint{Protocol: nightshift.Gemini, BaseURL: tc.base, Path: tc.path}
		got, err := e.URLFor(tc.model, false)
		if err != nil || got != tc.want {
			t.Errorf("%q + %q for %q:\n got %q, %v\nwant %q", tc.base, tc.path, tc.model, got, err, tc.want)
		}
	}
}

func TestURLOfStream(t *testing.T) {
	for base, want := range map[string]string{
		"https://a.test": "https://a.test/v1beta/models/m:" +
			"streamGenerateContent?alt=sse",
		"https://a.test?tenant=x": "https://a.test/v1beta/models/m:" +
			"streamGenerateContent?tenant=x&alt=sse",
		"https://a.test/v1beta/models/x:generateContent": "https://a.test/v1beta/models/m:" +
			"streamGenerateContent?alt=sse",
		"https://a.test/v1beta/models/x:streamGenerateContent?alt=sse": "https://a.test/v1beta/models/m:" +
			"streamGenerateContent?alt=sse",
	} {
		got, err := Endpoint{Protocol: nightshift.Gemini, BaseURL: base}.URLFor("m", true)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", base, got, err, want)
		}
	}
}

// A base URL that ends in another protocol's path is a slip.
func TestURLOfAnotherProtocol(t *testing.T) {
	for base, p := range map[string]nightshift.Protocol{
		"https://a.test/v1/chat/completions":               nightshift.Gemini,
		"https://a.test/v1beta/models/m:generateContent":   nightshift.Chat,
		"https://a.test/v1/models/m:streamGenerateContent": nightshift.Messages,
	} {
		if got, err := (Endpoint{Protocol: p, BaseURL: base}).URL(); err == nil {
			t.Errorf("%s for %s is %s", base, p, got)
		}
	}
}
