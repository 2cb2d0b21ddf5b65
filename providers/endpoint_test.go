package providers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers/limits"
	"nightshift/providers/secrets"
)

func TestURL(t *testing.T) {
	for _, tc := range []struct {
		protocol   nightshift.Protocol
		base, path string
		want       string
	}{
		{nightshift.Messages, "https://a.test", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test/", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test//", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test/v1", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test/v1/", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test//v1/messages", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test/v1/messages/", "", "https://a.test/v1/messages"},
		{nightshift.Messages, "https://a.test/anthropic", "", "https://a.test/anthropic/v1/messages"},
		{nightshift.Messages, "https://a.test/api/v1/messages", "", "https://a.test/api/v1/messages"},
		{nightshift.Chat, "https://a.test", "", "https://a.test/v1/chat/completions"},
		{nightshift.Chat, "https://a.test/v1", "", "https://a.test/v1/chat/completions"},
		{nightshift.Chat, "https://a.test/openai/v1", "", "https://a.test/openai/v1/chat/completions"},
		{nightshift.Chat, "https://a.test/v1/chat/completions", "", "https://a.test/v1/chat/completions"},
		{nightshift.Chat, "https://a.test/v1beta/openai", "", "https://a.test/v1beta/openai/chat/completions"},
		{nightshift.Chat, "https://a.test/api/paas/v4/", "", "https://a.test/api/paas/v4/chat/completions"},
		{nightshift.Chat, "https://a.test", "/chat/completions", "https://a.test/chat/completions"},
		{nightshift.Messages, "https://a.test", "/api/v1/messages", "https://a.test/api/v1/messages"},
		{nightshift.Messages, "https://a.test/", "api/v1/messages", "https://a.test/api/v1/messages"},
		{nightshift.Messages, "https://a.test/api", "/api/v1/messages", "https://a.test/api/v1/messages"},
		{nightshift.Messages, "https://a.test/api/v1/", "/api/v1/messages", "https://a.test/api/v1/messages"},
		{nightshift.Messages, "https://a.test/api/v1/messages", "/api/v1/messages", "https://a.test/api/v1/messages"},
		{nightshift.Messages, "https://a.test/team", "/v1/messages", "https://a.test/team/v1/messages"},
		{nightshift.Messages, "https://a.test", "/v1/messages?beta=true", "https://a.test/v1/messages?beta=true"},
		{nightshift.Messages, "https://a.test?tenant=x", "/v1/messages?beta=true",
			"https://a.test/v1/messages?tenant=x&beta=true"},
		{nightshift.Chat, "https://r.openai.azure.com", azurePath, "https://r.openai.azure.com/openai/v1/chat/completions"},
		{nightshift.Chat, "https://r.openai.azure.com/openai/v1/", azurePath,
			"https://r.openai.azure.com/openai/v1/chat/completions"},
		{nightshift.Chat, "https://r.openai.azure.com/openai/deployments/gpt-4o?api-version=2024-10-21", azurePath,
			"https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		{nightshift.Chat, "https://r.openai.azure.com/", azureClassic + "?api-version=2024-10-21",
			"https://r.openai.azure.com/openai/deployments/{model}/chat/completions?api-version=2024-10-21"},
		{nightshift.Chat, "http://localhost:8000/v1", "", "http://localhost:8000/v1/chat/completions"},
		{nightshift.Chat, "http://[::1]:8000/v1", "", "http://[::1]:8000/v1/chat/completions"},
		{nightshift.Chat, SimulatorURL, "", "http://simulator.invalid/v1/chat/completions"},
	} {
		e := Endpoint{Protocol: tc.protocol, BaseURL: tc.base, Path: tc.path}
		got, err := e.URL()
		if err != nil || got != tc.want {
			t.Errorf("%s %q + %q = %q, %v, want %q", tc.protocol, tc.base, tc.path, got, err, tc.want)
		}
		if strings.Contains(strings.TrimPrefix(strings.TrimPrefix(got, "https://"), "http://"), "//") {
			t.Errorf("two slashes in %q", got)
		}
	}
}

func TestURLFor(t *testing.T) {
	e := Endpoint{Protocol: nightshift.Chat, BaseURL: "https://r.openai.azure.com", Path: azureClassic + "?api-version=1"}
	got, err := e.URLFor("my/model 1", false)
	if want := "https://r.openai.azure.com/openai/deployments/my%2Fmodel%201/chat/completions?api-" +
		"version=1"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestURLRefused(t *testing.T) {
	const canary = "sk-canary0123456789"
	for _, base := range []string{
		"", "a.test", "ftp://a.test", "https://", "https:///v1", "http://a.test", "http://10.0.0.1:8000",
		"https://user:" + canary + "@a.test", "https://" + canary + "@a.test/v1", "https://a.test/#" + canary,
		"https://a.test?api_key=" + canary, "https://a.test?key=" + canary, "https://a.test?x=" + canary,
		"https://a.test/v1?Token=1",
		"https://a.test/v1/chat/completions", "http://localhost.evil.test",
		"https://a test/" + canary, "https://a.test/%zz?" + canary,
	} {
		_, err := Endpoint{Protocol: nightshift.Messages, BaseURL: base}.URL()
		if err == nil {
			t.Errorf("%q is accepted", base)
			continue
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if _, err := (Endpoint{Protocol: nightshift.Messages, BaseURL: "http://10.0.0.1", AllowHTTP: true}).URL(); err != nil {
		t.Errorf("plain http that is allowed: %v", err)
	}
}

func TestAuthSet(t *testing.T) {
	key := secrets.New("sk-a-b")
	for _, tc := range []struct {
		auth         Auth
		header, want string
	}{
		{Auth{Scheme: AuthBearer}, "Authorization", "Bearer sk-a-b"},
		{Auth{}, "Authorization", "Bearer sk-a-b"},
		{Auth{Scheme: AuthRaw}, "Authorization", "sk-a-b"},
		{Auth{Scheme: AuthXAPI}, "X-Api-Key", "sk-a-b"},
		{Auth{Scheme: authHeader, Header: "api-key"}, "Api-Key", "sk-a-b"},
		{Auth{Scheme: authHeader, Header: "Authorization"}, "Authorization", "sk-a-b"},
	} {
		h := http.Header{}
		tc.auth.Set(h, key)
		if len(h) != 1 || h.Get(tc.header) != tc.want {
			t.Errorf("%+v: %v", tc.auth, h)
		}
	}
	h := http.Header{}
	Auth{Scheme: AuthNone}.Set(h, key)
	Auth{Scheme: AuthBearer}.Set(h, secrets.Secret{})
	if len(h) != 0 {
		t.Errorf("headers without a key: %v", h)
	}
}

func TestValidate(t *testing.T) {
	good := Endpoint{Protocol: nightshift.Chat, BaseURL: "https://a.test", Auth: Auth{Scheme: AuthBearer, Env: "K"}}
	if errs := good.Validate(); len(errs) != 0 {
		t.Fatalf("a good endpoint: %v", errs)
	}
	for name, change := range map[string]func(*Endpoint){
		"protocol":      func(e *Endpoint) { e.Protocol = "soap" },
		"base_url":      func(e *Endpoint) { e.BaseURL = "" },
		"twice":         func(e *Endpoint) { e.BaseURL = "https://a.test/v1/v1" },
		"auth.scheme":   func(e *Endpoint) { e.Auth.Scheme = "basic" },
		"auth.name":     func(e *Endpoint) { e.Auth = Auth{Scheme: authHeader, Env: "K", Header: "a b"} },
		"neither env":   func(e *Endpoint) { e.Auth.Env = "" },
		"more than one": func(e *Endpoint) { e.Auth.File = "f" },
		"headers:":      func(e *Endpoint) { e.Headers = map[string]string{"x y": "1"} },
		"cannot be set": func(e *Endpoint) { e.Headers = map[string]string{"authorization": "x"} },
		"line break":    func(e *Endpoint) { e.Headers = map[string]string{"x-a": "1\r\nx-b: 2"} },
		"like a key":    func(e *Endpoint) { e.Headers = map[string]string{"x-a": "sk-0123456789abcdef"} },
		"envelope":      func(e *Endpoint) { e.Envelope = "box" },
		"limits.charge": func(e *Endpoint) { e.Limits.Charge = "x" },
		"rate is":       func(e *Endpoint) { e.Limits.Tokens = -1 },
		"concurrency":   func(e *Endpoint) { e.Limits.Concurrency = -1 },
		"timeouts":      func(e *Endpoint) { e.Timeouts.Idle = -time.Second },
		"idempotency":   func(e *Endpoint) { e.IdempotencyHeader = "a:b" },
		"routes[0]":     func(e *Endpoint) { e.Routes = []Route{{BaseURL: "http://far.test"}} },
		"weight":        func(e *Endpoint) { e.Routes = []Route{{Weight: -1}} },
	} {
		e := good
		change(&e)
		errs := e.Validate()
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), name) {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestPresets(t *testing.T) {
	want := []string{"anthropic", "openai", "azure-openai", "openrouter", "deepseek", "gemini", "mistral", "groq",
		"together", "fireworks", "xai", "minimax", "zhipu", "moonshot", "perplexity", "ollama", "vllm", "llama-cpp",
		"lm-studio", "litellm", "ccapi", "opeai", "applerouter", "envelope", "simulator"}
	for _, name := range want {
		if _, found := Lookup(name, "", nil); !found {
			t.Errorf("no preset %q", name)
		}
	}
	seen := map[string]bool{}
	for _, p := range Presets() {
		id := p.Name + " " + string(p.Protocol)
		if seen[id] {
			t.Errorf("%s twice", id)
		}
		seen[id] = true
		if p.Description == "" || p.Dialect == "" || p.Charging == "" {
			t.Errorf("%s says too little", id)
		}
		e := p.Endpoint
		if p.NeedsBaseURL {
			e.BaseURL = "https://needed.test"
		}
		if errs := e.Validate(); len(errs) != 0 {
			t.Errorf("%s: %v", id, errs)
		}
		if e.Auth.Scheme != AuthNone && !slices.Contains(p.KeyEnvs, e.Auth.Env) {
			t.Errorf("%s: key from %s, which is not in %v", id, e.Auth.Env, p.KeyEnvs)
		}
	}
}

func TestLookup(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i+1 < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, tc := range []struct {
		name     string
		protocol nightshift.Protocol
		env      func(string) string
		url      string
		auth     Auth
	}{
		{"anthropic", "", nil, "https://api.anthropic.com/v1/messages", Auth{Scheme: AuthXAPI, Env: "ANTHROPIC_API_KEY"}},
		{"anthropic", "", env("ANTHROPIC_BASE_URL", "https://p.test/claude"), "https://p.test/claude/v1/messages",
			Auth{Scheme: AuthXAPI, Env: "ANTHROPIC_API_KEY"}},
		{"anthropic", "", env("ANTHROPIC_AUTH_TOKEN", "t"), "https://api.anthropic.com/v1/messages",
			Auth{Scheme: AuthBearer, Env: "ANTHROPIC_AUTH_TOKEN"}},
		{"anthropic", "", env("ANTHROPIC_AUTH_TOKEN", "t", "ANTHROPIC_API_KEY", "k"),
			"https://api.anthropic.com/v1/messages", Auth{Scheme: AuthXAPI, Env: "ANTHROPIC_API_KEY"}},
		{"anthropic", nightshift.Chat, env("ANTHROPIC_BASE_URL", "https://p.test"),
			"https://p.test/v1/chat/completions", Auth{Scheme: AuthBearer, Env: "ANTHROPIC_API_KEY"}},
		{"openai", "", nil, "https://api.openai.com/v1/chat/completions", Auth{Scheme: AuthBearer, Env: "OPENAI_API_KEY"}},
		{"openai", "", env("OPENAI_BASE_URL", "https://p.test/x/v1"), "https://p.test/x/v1/chat/completions",
			Auth{Scheme: AuthBearer, Env: "OPENAI_API_KEY"}},
		{"azure-openai", "", env("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/"),
			"https://r.openai.azure.com/openai/v1/chat/completions",
			Auth{Scheme: authHeader, Header: "api-key", Env: "AZURE_OPENAI_API_KEY"}},
		{"azure-openai", "",
			env("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/", "OPENAI_API_VERSION", "2024-10-21",
				"AZURE_OPENAI_AD_TOKEN", "t"),
			"https://r.openai.azure.com/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
			Auth{Scheme: AuthBearer, Env: "AZURE_OPENAI_AD_TOKEN"}},
		{"deepseek", "", nil, "https://api.deepseek.com/chat/completions", Auth{Scheme: AuthBearer, Env: "DEEPSEEK_API_KEY"}},
		{"deepseek", nightshift.Messages, nil, "https://api.deepseek.com/anthropic/v1/messages",
			Auth{Scheme: AuthXAPI, Env: "DEEPSEEK_API_KEY"}},
		{"gemini", "", env("GOOGLE_API_KEY", "k"),
			"https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
			Auth{Scheme: AuthBearer, Env: "GOOGLE_API_KEY"}},
		{"groq", "", nil, "https://api.groq.com/openai/v1/chat/completions", Auth{Scheme: AuthBearer, Env: "GROQ_API_KEY"}},
		{"zhipu", "", nil, "https://open.bigmodel.cn/api/paas/v4/chat/completions",
			Auth{Scheme: AuthBearer, Env: "ZHIPUAI_API_KEY"}},
		{"perplexity", "", nil, "https://api.perplexity.ai/chat/completions",
			Auth{Scheme: AuthBearer, Env: "PERPLEXITY_API_KEY"}},
		{"ollama", "", nil, "http://localhost:11434/v1/chat/completions", Auth{Scheme: AuthNone}},
		{"ollama", "", env("OLLAMA_HOST", "0.0.0.0:9999"), "http://127.0.0.1:9999/v1/chat/completions",
			Auth{Scheme: AuthNone}},
		{"ollama", "", env("OLLAMA_HOST", ":9999", "OLLAMA_API_KEY", "k"), "http://127.0.0.1:9999/v1/chat/completions",
			Auth{Scheme: AuthBearer, Env: "OLLAMA_API_KEY"}},
		{"ccapi", "", nil, "https://api.ccapi.ai/v1/messages", Auth{Scheme: AuthXAPI, Env: "CCAPI_API_KEY"}},
		{"ccapi", nightshift.Chat, nil, "https://api.ccapi.ai/v1/chat/completions",
			Auth{Scheme: AuthRaw, Env: "CCAPI_API_KEY"}},
		{"ccapi-chat", "", nil, "https://api.ccapi.ai/v1/chat/completions", Auth{Scheme: AuthRaw, Env: "CCAPI_API_KEY"}},
		{"opeai", "", nil, "https://api-platform.ope.ai/v1/messages", Auth{Scheme: AuthBearer, Env: "OPEAI_API_KEY"}},
		{"applerouter", "", nil, "https://api.applerouter.ai/v1/messages",
			Auth{Scheme: AuthXAPI, Env: "APPLEROUTER_API_KEY"}},
		{"envelope", "", env("ENVELOPE_BASE_URL", "https://gw.test"), "https://gw.test/api/v1/messages",
			Auth{Scheme: AuthBearer, Env: "ENVELOPE_API_KEY"}},
		{"simulator", "", nil, "http://simulator.invalid/v1/messages", Auth{Scheme: AuthNone}},
	} {
		e, found := Lookup(tc.name, tc.protocol, tc.env)
		got, err := e.URL()
		if !found || err != nil || got != tc.url || e.Auth != tc.auth || e.Name != tc.name {
			t.Errorf("%s %s: %v %q %v %+v, want %q %+v", tc.name, tc.protocol, found, got, err, e.Auth, tc.url, tc.auth)
		}
	}
	for _, name := range []string{"", "nowhere", "mistral-messages", "-chat"} {
		if _, found := Lookup(name, "", nil); found {
			t.Errorf("%q is found", name)
		}
	}
	if e, _ := Lookup("openai", "", nil); e.Limits.Charge != limits.ChargeMaxTokens {
		t.Errorf("charge %q", e.Limits.Charge)
	}
}

// Every wire format of a service has its place and its way to send the key.
func TestFormatsOfPresets(t *testing.T) {
	for _, tc := range []struct {
		name     string
		protocol nightshift.Protocol
		url      string // with NEEDED where the plan must give the base
		scheme   string
	}{
		{"openai", responses, "https://api.openai.com/v1/responses", AuthBearer},
		{"openai", completions, "https://api.openai.com/v1/completions", AuthBearer},
		{"openai", embeddings, "https://api.openai.com/v1/embeddings", AuthBearer},
		{"azure-openai", responses, "NEEDED/openai/v1/responses", authHeader},
		{"azure-openai", embeddings, "NEEDED/openai/v1/embeddings", authHeader},
		{"openrouter", responses, "https://openrouter.ai/api/v1/responses", AuthBearer},
		{"deepseek", responses, "https://api.deepseek.com/responses", AuthBearer},
		{"deepseek", completions, "https://api.deepseek.com/beta/completions", AuthBearer},
		{"gemini", gemini, "https://generativelanguage.googleapis.com/v1beta/models/{model}:generateContent", AuthGoog},
		{"gemini", geminiEmbeddings,
			"https://generativelanguage.googleapis.com/v1beta/models/{model}:batchEmbedContents", AuthGoog},
		{"gemini", embeddings, "https://generativelanguage.googleapis.com/v1beta/openai/embeddings", AuthBearer},
		{"vertex", gemini, "NEEDED/publishers/google/models/{model}:generateContent", AuthBearer},
		{"vertex", nightshift.Chat, "NEEDED/endpoints/openapi/chat/completions", AuthBearer},
		{"bedrock", responses, "NEEDED/v1/responses", AuthBearer},
		{"groq", responses, "https://api.groq.com/openai/v1/responses", AuthBearer},
		{"together", completions, "https://api.together.xyz/v1/completions", AuthBearer},
		{"xai", responses, "https://api.x.ai/v1/responses", AuthBearer},
		{"perplexity", embeddings, "https://api.perplexity.ai/v1/embeddings", AuthBearer},
		{"ccapi", nightshift.Messages, "https://api.ccapi.ai/v1/messages", AuthXAPI},
		{"ccapi", nightshift.Chat, "https://api.ccapi.ai/v1/chat/completions", AuthRaw},
		{"ccapi", responses, "https://api.ccapi.ai/v1/responses", AuthRaw},
		{"ccapi", completions, "https://api.ccapi.ai/v1/completions", AuthRaw},
		{"ccapi", embeddings, "https://api.ccapi.ai/v1/embeddings", AuthRaw},
		{"ccapi", gemini, "https://api.ccapi.ai/v1beta/models/{model}:generateContent", AuthGoog},
		{"new-api", gemini, "NEEDED/v1beta/models/{model}:generateContent", AuthGoog},
		{"new-api", nightshift.Messages, "NEEDED/v1/messages", AuthXAPI},
		{"ollama", responses, "http://localhost:11434/v1/responses", AuthNone},
		{"vllm", completions, "http://localhost:8000/v1/completions", AuthNone},
		{"llama-cpp", completions, "http://localhost:8080/v1/completions", AuthNone},
		{"lm-studio", responses, "http://localhost:1234/v1/responses", AuthNone},
		{"simulator", gemini, "http://simulator.invalid/v1beta/models/{model}:generateContent", AuthNone},
	} {
		e, found := Lookup(tc.name, tc.protocol, nil)
		if e.BaseURL == "" {
			e.BaseURL = "https://needed.test"
		}
		got, err := e.URL()
		if want := strings.Replace(tc.url, "NEEDED", "https://needed.test", 1); !found || err != nil || got != want ||
			e.Auth.Scheme != tc.scheme {
			t.Errorf("%s in %s: %v, %s %s (%v), want %s %s", tc.name, tc.protocol, found, got, e.Auth.Scheme, err, want,
				tc.scheme)
		}
		if !slices.Contains(ProtocolsOf(tc.name), tc.protocol) {
			t.Errorf("%s speaks %v", tc.name, ProtocolsOf(tc.name))
		}
	}
	if got := ProtocolsOf("opeai"); len(got) != 1 || got[0] != nightshift.Messages {
		t.Errorf("opeai speaks %v", got)
	}
	classic, _ := Lookup("azure-openai", nightshift.Chat, func(name string) string {
		return map[string]string{"OPENAI_API_VERSION": "2024-10-21", "AZURE_OPENAI_ENDPOINT": "https://r.test"}[name]
	})
	if got, err := classic.URL(); got != "https://r.test/openai/deployments/{model}/chat/completions?api-version="+
		"2024-10-21" || err != nil {
		t.Errorf("the classic route is %s, %v", got, err)
	}
}

func TestOn(t *testing.T) {
	e := Endpoint{BaseURL: "https://a.test", Auth: Auth{Env: "A"}, Limits: limits.Config{Requests: 1},
		Routes: []Route{
			{Name: "r", BaseURL: "https://b.test", Auth: &Auth{Env: "B"}, Limits: &limits.Config{Requests: 2}}, {}}}
	if on := e.On(e.Routes[0]); on.BaseURL != "https://b.test" || on.Auth.Env != "B" || on.Limits.Requests != 2 ||
		on.Routes != nil {
		t.Errorf("%+v", on)
	}
	if on := e.On(e.Routes[1]); on.BaseURL != "https://a.test" || on.Auth.Env != "A" || on.Limits.Requests != 1 {
		t.Errorf("%+v", on)
	}
}

func TestModelsURL(t *testing.T) {
	for _, tc := range []struct {
		base, path string
		protocol   nightshift.Protocol
		want       string
	}{
		{"https://a.test", "", nightshift.Messages, "https://a.test/v1/models"},
		{"https://a.test/v1", "", nightshift.Chat, "https://a.test/v1/models"},
		{"https://a.test", "/openai/v1/chat/completions", nightshift.Chat, "https://a.test/openai/v1/models"},
		{"https://a.test", "/chat/completions", nightshift.Chat, "https://a.test/models"},
		{"https://a.test/api", "", nightshift.Messages, "https://a.test/api/v1/models"},
		{"https://a.test", "/v1/ask", nightshift.Chat, "https://a.test/v1/models"},
		{"https://a.test", "/v1beta/models/{model}:generateContent?alt=sse", nightshift.Chat, "https://a.test/v1beta/models"},
		{"https://r.openai.azure.com", "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
			nightshift.Chat, "https://r.openai.azure.com/openai/models?api-version=2024-10-21"},
	} {
		e := Endpoint{Protocol: tc.protocol, BaseURL: tc.base, Path: tc.path}
		if got, err := e.ModelsURL(); got != tc.want || err != nil {
			t.Errorf("%s %s: %q, %v; want %q", tc.base, tc.path, got, err, tc.want)
		}
	}
}
