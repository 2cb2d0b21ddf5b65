package main

import "github.com/spf13/cobra"

// commands are all commands in the order in which help lists them.
func (a *app) commands() []*cobra.Command {
	list := []*cobra.Command{
		a.runCommand(),
		a.checkCommand(),
		a.initCommand(),
		a.statusCommand(),
		a.workCommand(),
		a.joinKeyCommand(),
		a.cancelCommand(),
		a.extendCommand(),
		a.scoreCommand(),
		a.reportCommand(),
		a.compareCommand(),
		a.historyCommand(),
		a.costCommand(),
		a.viewCommand(),
		a.exportCommand(),
		a.importCommand(),
		a.sqlCommand(),
		a.verifyCommand(),
		a.simulateCommand(),
		a.scorersCommand(),
		a.presetsCommand(),
		a.modelsCommand(),
		a.batchesCommand(),
		a.pricesCommand(),
		a.schemaCommand(),
		a.completionCommand(),
		a.manCommand(),
		a.versionCommand(),
	}
	for _, c := range list {
		completeHelp(c)
		addCompletions(c)
	}
	return list
}
