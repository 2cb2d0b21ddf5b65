// Package huggingface brings datasets of the Hugging Face hub to the disk: the
// Parquet files that the hub makes of every public dataset.
package huggingface

import (
	"fmt"
	"strings"

	"nightshift/internal/pattern"
)

// Scheme is what the name of a dataset on the hub begins with.
const Scheme = "hf://"

// A Name is a dataset on the hub, as people write it:
// hf://owner/name[/config]:split[@revision].
type Name struct {
	Owner, Dataset string
	Config         string // "" is the only one, or "default"
	Split          string
	Revision       string // commit of the Parquet files; "" is the newest
}

// part is what a name is made of: none can lead out of a folder.
var part = pattern.Late(`^[A-Za-z0-9_][A-Za-z0-9_. -]*$`)

var commit = pattern.Late(`^[0-9a-f]{40}$`)

// ParseName reads a name. The error says what is missing.
func ParseName(text string) (n Name, err error) {
	rest := strings.TrimPrefix(text, Scheme)
	rest, n.Revision, _ = strings.Cut(rest, "@")
	place, split, found := strings.Cut(rest, ":")
	n.Split = split
	parts := strings.Split(place, "/")
	if !found || len(parts) < 2 || len(parts) > 3 {
		return n, fmt.Errorf("%q is not hf://owner/name[/config]:split, such as hf://openai/gsm8k/main:test", text)
	}
	n.Owner, n.Dataset = parts[0], parts[1]
	if len(parts) == 3 {
		n.Config = parts[2]
	}
	for _, p := range append(parts, split) {
		if !part().MatchString(p) {
			return n, fmt.Errorf("%q in %q is no name of an owner, dataset, config or split", p, text)
		}
	}
	if n.Revision != "" && !commit().MatchString(n.Revision) {
		return n, fmt.Errorf("%q in %q is no revision: 40 hexadecimal digits", n.Revision, text)
	}
	return n, nil
}

func (n Name) repository() string { return n.Owner + "/" + n.Dataset }

// String is the name as people write it.
func (n Name) String() string {
	text := Scheme + n.repository()
	if n.Config != "" {
		text += "/" + n.Config
	}
	text += ":" + n.Split
	if n.Revision != "" {
		text += "@" + n.Revision
	}
	return text
}
