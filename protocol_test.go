package nightshift

import "testing"

func TestPathProtocol(t *testing.T) {
	old := protocols
	defer func() { protocols = old }()
	protocols = []protocolRow{
		{name: "a", path: "/completions"}, {name: "b", path: "/chat/completions"},
		{name: "c", path: "/models/{model}:say", streamed: "/models/{model}:sing?alt=sse"},
	}
	for path, want := range map[string]Protocol{
		"/v1/completions": "a", "/v1/chat/completions": "b", "/v1/models/x:say": "c", "/v1/models/x:sing": "c",
		"/v1/models/x": "", "": "",
	} {
		if got, ok := PathProtocol(path); got != want || ok != (want != "") {
			t.Errorf("%q is of %q, %v, want %q", path, got, ok, want)
		}
	}
}

func TestProtocolTable(t *testing.T) {
	for _, p := range Protocols() {
		if !p.Valid() || p.Path() == "" || p.Version() == "" || p.StreamPath() == "" {
			t.Errorf("%s lacks a path or a version", p)
		}
		if got, ok := PathProtocol("/v1" + p.Path()); !ok || got != p {
			t.Errorf("the path of %s is taken for that of %q", p, got)
		}
	}
	if Protocol("soap").Valid() || Protocol("soap").Path() != "" {
		t.Error("an unknown protocol has a path")
	}
}
