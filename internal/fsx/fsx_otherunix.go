//go:build unix && !linux && !darwin

package fsx

import (
	"errors"
	"os"
)

func renameNew(string, string) error { return errors.ErrUnsupported }

// Reserve is not to be had on this system.
func Reserve(*os.File, int64, int64) error { return errors.ErrUnsupported }
