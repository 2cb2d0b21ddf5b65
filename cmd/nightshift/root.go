package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/internal/words"
	"nightshift/runner/session"
)

// An app is the process seen from a command: where its output goes and what
// its environment says. Tests give it their own.
type app struct {
	in        io.Reader
	out       io.Writer // results
	err       io.Writer // progress and logs
	lookupEnv func(string) (string, bool)
	// Directories that people call otherwise, and how: in texts, and by directory. nil
	// is none.
	names  *strings.Replacer
	called map[string]string

	endProfile func()
}

func (a *app) getenv(name string) string {
	v, _ := a.lookupEnv(name)
	return v
}

// run is main without the process. It returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer,
	lookupEnv func(string) (string, bool)) int {
	a := &app{in: in, out: out, err: errw, lookupEnv: lookupEnv}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	a.endProfile()
	if err == nil {
		return exitOK
	}
	if message := strings.TrimRight(err.Error(), "\n"); message != "" {
		fmt.Fprintln(errw, "nightshift: "+message)
	}
	return exitCode(err)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "nightshift",
		Short: "Run prompt sets through language models overnight; keep every answer, its cost, and which " +
			"model is better",
		Long: `nightshift runs a dataset of prompts through one or more models overnight. It keeps
every answer and its cost in Parquet and compares the models.

Start with the quickstart, which needs no key and no network:

  nightshift run examples/quickstart/plan.yaml

Exit codes: 0 done, 1 internal error, 2 usage, plan or dataset invalid, 3 more
rows failed than tolerated, 4 stopped early (resumable), 5 a gate was missed,
6 storage failed, 7 the run directory belongs to another plan or dataset,
8 batches submitted (the same command collects them), 75 already running,
130 interrupted (resumable).`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          noCommand,
	}
	root.Version = version()
	root.SetVersionTemplate(versionText())
	root.Flags().Bool("version", false, "print the version, commit, date and Go version")
	root.SuggestionsMinimumDistance = 2
	a.addProfile(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%w%s\nsee: %s --help", badValue(err), nearFlag(c, err), c.CommandPath())
	})
	for _, c := range a.commands() {
		wrapUsage(c)
		root.AddCommand(c)
	}
	strictHelp(root)
	return root
}

// strictHelp makes `help` refuse commands that do not exist.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	show := help.Run
	help.Run, help.RunE = nil, func(c *cobra.Command, args []string) error {
		if of, _, err := root.Find(args); len(args) > 0 && (err != nil || of == root) {
			return noCommand(root, args)
		}
		show(c, args)
		return nil
	}
}

// badValue says in plain words what is wrong with the value of a flag.
func badValue(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	wanted := map[string]string{"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0",
		"float64": "a number", "duration": "a time such as 90s or 2h",
		"bool": "true or false"}[invalid.GetFlag().Value.Type()]
	if wanted == "" {
		return err
	}
	return fmt.Errorf("--%s: %q is not %s", invalid.GetFlag().Name, invalid.GetValue(), wanted)
}

// nearFlag suggests flags of the command that an unknown one may stand for.
func nearFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	var flags []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	})
	if near := words.Near(unknown.GetSpecifiedName(), flags); near != "" {
		return "; did you mean --" + strings.ReplaceAll(near, " or ", " or --") + "?"
	}
	return ""
}

// noCommand shows the help, or says that a command does not exist.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return root.Help()
	}
	message := fmt.Sprintf("there is no command %q", args[0])
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError("%s\nsee: %s --help", message, root.Name())
}

// wrapUsage gives mistakes in arguments the exit code for usage.
func wrapUsage(c *cobra.Command) {
	c.Flags().SortFlags = false
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		var exit *session.Error
		if err == nil || errors.As(err, &exit) {
			return err
		}
		return usageError("%w\nusage: %s\nsee: %s --help", err, c.UseLine(), c.CommandPath())
	}
}
