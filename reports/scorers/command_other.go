//go:build !linux

package scorers

import (
	"errors"
	"os/exec"
)

// confine only knows Linux: elsewhere neither network nor children can be held
// back, and a promise that is not kept is worse than none.
func confine(cmd *exec.Cmd, network bool) error {
	return errors.New("command scorers run on Linux only")
}

func explainStart(err error, network bool) error { return err }

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
