"""The manual page, made from the command's own parser: `python packaging/man/page.py mlx-serve.1`.

The format is that of man(7): https://man7.org/linux/man-pages/man7/man.7.html. It has no date, so that the same sources
give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from mlx_serve import __version__
from mlx_serve.control.cli.arguments.examples import EXAMPLES
from mlx_serve.control.cli.arguments.options import COMMANDS
from mlx_serve.control.cli.arguments.parser import Command

DESCRIPTION = (
    "mlx-serve serves MLX models on one machine over the HTTP APIs of OpenAI, Ollama and others. A daemon holds the "
    "models; this command speaks to it over a Unix socket, and starts it where that is needed."
)
EXIT_STATUS = (
    ("0", "done"),
    ("1", "the operation failed"),
    ("2", "wrong usage"),
    ("3", "no daemon is running"),
    ("130", "interrupted"),
)
ENVIRONMENT = (
    ("MLX_SERVE_HOME", "settings, models, logs and control sockets; ~/.mlx-serve by default"),
    ("MLX_SERVE_PORT", "the daemon's port, 8000 by default; every other setting has a variable as well"),
    ("MLX_SERVE_NO_AUTOSTART", "1: commands do not start a daemon"),
    ("NO_COLOR", "any value: no colours"),
)
FILES = (
    ("~/.mlx-serve/config.yaml", "the settings; mlx-serve config --example prints one"),
    ("~/.mlx-serve/logs/8000.log", "the log of the daemon on that port"),
    ("~/.mlx-serve/run/8000.sock", "its control socket"),
)


def page() -> str:
    """The whole page."""
    return "\n".join([*_head(), *_commands(), *_tail()]) + "\n"


def _head() -> Iterator[str]:
    yield f'.TH MLX-SERVE 1 "" "mlx-serve {_text(__version__)}" "User Commands"'
    yield ".SH NAME"
    yield "mlx-serve \\- serve MLX models from your own machine"
    yield ".SH SYNOPSIS"
    yield ".B mlx-serve"
    yield ".I COMMAND"
    yield "[\\fIOPTION\\fR]..."
    yield ".SH DESCRIPTION"
    yield _text(DESCRIPTION)
    yield ".PP"
    yield _text("Every command takes these options, and --help:")
    for action in COMMANDS[0].parser()._actions:
        if {"--port", "--socket", "--json"} & set(action.option_strings):
            yield from _option(action)


def _commands() -> Iterator[str]:
    yield ".SH COMMANDS"
    for command in COMMANDS:
        actions = [action for action in command.parser()._actions if "--help" not in action.option_strings]
        yield f".SS {_synopsis(command, actions)}"
        yield _text(command.summary[0].upper() + command.summary[1:] + ".")
        for action in actions:
            if not {"--port", "--socket", "--json"} & set(action.option_strings):
                yield from _option(action)
        yield ".PP"
        yield "Example:"
        yield ".B " + _quoted(EXAMPLES[command.name])


def _tail() -> Iterator[str]:
    for title, rows in (("EXIT STATUS", EXIT_STATUS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, text in rows:
            yield ".TP"
            yield ".B " + _quoted(name)
            yield _text(text)


def _synopsis(command: Command, actions: list[argparse.Action]) -> str:
    """Its name, its alias, and what it takes beside options."""
    words = [command.name if command.alias is None else f"{command.name}, {command.alias}"]
    for action in actions:
        if action.option_strings:
            continue
        name = _placeholder(action)
        words.append({"?": f"[{name}]", "*": f"[{name}]...", "+": f"{name}..."}.get(str(action.nargs), name))
    return _quoted(" ".join(words))


def _option(action: argparse.Action) -> Iterator[str]:
    yield ".TP"
    if action.option_strings:
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in action.option_strings)
        takes = action.nargs != 0
        yield names + (f" \\fI{_text(_placeholder(action))}\\fR" if takes else "")
    else:
        yield f"\\fI{_text(_placeholder(action))}\\fR"
    help_text = (action.help or "").replace("%%", "%")
    yield _text(help_text or "one of " + ", ".join(map(str, action.choices or ())))


def _placeholder(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _text(text: str) -> str:
    """Plain text, so that nothing in it is a request, an escape or another character than it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("~", "\\(ti")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _quoted(text: str) -> str:
    """One argument of a request."""
    escaped = _text(text).replace('"', "\\(dq")
    return f'"{escaped}"'


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: page.py [FILE]", file=sys.stderr)
        return 2
    if arguments:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
