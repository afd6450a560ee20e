"""completion: a script for bash, zsh or fish, generated from the commands' options."""

from __future__ import annotations

from ..arguments.options import COMMANDS
from ..arguments.parser import Command
from ..session import Session

_MODELS = "MLX_SERVE_NO_AUTOSTART=1 mlx-serve list 2>/dev/null | awk 'NR > 1 {print $1}'"


def completion(session: Session) -> int:
    print(script(session.options.shell))
    return 0


def script(shell: str) -> str:
    """For bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(command: Command) -> list[tuple[str, str, list[str]]]:
    """Each option's long name, help, and choices."""
    found = []
    for action in command.parser()._actions:
        for option in [name for name in action.option_strings if name.startswith("--")]:
            found.append((option, action.help or "", [str(choice) for choice in action.choices or []]))
    return found


def _words(command: Command) -> list[str]:
    """The choices of a command's arguments."""
    return [
        str(word) for action in command.parser()._actions if not action.option_strings for word in action.choices or []
    ]


def _names(command: Command) -> list[str]:
    return [command.name, *([command.alias] if command.alias else [])]


def _bash() -> str:
    cases = []
    for command in COMMANDS:
        flags = " ".join(name for name, _, _ in _flags(command))
        words = f"$({_MODELS})" if command.models else " ".join(_words(command))
        taken = "".join(f" {name}) words='{' '.join(known)}' ;;" for name, _, known in _flags(command) if known)
        values = f' case "$previous" in{taken} esac;' if taken else ""
        cases.append(f"    {'|'.join(_names(command))}) flags='{flags}'; words=\"{words}\";{values} ;;")
    every = " ".join(name for command in COMMANDS for name in _names(command))
    body = "\n".join(cases)
    return f"""\
# bash completion for mlx-serve; use it with: eval "$(mlx-serve completion bash)"
_mlx_serve() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="" word flags="" words=""
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) command="$word"; break ;; esac
  done
  if [ -z "$command" ]; then
    COMPREPLY=($(compgen -W "{every} --help --version" -- "$current"))
    return
  fi
  case "$command" in
{body}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
}}
complete -o default -F _mlx_serve mlx-serve"""


def _zsh() -> str:
    commands = "\n".join(f"    '{name}:{_quoted(command.summary)}'" for command in COMMANDS for name in _names(command))
    cases = []
    for command in COMMANDS:
        specs = [_zsh_flag(*flag) for flag in _flags(command)]
        if command.models:
            specs.append("'*:model:_mlx_serve_models'")
        elif _words(command):
            specs.append(f"'1:word:({' '.join(_words(command))})'")
        elif command.name == "pull":
            specs.append("'1:source:_files -/'")
        cases.append(f"    {'|'.join(_names(command))}) _arguments {' '.join(specs)} ;;")
    body = "\n".join(cases)
    return f"""\
#compdef mlx-serve
# zsh completion for mlx-serve; use it with: eval "$(mlx-serve completion zsh)"
_mlx_serve_models() {{
  local -a models
  models=(${{(f)"$({_MODELS})"}})
  compadd -a models
}}
_mlx_serve() {{
  local -a commands
  commands=(
{commands}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{body}
  esac
}}
if [ "$funcstack[1]" = "_mlx_serve" ]; then
  _mlx_serve "$@"
else
  (( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit -i; }}
  compdef _mlx_serve mlx-serve
fi"""


def _zsh_flag(name: str, summary: str, words: list[str]) -> str:
    value = f":value:({' '.join(words)})" if words else ""
    return f"'{name}[{_quoted(summary)}]{value}'"


def _fish() -> str:
    lines = [
        "# fish completion for mlx-serve; use it with: mlx-serve completion fish | source",
        "complete -c mlx-serve -f",
    ]
    every = " ".join(name for command in COMMANDS for name in _names(command))
    for command in COMMANDS:
        for name in _names(command):
            begun = f"not __fish_seen_subcommand_from {every}"
            lines.append(f"complete -c mlx-serve -n '{begun}' -a {name} -d '{_quoted(command.summary)}'")
        inside = f"complete -c mlx-serve -n '__fish_seen_subcommand_from {' '.join(_names(command))}'"
        for flag, summary, words in _flags(command):
            takes = f" -x -a '{' '.join(words)}'" if words else ""
            lines.append(f"{inside} -l {flag[2:]} -d '{_quoted(summary)}'{takes}")
        if command.models:
            lines.append(f'{inside} -a "({_fish_models()})"')
        elif _words(command):
            lines.append(f"{inside} -a '{' '.join(_words(command))}'")
        elif command.name == "pull":
            lines.append(f"{inside} -a '(__fish_complete_directories)'")
    return "\n".join(lines)


def _fish_models() -> str:
    return "env MLX_SERVE_NO_AUTOSTART=1 mlx-serve list 2>/dev/null | string match -rv '^NAME' | string split -f1 ' '"


def _quoted(text: str) -> str:
    return text.replace("'", "’").replace("[", "(").replace("]", ")").replace(":", ",")
