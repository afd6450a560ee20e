"""docs/commands.md: every command with what it takes and an example, from the command's own parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from mlx_serve.control.cli.arguments.examples import EXAMPLES
from mlx_serve.control.cli.arguments.options import COMMANDS
from mlx_serve.control.cli.arguments.parser import Command

_HEAD = """\
<!-- Written by `make docs` from control/cli/arguments/options.py; edit the texts there. -->

# Every command

`mlx-serve COMMAND --help` says the same, and so does `man mlx-serve` where the manual page is installed. Commands speak
to the daemon over its Unix socket. Those that need one start it in the background and say so; with
`MLX_SERVE_NO_AUTOSTART=1` they end with 3 instead. `status`, `stop`, `ps`, `cancel` and `logs` never start one.

Every command takes these:

| option | |
| --- | --- |
"""
_TAIL = """
## Exit status

0 done, 1 failed, 2 wrong usage, 3 no daemon, 75 already running (`start`), 130 interrupted. Errors go to stderr, in a
sentence with what to do next. Output is plain where it is no terminal, and `NO_COLOR` is honoured.
"""
_COMMON = ("--port", "--socket", "--json")


def commands(committed: str) -> str:
    """The whole document; nothing of the committed one is kept."""
    common = [action for action in _actions(COMMANDS[0]) if set(_COMMON) & set(action.option_strings)]
    rows = "".join(map(_row, common))
    return "".join([_HEAD, rows, *(line for command in COMMANDS for line in _command(command)), _TAIL])


def _actions(command: Command) -> list[argparse.Action]:
    return [action for action in command.parser()._actions if "--help" not in action.option_strings]


def _command(command: Command) -> Iterator[str]:
    own = [action for action in _actions(command) if not set(_COMMON) & set(action.option_strings)]
    alias = f" (`{command.alias}`)" if command.alias else ""
    yield f"\n## mlx-serve {command.name}{alias}\n\n{command.summary[0].upper()}{command.summary[1:]}.\n"
    if own:
        yield "\n| argument | |\n| --- | --- |\n"
        yield from map(_row, own)
    yield f"\n```sh\n{EXAMPLES[command.name]}\n```\n"


def _row(action: argparse.Action) -> str:
    about = (action.help or "").replace("%%", "%") or "one of " + ", ".join(map(str, action.choices or ()))
    return f"| {_name(action)} | {about.replace('|', chr(92) + '|')} |\n"


def _name(action: argparse.Action) -> str:
    words = action.metavar if isinstance(action.metavar, str) else "|".join(map(str, action.choices or ()))
    placeholder = (words or action.dest.upper()).replace("|", "\\|")
    if not action.option_strings:
        return f"`{placeholder}`"
    takes = "" if action.nargs == 0 else f" {placeholder}"
    return ", ".join(f"`{name}{takes}`" for name in action.option_strings)
