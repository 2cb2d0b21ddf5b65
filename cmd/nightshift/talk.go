package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
)

// talkFlags say what a command that sends requests shows of them, and where its log
// goes.
type talkFlags struct {
	progress, logFormat, logFile string
	quiet, verbose               bool
}

func (f *talkFlags) add(s *pflag.FlagSet) {
	s.StringVar(&f.progress, "progress", "auto", "auto, bar, plain or none")
	s.StringVar(&f.logFormat, "log-format", "text", "text or json")
	s.StringVar(&f.logFile, "log-file", "", "write the log to this `FILE` as well")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only warnings")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log every retry")
}

func (f *talkFlags) validate() error {
	if !oneOf(f.progress, "auto", "bar", "plain", "none") {
		return usageError("--progress: %q is none of auto, bar, plain, none", f.progress)
	}
	if !oneOf(f.logFormat, "text", "json") {
		return usageError("--log-format: %q is neither text nor json", f.logFormat)
	}
	return nil
}

// logger builds the log: to the terminal, and to a file when asked.
func (f *talkFlags) logger(w io.Writer) (*slog.Logger, func(), error) {
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	if f.verbose {
		level = slog.LevelDebug
	}
	close := func() {}
	if f.logFile != "" {
		file, err := os.OpenFile(filepath.Clean(f.logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, usageError("--log-file: %w", err)
		}
		close = func() { file.Close() }
		w = io.MultiWriter(w, file)
	}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), close, nil
	}
	return slog.New(&plainHandler{w: w, level: level}), close, nil
}
