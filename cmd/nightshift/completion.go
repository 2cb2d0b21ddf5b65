package main

import (
	_ "embed"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/datasets"
	"nightshift/providers"
	"nightshift/providers/pricing"
	"nightshift/reports"
	"nightshift/reports/scorers"
)

// withoutPackage follows the script for bash.
//
//go:embed completion.bash
var withoutPackage string

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Prints a script with which a shell completes commands, flags, models, presets,
plans and run directories. That for bash needs bash 4 and no package.`,
		Example: `  source <(nightshift completion bash)
  nightshift completion bash > ~/.local/share/bash-completion/completions/nightshift
  nightshift completion zsh > "${fpath[1]}/_nightshift"
  nightshift completion fish > ~/.config/fish/completions/nightshift.fish`,
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(a.out, true); err != nil {
					return err
				}
				_, err := io.WriteString(a.out, withoutPackage)
				return err
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return root.GenPowerShellCompletionWithDesc(a.out)
		},
	}
}

// A completer lists what a word may become.
type completer = cobra.CompletionFunc

// addCompletions tells the shell what arguments and flags may be, by what the
// usage lines and flags are called.
func addCompletions(c *cobra.Command) {
	if c.ValidArgsFunction == nil && c.ValidArgs == nil {
		c.ValidArgsFunction = completeArgs(c)
	}
	for name, complete := range flagCompletions {
		if c.Flags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, complete) // the command's own goes first
		}
	}
}

func completeArgs(c *cobra.Command) completer {
	switch words := c.Use; {
	case strings.Contains(words, "PLAN"):
		return completeFiles("yaml", "yml")
	case strings.Contains(words, "RUN"):
		return completeRuns
	case strings.Contains(words, "DATASET"):
		return completeFiles("jsonl", "json", "csv", "tsv", "parquet", "gz", "zst")
	case c.Name() == "presets", c.Name() == "models":
		return completePresets
	case strings.Contains(words, "DIRECTORY"):
		return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
	}
	return cobra.NoFileCompletions
}

var flagCompletions = map[string]completer{
	"model":       completeModels,
	"endpoint":    completePresets,
	"rows-from":   completeRuns,
	"reuse":       completeRuns,
	"by":          fixed(reports.Dimensions...),
	"gate":        cobra.NoFileCompletions,
	"rows":        fixed("failed", "truncated", "refused", "empty", "different"),
	"protocol":    fixed(protocols()...),
	"auth":        fixed("bearer", "x-api-key", "x-goog-api-key", "raw", "header:", "none"),
	"raw":         fixed("all", "errors", "none"),
	"on-unknown":  fixed("resend", "skip"),
	"field":       fixed("id=", "target=", "messages=", "conversations=", "turns=", "system=", "category=", "cluster="),
	"on-bad-row":  fixed("refuse", "record"),
	"durability":  fixed("normal", "strict"),
	"progress":    fixed("auto", "bar", "plain", "none"),
	"log-format":  fixed("text", "json"),
	"format":      completeFormats,
	"scorer":      completeScorers,
	"dataset":     completeFiles("jsonl", "json", "csv", "tsv", "parquet", "gz", "zst"),
	"prices":      completeFiles("csv", "json"),
	"plan":        completeFiles("yaml", "yml"),
	"api-key-env": completeKeys,
}

func protocols() (names []string) {
	for _, p := range nightshift.Protocols() {
		names = append(names, string(p))
	}
	return names
}

func fixed(list ...string) completer {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

func completeFiles(endings ...string) completer {
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

func completeFormats(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if c.Name() == "export" {
		return []string{"parquet", "csv", "jsonl"}, cobra.ShellCompDirectiveNoFileComp
	}
	return datasets.Formats(), cobra.ShellCompDirectiveNoFileComp
}

func completeScorers(*cobra.Command, []string, string) (list []cobra.Completion, d cobra.ShellCompDirective) {
	for _, t := range scorers.Types() {
		list = append(list, cobra.CompletionWithDesc(t.Type, t.Doc))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

func completePresets(*cobra.Command, []string, string) (list []cobra.Completion, d cobra.ShellCompDirective) {
	for _, p := range presetsByName() {
		list = append(list, cobra.CompletionWithDesc(p.Name, p.Description))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// presetsByName are the presets without second protocols.
func presetsByName() []providers.Preset {
	return slices.CompactFunc(providers.Presets(), func(a, b providers.Preset) bool { return a.Name == b.Name })
}

// completeModels offers endpoints first, and behind the slash the models that
// the price table lists for them.
func completeModels(c *cobra.Command, _ []string, word string) (list []cobra.Completion, d cobra.ShellCompDirective) {
	endpoint, _, found := strings.Cut(word, "/")
	if !found {
		for _, p := range presetsByName() {
			list = append(list, cobra.CompletionWithDesc(p.Name+"/", p.Description))
		}
		return append(list, cobra.CompletionWithDesc("custom/", "an endpoint described by flags")),
			cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	if endpoint == "simulator" {
		return []string{"simulator/sim-large", "simulator/sim-medium", "simulator/sim-small"},
			cobra.ShellCompDirectiveNoFileComp
	}
	names := map[string]bool{}
	for _, p := range pricing.Embedded().All() {
		if p.Provider == endpoint {
			names[endpoint+"/"+p.Model] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), cobra.ShellCompDirectiveNoFileComp
}

// completeRuns offers run directories: here, and one and two folders below.
func completeRuns(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	base := filepath.Dir(word + "x") // the folder that is being typed
	var list []cobra.Completion
	for _, pattern := range []string{"*", "*/*"} {
		found, _ := filepath.Glob(filepath.Join(base, pattern, "run.json"))
		for _, f := range found {
			if dir := filepath.Dir(f); strings.HasPrefix(dir, filepath.Clean(strings.TrimPrefix(word, "./"))) ||
				word == "" {
				list = append(list, dir)
			}
		}
	}
	if len(list) == 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeKeys offers the variables that presets read keys from.
func completeKeys(*cobra.Command, []string, string) (list []cobra.Completion, d cobra.ShellCompDirective) {
	for _, p := range providers.Presets() {
		list = append(list, p.KeyEnvs...)
	}
	slices.Sort(list)
	return slices.Compact(list), cobra.ShellCompDirectiveNoFileComp
}

// makeDirectory makes a folder that others may read, as manual pages are.
func makeDirectory(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return usageError("%w", err)
	}
	return nil
}
