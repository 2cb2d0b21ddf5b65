package providers

import "nightshift/providers/limits"

// vendorPresets are services of those who make or host models.
func vendorPresets() []Preset {
	return []Preset{
		messagesPreset("anthropic", "https://api.anthropic.com", "Claude, from Anthropic", "ANTHROPIC_API_KEY",
			"ANTHROPIC_AUTH_TOKEN").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"ANTHROPIC_BASE_URL"}
			p.Dialect, p.Charging, p.Limits.FreeCacheReads = "anthropic", chargedCached, true
			p.Facts = "max_tokens is required; sends retry-after with good answers too; non-streamed answers of " +
				"over ten minutes are refused"
		}),
		chatPreset("anthropic", "https://api.anthropic.com/v1", "Claude over Chat Completions, for comparison only",
			"ANTHROPIC_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"ANTHROPIC_BASE_URL"}
			p.Path, p.BaseURL = "/v1/chat/completions", "https://api.anthropic.com"
			p.Dialect, p.Charging, p.Limits.FreeCacheReads = "openai", chargedCached, true
		}),
		chatPreset("openai", "https://api.openai.com/v1", "GPT, from OpenAI", "OPENAI_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"OPENAI_BASE_URL"}
			p.Dialect, p.Charging, p.Limits.Charge = "openai", chargedMax, limits.ChargeMaxTokens
			p.CapName = "max_completion_tokens" // which all models take, and newer ones alone
			p.Facts = "newer models take max_completion_tokens, not max_tokens; " +
				"service_tier: flex costs half where a model has it"
		}),
		chatPreset("azure-openai", "", "GPT and others, on Azure", "AZURE_OPENAI_API_KEY",
			"AZURE_OPENAI_AD_TOKEN").with(func(p *Preset) {
			p.Auth = Auth{Scheme: authHeader, Header: "api-key", Env: "AZURE_OPENAI_API_KEY"}
			p.BaseURLEnvs, p.NeedsBaseURL = []string{"AZURE_OPENAI_ENDPOINT"}, true
			p.Path = azurePath
			p.Dialect, p.Charging, p.Limits.Charge = "azure", chargedMax, limits.ChargeMaxTokens
			p.Facts = "base_url is https://RESOURCE.openai.azure.com; model is the deployment's name; " +
				"OPENAI_API_VERSION, or path: " + azureClassic + "?api-version=VERSION, takes the classic route"
		}),
		chatPreset("openrouter", "https://openrouter.ai/api/v1", "many vendors' models behind one key",
			"OPENROUTER_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"OPENROUTER_BASE_URL"}
			p.Dialect, p.Charging = "openrouter", chargedMoney
			p.Facts = "pads slow answers with blank lines; states its own cost in usage.cost"
		}),
		messagesPreset("openrouter", "https://openrouter.ai/api", "many vendors' models behind one key, over Messages",
			"OPENROUTER_API_KEY").with(func(p *Preset) {
			p.Auth = bearer("OPENROUTER_API_KEY")
			p.Dialect, p.Charging = "openrouter", chargedMoney
		}),
		chatPreset("deepseek", "https://api.deepseek.com", "DeepSeek", "DEEPSEEK_API_KEY").with(func(p *Preset) {
			p.Path = "/chat/completions"
			p.Charging = "nothing stated: slows down instead of refusing"
			p.Facts = "no rate-limit headers; sends keep-alives while it waits"
		}),
		messagesPreset("deepseek", "https://api.deepseek.com/anthropic", "DeepSeek over Messages", "DEEPSEEK_API_KEY"),
		chatPreset("gemini", "https://generativelanguage.googleapis.com/v1beta/openai",
			"Gemini, from Google, in its OpenAI-compatible form", "GEMINI_API_KEY", "GOOGLE_API_KEY").with(func(p *Preset) {
			p.Facts = "refuses parameters it does not know; thinking tokens appear in total_tokens only"
		}),
		chatPreset("vertex", "", "Gemini on Google's Vertex AI, in its OpenAI-compatible form",
			"VERTEX_ACCESS_TOKEN").with(func(p *Preset) {
			p.NeedsBaseURL, p.Path = true, "/endpoints/openapi/chat/completions"
			p.Facts = vertexFacts
		}),
		chatPreset("bedrock", "", "models on Amazon Bedrock, in its OpenAI-compatible form",
			"AWS_BEARER_TOKEN_BEDROCK").with(func(p *Preset) {
			p.NeedsBaseURL = true
			p.Facts = "base_url is https://bedrock-mantle.REGION.api.aws/v1"
		}),
		chatPreset("mistral", "https://api.mistral.ai/v1", "Mistral", "MISTRAL_API_KEY").with(func(p *Preset) {
			p.IncludeUsage = false
			p.Dialect = "mistral"
			p.Facts = "sends usage in streams without being asked, and refuses to be"
		}),
		chatPreset("groq", "https://api.groq.com", "open models on Groq's chips", "GROQ_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"GROQ_BASE_URL"}
			p.Path = "/openai/v1/chat/completions"
			p.Dialect = "openai"
			p.Facts = "request limits are per day, token limits per minute; service_tier: flex has higher limits " +
				"at the same price"
		}),
		chatPreset("together", "https://api.together.xyz/v1", "open models on Together",
			"TOGETHER_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"TOGETHER_BASE_URL"}
			p.Dialect = "openai"
		}),
		chatPreset("fireworks", "https://api.fireworks.ai/inference/v1", "open models on Fireworks",
			"FIREWORKS_API_KEY").with(func(p *Preset) {
			p.Dialect = "openai"
		}),
		chatPreset("deepinfra", "https://api.deepinfra.com/v1/openai", "open models on DeepInfra",
			"DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
		chatPreset("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "Qwen and others, on Alibaba Cloud",
			"DASHSCOPE_API_KEY").with(func(p *Preset) {
			p.BaseURLEnvs = []string{"DASHSCOPE_BASE_URL"}
			p.Facts = "in China base_url is https://dashscope.aliyuncs.com/compatible-mode/v1"
		}),
		chatPreset("doubleword", "https://api.doubleword.ai/v1", "open models on Doubleword", "DOUBLEWORD_API_KEY"),
		chatPreset("xai", "https://api.x.ai/v1", "Grok, from xAI", "XAI_API_KEY").with(func(p *Preset) {
			p.Facts = "reasoning tokens come on top of completion_tokens"
		}),
		chatPreset("minimax", "https://api.minimax.io/v1", "MiniMax", "MINIMAX_API_KEY").with(func(p *Preset) {
			p.Facts = "errors come as base_resp, often with HTTP 200; in China base_url is https://api.minimaxi.com/v1"
		}),
		messagesPreset("minimax", "https://api.minimax.io/anthropic", "MiniMax over Messages",
			"MINIMAX_API_KEY").with(func(p *Preset) {
			p.Auth = bearer("MINIMAX_API_KEY")
		}),
		chatPreset("zhipu", "https://open.bigmodel.cn/api/paas/v4", "GLM, from Zhipu", "ZHIPUAI_API_KEY",
			"ZHIPU_API_KEY").with(func(p *Preset) {
			p.Facts = "numeric error codes, all on 429; outside China use preset zai"
		}),
		messagesPreset("zhipu", "https://open.bigmodel.cn/api/anthropic", "GLM over Messages", "ZHIPUAI_API_KEY",
			"ZHIPU_API_KEY"),
		chatPreset("zai", "https://api.z.ai/api/paas/v4", "GLM, from Z.ai", "ZAI_API_KEY"),
		messagesPreset("zai", "https://api.z.ai/api/anthropic", "GLM from Z.ai over Messages", "ZAI_API_KEY"),
		chatPreset("moonshot", "https://api.moonshot.ai/v1", "Kimi, from Moonshot", "MOONSHOT_API_KEY").with(func(p *Preset) {
			p.Charging, p.Limits.Charge = chargedMax, limits.ChargeMaxTokens
			p.Facts = "in China base_url is https://api.moonshot.cn/v1"
		}),
		messagesPreset("moonshot", "https://api.moonshot.ai/anthropic", "Kimi over Messages", "MOONSHOT_API_KEY"),
		chatPreset("perplexity", "https://api.perplexity.ai", "Sonar, from Perplexity", "PERPLEXITY_API_KEY",
			"PPLX_API_KEY").with(func(p *Preset) {
			p.Path = "/chat/completions"
			p.IncludeUsage = false
			p.Facts = "cumulative usage on every chunk; streams end without [DONE]"
		}),
	}
}

