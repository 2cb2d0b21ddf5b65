package fsx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Confine prepares cmd to run in a process group of its own and, unless the
// network is wanted, in a network of its own that has no way out.
func Confine(cmd *exec.Cmd, network bool) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if network {
		return nil
	}
	// A user namespace is what lets an ordinary user have a network namespace.
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	return nil
}

// ExplainStart says what to do when the system refuses to cut off the network.
func ExplainStart(err error, network bool) error {
	refused := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.ENOSYS)
	if !network && refused {
		return fmt.Errorf(
			"%w: this system refuses to start it without a network; set `network: true` if it may have one", err)
	}
	return err
}

// KillGroup ends the program and all that it started.
func KillGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
