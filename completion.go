package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dockreg/settings"
)

// completionCommand prints a script for a shell, which asks dockreg itself what could
// come next (https://cli.urfave.org/v2/examples/bash-completions/).
func completionCommand() *cli.Command {
	return &cli.Command{
		Name:         "completion",
		Usage:        "print what completes dockreg's flags in bash, zsh or fish",
		ArgsUsage:    "bash|zsh|fish",
		HideHelp:     true,
		OnUsageError: (&settings.Set{}).OnUsageError,
		Action: func(c *cli.Context) error {
			scripts := map[string]func() (string, error){
				"bash": func() (string, error) { return bashCompletion, nil },
				"zsh":  func() (string, error) { return zshCompletion, nil },
				"fish": func() (string, error) { return fishCompletion(*c.App) },
			}
			script, ok := scripts[c.Args().First()]
			if !ok || c.NArg() > 1 {
				return settings.Mistakes{fmt.Sprintf("completion %q: not one shell that it is for; give bash, zsh or fish", strings.Join(c.Args().Slice(), " "))}
			}
			text, err := script()
			if err == nil {
				_, err = fmt.Fprint(c.App.Writer, text)
			}
			return unread(err)
		},
		BashComplete: func(c *cli.Context) { _, _ = fmt.Fprintln(c.App.Writer, "bash\nzsh\nfish") },
	}
}

// fishCompletion leaves the library's help command out, which becomes a subcommand of
// itself once it has run, so that listing it has no end.
func fishCompletion(app cli.App) (string, error) {
	app.Commands = slices.DeleteFunc(slices.Clone(app.Commands), func(c *cli.Command) bool { return c.Name == "help" })
	return app.ToFishCompletion()
}

const bashCompletion = `# dockreg in bash: source <(dockreg completion bash)
_dockreg() {
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}") current=${COMP_WORDS[COMP_CWORD]} word
  COMPREPLY=()
  # Behind -- is the command of an app, which dockreg run would start.
  for word in "${words[@]}"; do [[ $word == -- ]] && return; done
  # For the parser, -- is the end of all flags, and - the beginning of each.
  case $current in --) words+=(-) ;; -*) words+=("$current") ;; esac
  mapfile -t COMPREPLY < <(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current")
}
complete -o bashdefault -o default -F _dockreg dockreg
`

const zshCompletion = `#compdef dockreg
# dockreg in zsh: source <(dockreg completion zsh)
_dockreg() {
  local -a found asked
  asked=("${words[@]:0:$((CURRENT-1))}")
  # Behind -- is the command of an app, which dockreg run would start.
  if (( ${asked[(Ie)--]} )); then _files; return; fi
  # For the parser, -- is the end of all flags, and - the beginning of each.
  case ${words[CURRENT]} in --) asked+=(-) ;; -*) asked+=("${words[CURRENT]}") ;; esac
  found=("${(@f)$("${asked[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${found[1]} ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _dockreg dockreg
# As a file in a folder of $fpath, this is the function itself, the first time.
if [[ ${funcstack[1]} == _dockreg ]]; then _dockreg "$@"; fi
`