// gatewayPresets resell others' models.
func gatewayPresets() []Preset {
	return []Preset{
		messagesPreset("ccapi", "https://api.ccapi.ai", "CCAPI gateway: Claude over Messages",
			"CCAPI_API_KEY").with(func(p *Preset) {
			p.Facts = "x-api-key here, a bare Authorization on its chat route"
		}),
		chatPreset("ccapi", "https://api.ccapi.ai", "CCAPI gateway: all its models over Chat Completions",
			"CCAPI_API_KEY").with(func(p *Preset) {
			p.Auth.Scheme = AuthRaw
		}),
		chatPreset("new-api", "", "a new-api gateway", "NEW_API_KEY").with(func(p *Preset) {
			p.NeedsBaseURL, p.BaseURLEnvs = true, []string{"NEW_API_BASE_URL"}
			p.Charging = "as its operator says"
		}),
		messagesPreset("new-api", "", "a new-api gateway over Messages", "NEW_API_KEY").with(func(p *Preset) {
			p.NeedsBaseURL, p.BaseURLEnvs = true, []string{"NEW_API_BASE_URL"}
			p.Charging = "as its operator says"
		}),
		chatPreset("one-api", "", "a one-api gateway", "ONE_API_KEY").with(func(p *Preset) {
			p.NeedsBaseURL, p.BaseURLEnvs = true, []string{"ONE_API_BASE_URL"}
			p.Charging = "as its operator says"
		}),
		messagesPreset("opeai", "https://api-platform.ope.ai", "OpeAI gateway: Claude models only",
			"OPEAI_API_KEY").with(func(p *Preset) {
			p.Auth = bearer("OPEAI_API_KEY")
		}),
		messagesPreset("applerouter", "https://api.applerouter.ai", "AppleRouter gateway: Claude over Messages",
			"APPLEROUTER_API_KEY").with(func(p *Preset) {
			p.Facts = "takes x-api-key or Bearer, not both; anthropic-version is required"
		}),
		messagesPreset("envelope", "", "a gateway that takes Messages and answers in Chat's shape, wrapped in data",
			"ENVELOPE_API_KEY").with(func(p *Preset) {
			p.Auth = bearer("ENVELOPE_API_KEY")
			p.Headers = map[string]string{"anthropic-version": ""}
			p.NeedsBaseURL, p.BaseURLEnvs = true, []string{"ENVELOPE_BASE_URL"}
			p.Path, p.Envelope, p.DoneMarkerOnly = "/api/v1/messages", "data", true
			p.Charging = "not stated: usage is never sent"
			p.Facts = "no usage, no finish reason; only [DONE] ends a stream"
		}),
	}
}

