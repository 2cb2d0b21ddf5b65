package main

import (
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// addProfile gives every command a hidden --cpuprofile, for finding out what
// bounds a run. The profile ends with the process's work: when a.endProfile is
// called, whatever came of the command.
func (a *app) addProfile(root *cobra.Command) {
	var path string
	var file *os.File
	root.PersistentFlags().StringVar(&path, "cpuprofile", "", "write a CPU profile to this `FILE`")
	_ = root.PersistentFlags().MarkHidden("cpuprofile") // it is there: cannot fail
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		if path == "" {
			return nil
		}
		if file, err = os.Create(path); err != nil {
			return usageError("--cpuprofile: %w", err)
		}
		return pprof.StartCPUProfile(file)
	}
	a.endProfile = func() {
		if file != nil {
			pprof.StopCPUProfile()
			file.Close()
		}
	}
}
