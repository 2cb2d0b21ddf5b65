package plan

import (
	"fmt"
	"testing"
)

func TestSmoke(t *testing.T) {
	src := `version: 1
name: gsm8k
datset:
  path: gsm8k.jsonl
epochs: many
models:
  - {name: a, endpoint: antropic, model: 1.0, params: {max_tokens: 1024, temperature: 1.0}}
  - name: a
    endpoint: openai
    model: gpt-5
    temperature: 0
budget: {usd: -3}
endpoints:
  corp: {preset: openai, base_url: "http://llm.example.com/v1", auth: {scheme: bearer, env: sk-abcdefghijklmnop}}
  corp: {protocol: chat}
scorers: [exact, {type: numbr, style: last}]
gates: ["error_rate <", "no_regression(gpt-6)"]
tolerate_failed: 3 rows
raw: al
`
	_, err := Parse("dir/plan.yaml", []byte(src))
	fmt.Println(err)
}
