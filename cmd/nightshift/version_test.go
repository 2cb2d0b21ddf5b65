package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

// What the Go tool puts into a binary is what the program says of itself.
func TestBuild(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.time", Value: "2026-11-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}}}
	b := buildOf(info)
	if b.version != "v1.2.3" || b.commit() != "0123456789abcdef0123456789abcdef01234567+changes" {
		t.Errorf("%+v", b)
	}
	lines := strings.Split(b.details(), "\n")
	if lines[0] != "commit  "+b.commit() || lines[1] != "date    2026-11-02T03:04:05Z" ||
		!strings.HasPrefix(lines[2], "go      go") {
		t.Errorf("details: %q", lines)
	}
	if b := buildOf(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}); b.version != "devel" ||
		!strings.HasPrefix(b.details(), "go ") {
		t.Errorf("a build without a version: %+v, %q", b, b.details())
	}
}
