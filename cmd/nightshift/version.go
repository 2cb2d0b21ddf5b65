package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A build is what the binary says of how it was made.
type build struct {
	version  string // of the module, where it was built from a tag or installed as one; else "devel"
	revision string // commit; "" where it is not known
	modified bool   // the checkout had changes
	date     string // of the commit, RFC 3339; "" where it is not known
}

// readBuild reads what the Go tool has put into the binary. ok is false where it
// has put in nothing.
func readBuild() (b build, ok bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b, false
	}
	return buildOf(info), true
}

func buildOf(info *debug.BuildInfo) build {
	b := build{version: info.Main.Version}
	if b.version == "" || b.version == "(devel)" {
		b.version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		case "vcs.time":
			b.date = s.Value
		}
	}
	return b
}

func (b build) commit() string {
	if b.modified {
		return b.revision + "+changes"
	}
	return b.revision
}

// version is the program's version in a line: the module's where it was
// installed as one, else the commit it was built from.
func version() string {
	b, ok := readBuild()
	switch {
	case !ok:
		return "nightshift (unknown build)"
	case b.version == "devel" && b.revision != "":
		short := build{revision: b.revision[:min(12, len(b.revision))], modified: b.modified}
		return "nightshift devel-" + short.commit()
	}
	return "nightshift " + b.version
}

// versionText says all that is known of the build.
func versionText() string {
	b, _ := readBuild()
	return version() + "\n" + b.details()
}

func (b build) details() (text string) {
	for _, line := range [][2]string{{"commit", b.commit()}, {"date", b.date}} {
		if line[1] != "" {
			text += fmt.Sprintf("%-7s %s\n", line[0], line[1])
		}
	}
	return text + fmt.Sprintf("%-7s %s %s/%s\n", "go", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, the commit and date it was built from, and the Go version",
		Example: "  nightshift version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.out, versionText())
			return err
		},
	}
}
