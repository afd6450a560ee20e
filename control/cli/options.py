"""The command line as data: every command, what it takes, and where its code is. Only the wanted parser is built."""

from __future__ import annotations

import argparse
import sys

from .display.terminal import width
from .quantization import BITS, GROUP_SIZES, MODES
from .target import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

KINDS = ("llm", "vlm", "embedding", "reranker")
SHELLS = ("bash", "zsh", "fish")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Parser(argparse.ArgumentParser):
    """One line for a mistake, and the way to the help."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            # A width given by us spares the import of shutil at every option.
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=min(width(sys.stdout), 100) - 2),
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


class Command:
    """`module` and `function` name the code under `control.commands`, imported only when the command runs."""

    def __init__(
        self,
        name: str,
        summary: str,
        code: str,
        add: Callable[[argparse.ArgumentParser], None] | None = None,
        *,
        alias: str | None = None,
        models: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.module, _, self.function = code.partition(":")
        self.add = add
        self.alias = alias
        self.models = models

    def parser(self) -> Parser:
        parser = Parser(f"mlx-serve {self.name}", self.summary[0].upper() + self.summary[1:] + ".")
        if self.add is not None:
            self.add(parser)
        group = parser.add_argument_group("which daemon, and how to answer")
        group.add_argument("--port", type=port, metavar="P", help="the daemon on this port (else MLX_SERVE_PORT)")
        group.add_argument("--socket", metavar="PATH", help="the daemon at this control socket")
        group.add_argument("--json", action="store_true", help="machine-readable output")
        return parser


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number between 1 and 65535")
    return int(text)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="H", help="address to listen at (default 0.0.0.0; guests need a key)")
    parser.add_argument("--foreground", action="store_true", help="stay in this terminal")
    parser.add_argument(
        "--preload", action="append", default=[], metavar="NAME", help="load a model at once; repeatable"
    )
    parser.add_argument("--config", metavar="FILE", help="settings file (default: config.yaml in the home folder)")
    parser.add_argument("--models-dir", metavar="DIR", help="where models are stored")
    parser.add_argument("--log-level", metavar="L", type=str.upper, choices=_LEVELS, help=", ".join(_LEVELS))


def _stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="now, without waiting for running requests")
    parser.add_argument("--all", action="store_true", help="every daemon of this home")


def _pull(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="owner/name of the Hugging Face hub, an alias, a local folder, or starter"
    )
    parser.add_argument("--type", choices=KINDS, help="what kind of model it is (detected when not given)")
    parser.add_argument("--name", metavar="NAME", help="the name to store it under")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the source")
    parser.add_argument(
        "--quantize", type=_whole, choices=BITS, metavar="BITS", help="make the weights smaller: bits each"
    )
    _precision(parser)
    parser.add_argument("--keep-source", action="store_true", help="after --quantize, keep the full model too")


def _quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an installed model that is not quantized yet")
    parser.add_argument("--bits", type=_whole, choices=BITS, metavar="BITS", help="bits of each weight (default 4)")
    _precision(parser)
    parser.add_argument("--name", dest="target", metavar="NAME", help="the result's name (default NAME-4bit and such)")


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, help="number format (default affine)")
    parser.add_argument(
        "--group-size", type=_whole, choices=GROUP_SIZES, metavar="G", help="weights that share a scale (default 64)"
    )


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only names that begin so")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model's name, in full or short")


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="a model's name, in full or short")


def _copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="A", help="an installed model")
    parser.add_argument("destination", metavar="B", help="its second name")


def _run(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="the question; without one, a chat begins")
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="show the model a picture; repeatable"
    )
    parser.add_argument("--system", metavar="S", help="system message")
    parser.add_argument("--format", metavar="json|FILE", help="answer in JSON, or after the JSON schema in FILE")
    parser.add_argument("--think", action=argparse.BooleanOptionalAction, help="let the model reason first, or not")
    parser.add_argument("--verbose", action="store_true", help="timings after each answer")


def _logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on as the log grows")
    parser.add_argument("-n", "--lines", type=_count, default=100, metavar="N", help="how many lines (default 100)")


def _config(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--example", action="store_true", help="a settings file with every key and its default")
    group.add_argument("--path", action="store_true", help="where the settings file is")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one model (default: everything stored)")


def _gc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


COMMANDS = (
    Command("start", "start the daemon and return when it is ready", "daemon:start", _start),
    Command("status", "what runs: process, address, memory, models, queue", "daemon:status"),
    Command("stop", "finish what runs, then stop the daemon", "daemon:stop", _stop),
    Command("pull", "bring a model into the store", "pull:pull", _pull),
    Command("quantize", "make a smaller copy of a model", "pull:quantize", _quantize, models=True),
    Command("list", "installed models", "models:list_models", _list, alias="ls"),
    Command("show", "one model in full", "models:show", _name, models=True),
    Command("remove", "remove models", "models:remove", _names, alias="rm", models=True),
    Command("copy", "give a model a second name", "models:copy", _copy, alias="cp", models=True),
    Command("run", "ask a model once, or chat with it", "run:run", _run, models=True),
    Command("ps", "loaded models", "memory:ps"),
    Command("load", "bring a model into memory", "memory:load", _name, models=True),
    Command("unload", "put a model out of memory", "memory:unload", _name, models=True),
    Command("logs", "the daemon's log", "logs:logs", _logs),
    Command("config", "effective settings, and where each came from", "config:config", _config),
    Command("verify", "hash stored files again and compare", "upkeep:verify", _verify, models=True),
    Command("gc", "free what no model names", "upkeep:gc", _gc),
    Command("version", "versions of the command and the daemon", "daemon:version"),
    Command("completion", "a script that teaches the shell these commands", "completion:completion", _completion),
)


def find(name: str) -> Command | None:
    return next((command for command in COMMANDS if name in (command.name, command.alias)), None)


def names() -> list[str]:
    return [name for command in COMMANDS for name in (command.name, command.alias) if name]


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """The options in front of the command, the command, and what follows it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        takes_value = arguments[index] in ("--port", "--socket")
        index += 2 if takes_value else 1
    command = arguments[index] if index < len(arguments) else None
    return arguments[:index], command, arguments[index + 1 :]


def help_text() -> str:
    widest = max(len(_label(command)) for command in COMMANDS)
    rows = "\n".join(f"  {_label(command).ljust(widest)}  {command.summary}" for command in COMMANDS)
    return (
        "usage: mlx-serve COMMAND [OPTION]…\n\nServes MLX models over OpenAI's and Ollama's HTTP.\n\n"
        f"{rows}\n\n"
        "Every command takes --port P or --socket PATH (which daemon), --json, and --help.\n"
        "First steps: mlx-serve start, mlx-serve pull starter, mlx-serve run starter"
    )


def _label(command: Command) -> str:
    return f"{command.name}, {command.alias}" if command.alias else command.name
