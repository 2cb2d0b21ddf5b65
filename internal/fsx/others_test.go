//go:build unix

package fsx

import (
	"os"
	"testing"
)

func TestOthersRead(t *testing.T) {
	for _, tc := range []struct {
		mode           os.FileMode
		rootOwns, root bool
		others         bool
	}{
		{0o600, false, false, false},
		{0o400, true, true, false},
		{0o640, false, false, true}, // our own, for a group
		{0o440, true, true, true},
		{0o440, true, false, false}, // root's, for our group
		{0o640, true, false, false},
		{0o660, true, false, true},
		{0o444, true, false, true},
		{0o604, false, true, true},
	} {
		if got := othersRead(tc.mode, tc.rootOwns, tc.root); got != tc.others {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
