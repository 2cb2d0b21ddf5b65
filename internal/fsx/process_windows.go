package fsx

import (
	"errors"
	"os/exec"
)

// Confine refuses: the limits of a program are set by a shell, and Windows has
// none.
func Confine(*exec.Cmd, bool) error {
	return errors.New("command scorers do not run on Windows; score on Linux, or in WSL: nightshift score RUN")
}

// ExplainStart adds nothing here.
func ExplainStart(err error, network bool) error { return err }

// KillGroup ends the program.
func KillGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