// localPresets are servers that people run themselves, and the simulator.
func localPresets() []Preset {
	free := func(p *Preset) { p.KeyOptional, p.Free, p.Charging = true, true, chargedNobody }
	return []Preset{
		chatPreset("ollama", "http://localhost:11434", "Ollama on this machine",
			"OLLAMA_API_KEY").with(free).with(func(p *Preset) {
			p.BaseURLEnvs = []string{"OLLAMA_HOST"}
			p.Path = "/v1/chat/completions"
		}),
		messagesPreset("ollama", "http://localhost:11434", "Ollama over Messages",
			"OLLAMA_API_KEY").with(free).with(func(p *Preset) {
			p.BaseURLEnvs, p.Auth = []string{"OLLAMA_HOST"}, bearer("OLLAMA_API_KEY")
		}),
		chatPreset("vllm", "http://localhost:8000/v1", "vLLM on this machine", "VLLM_API_KEY").with(free),
		messagesPreset("vllm", "http://localhost:8000", "vLLM over Messages",
			"VLLM_API_KEY").with(free).with(func(p *Preset) { p.Auth = bearer("VLLM_API_KEY") }),
		chatPreset("sglang", "http://localhost:30000/v1", "SGLang on this machine", "SGLANG_API_KEY").with(free),
		chatPreset("llama-cpp", "http://localhost:8080/v1", "llama.cpp's server on this machine", "LLAMA_API_KEY").with(free),
		messagesPreset("llama-cpp", "http://localhost:8080", "llama.cpp's server over Messages", "LLAMA_API_KEY").with(free),
		chatPreset("lm-studio", "http://localhost:1234/v1", "LM Studio on this machine", "LM_API_TOKEN").with(free),
		messagesPreset("lm-studio", "http://localhost:1234", "LM Studio over Messages", "LM_API_TOKEN").with(free),
		chatPreset("litellm", "http://localhost:4000/v1", "a LiteLLM proxy", "LITELLM_API_KEY",
			"LITELLM_MASTER_KEY").with(func(p *Preset) {
			p.BaseURLEnvs, p.KeyOptional = []string{"LITELLM_BASE_URL", "LITELLM_PROXY_API_BASE"}, true
			p.Dialect, p.Charging = "litellm", "as its configuration says"
		}),
		messagesPreset("litellm", "http://localhost:4000", "a LiteLLM proxy over Messages", "LITELLM_API_KEY",
			"LITELLM_MASTER_KEY").with(func(p *Preset) {
			p.BaseURLEnvs, p.KeyOptional = []string{"LITELLM_BASE_URL", "LITELLM_PROXY_API_BASE"}, true
			p.Auth = bearer("LITELLM_API_KEY")
			p.Dialect, p.Charging = "litellm", "as its configuration says"
		}),
		messagesPreset("simulator", SimulatorURL,
			"the model server inside this program: no key, no network, no cost").with(func(p *Preset) {
			p.Auth = Auth{Scheme: AuthNone}
			p.Dialect, p.Charging = "anthropic", "nothing, unless its rules say so"
		}),
		chatPreset("simulator", SimulatorURL,
			"the model server inside this program, over Chat Completions").with(func(p *Preset) {
			p.Auth = Auth{Scheme: AuthNone}
			p.Dialect, p.Charging = "openai", "nothing, unless its rules say so"
		}),
	}
}
