package main

import (
	"bytes"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script for a shell",
		Long: `Print a script that makes a shell complete Langkeep's commands, flags and, while
the agent runs, profile names.`,
		Example: `  source <(langkeep completion bash)
  langkeep completion zsh > "${fpath[1]}/_langkeep"
  langkeep completion fish > ~/.config/fish/completions/langkeep.fish
  langkeep completion powershell | Out-String | Invoke-Expression`,
		Args:      takesOne,
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			var script bytes.Buffer
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&script, true)
			case "zsh":
				err = root.GenZshCompletion(&script)
			case "fish":
				err = root.GenFishCompletion(&script, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&script)
			}
			if err != nil {
				return err
			}
			return a.result(script.String())
		},
	}
}
