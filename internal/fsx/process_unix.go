//go:build unix && !linux

package fsx

import (
	"errors"
	"os/exec"
	"syscall"
)

// Confine prepares cmd to run in a process group of its own. The network
// cannot be cut off here, and a promise that is not kept is worse than none:
// without network is an error.
func Confine(cmd *exec.Cmd, network bool) error {
	if !network {
		return errors.New("only Linux can start a program without a network; set `network: true` if it may have one")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return nil
}

// ExplainStart adds nothing here.
func ExplainStart(err error, network bool) error { return err }

// KillGroup ends the program and all that it started.
func KillGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
