package session

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
)

// An endpoint that gives no answers is a warning, so that -q shows it, with the
// cause and without keys.
func TestSilentEndpointIsAWarning(t *testing.T) {
	var out bytes.Buffer
	f := &clients{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	f.redactor.Store(secrets.NewRedactor())
	key := "sk-ant-api03-" + strings.Repeat("a1B2c3D4", 8)
	f.event(providers.Event{Kind: providers.EventSilent, Endpoint: "corp", Flow: "m", Err: &nightshift.Error{
		Class: nightshift.ClassServer, Status: 502, Message: "no upstream for " + key}})
	for _, part := range []string{"corp gives no answers", "model=m", "server (HTTP 502): no upstream for"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q lacks %q", out.String(), part)
		}
	}
	if strings.Contains(out.String(), key) {
		t.Errorf("a key is shown: %s", out.String())
	}
}
