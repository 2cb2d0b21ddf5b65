package simulator

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTextForms(t *testing.T) {
	yes := true
	text := `{"seed":3,"latency":"base=20ms,first=200ms,token=5ms,jitter=0.3","limits":"requests=600,input=40000,` +
		`output=8000,tokens=90000,concurrency=24,burst=5s,window=1m0s,sliding=7s,charge=max_tokens,headers=openai,` +
		`per_model",` +
		`"faults":["rate_limit=0.02","outage=1m0s@2m0s","cut_stream=0.01;during=10s@5s;hold=2s;protocol=chat;` +
		`model=gpt;stream=true;contains=x;first=1"],"outages":["30s@1m0s"],"neighbour":"share=0.5,busy=10s,` +
		`period=1m0s","usage":["twice"]}`
	want := Config{
		Seed:    3,
		Latency: Latency{20 * time.Millisecond, 200 * time.Millisecond, 5 * time.Millisecond, 0.3, 0},
		Limits: Limits{600, 40000, 8000, 90000, 24, 5 * time.Second, time.Minute, 7 * time.Second, "max_tokens",
			"openai", true},
		Faults: []Fault{{Kind: "rate_limit", Share: 0.02},
			{Kind: "outage", Share: 1, During: Window{2 * time.Minute, time.Minute}},
			{"cut_stream", 0.01, Window{5 * time.Second, 10 * time.Second}, 2 * time.Second,
				only{Protocol: "chat", Model: "gpt", Stream: &yes, Contains: "x", First: 1}}},
		Outages:    []Window{{time.Minute, 30 * time.Second}},
		Competitor: Competitor{0.5, time.Minute, 10 * time.Second},
		Usage:      []string{"twice"},
	}
	var got Config
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTextErrorsHelp(t *testing.T) {
	fault := func(s string) error { _, err := ParseFaults(s); return err }
	limits := func(s string) error { _, err := ParseLimits(s); return err }
	latency := func(s string) error { _, err := ParseLatency(s); return err }
	for _, tc := range []struct {
		parse func(string) error
		text  string
		want  string
	}{
		{fault, "rate_limits=2%", "rate_limit"},
		{fault, "rate_limit", "write rate_limit=5%"},
		{fault, "rate_limit=200%", "share"},
		{fault, "outage=5", "length of time"},
		{fault, "reset=1%;hodl=2s", "hold"},
		{fault, "reset=1%;protocol=grpc", "messages, chat"},
		{limits, "request=5", "requests"},
		{limits, "requests=-5", "whole number"},
		{latency, "first=5", "length of time"},
		{func(s string) error { return Config{Usage: []string{s}}.Validate() }, "odd", "every_chunk"},
		{func(s string) error { return Config{Limits: Limits{Headers: s}}.Validate() }, "odd", "anthropic"},
		{func(s string) error { return Config{Limits: Limits{Charge: s}}.Validate() }, "odd", "actual"},
		{func(s string) error { return Config{Quota: Quota{Kind: s}}.Validate() }, "odd", "payment"},
	} {
		if err := tc.parse(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q in it", tc.text, err, tc.want)
		}
	}
	if got, err := ParseLatency("first_token=1s,per_token=2ms"); err != nil ||
		got != (Latency{FirstToken: time.Second, PerToken: 2 * time.Millisecond}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseFaults("mixed=5%, storm=0.1"); err != nil || len(got) != 2 || got[0].Share != 0.05 ||
		got[1].Kind != "storm" {
		t.Errorf("%v, %v", got, err)
	}
}
