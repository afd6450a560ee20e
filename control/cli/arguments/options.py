"""Every command, its options, and where its code is. Only the needed parser is built."""

from __future__ import annotations

import argparse

from .argument_types import line_count, streams, token_count, whole
from .parser import Command
from .quantization import BITS, GROUP_SIZES, MODES

KINDS = ("llm", "vlm", "embedding", "reranker")
SHELLS = ("bash", "zsh", "fish")
SERVICE_ACTIONS = ("install", "start", "stop", "status", "enable", "disable", "uninstall")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", metavar="H", help="address to listen on (default 0.0.0.0; other machines need an API key)"
    )
    parser.add_argument("--foreground", action="store_true", help="run in this terminal instead of the background")
    parser.add_argument(
        "--preload", action="append", default=[], metavar="NAME", help="load a model at start; repeatable"
    )
    parser.add_argument("--config", metavar="FILE", help="settings file (default: config.yaml in the home folder)")
    parser.add_argument("--models-dir", metavar="DIR", help="where models are stored")
    parser.add_argument("--log-level", metavar="L", type=str.upper, choices=_LEVELS, help=", ".join(_LEVELS))


def _stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="stop now, without waiting for running requests")
    parser.add_argument("--all", action="store_true", help="stop every daemon of this home folder")


def _pull(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="owner/name on the Hugging Face hub, an alias, a local folder, or starter"
    )
    parser.add_argument("--type", choices=KINDS, help="kind of model (default: detected)")
    parser.add_argument("--name", metavar="NAME", help="the name to store it under")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the repository")
    parser.add_argument(
        "--quantize", type=whole, choices=BITS, metavar="BITS", help="quantize the weights to this many bits"
    )
    _precision(parser)
    parser.add_argument("--keep-source", action="store_true", help="with --quantize, also keep the full model")


def _quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an installed model that is not quantized yet")
    parser.add_argument("--bits", type=whole, choices=BITS, metavar="BITS", help="bits of each weight (default 4)")
    _precision(parser)
    parser.add_argument(
        "--name", dest="target", metavar="NAME", help="name of the result (default: NAME-4bit for 4 bits)"
    )


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, help="number format (default affine)")
    parser.add_argument(
        "--group-size", type=whole, choices=GROUP_SIZES, metavar="G", help="weights that share a scale (default 64)"
    )


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only names that begin with PREFIX")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="full or short name of a model")


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="full or short name of a model")


def _ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="id of a request, as `mlx-serve ps` shows it")


def _copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="A", help="an installed model")
    parser.add_argument("destination", metavar="B", help="the second name")


def _run(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "prompt", nargs="*", default=[], metavar="PROMPT", help="the prompt; without one, an interactive chat starts"
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="an image for the model; repeatable"
    )
    parser.add_argument("--system", metavar="S", help="system message")
    parser.add_argument("--format", metavar="json|FILE", help="answer in JSON, or by the JSON schema in FILE")
    parser.add_argument("--think", action=argparse.BooleanOptionalAction, help="turn reasoning on or off")
    parser.add_argument("--verbose", action="store_true", help="show timings after each answer")


def _logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="keep printing new lines")
    parser.add_argument(
        "-n", "--lines", type=line_count, default=100, metavar="N", help="number of lines (default 100)"
    )


def _config(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--example", action="store_true", help="print a settings file with every key and its default")
    group.add_argument("--path", action="store_true", help="print the path of the settings file")
    group.add_argument("--reload", action="store_true", help="have the running daemon read its settings again")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one model (default: all stored files)")


def _gc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")


def _launch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "client", nargs="?", metavar="CLIENT", help="claude, codex, opencode, …; without one, all are listed"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="the model (default: the loaded one, or the only one; else asked)"
    )
    parser.add_argument("--print", action="store_true", help="only show what would be set, written and run")
    parser.add_argument("--yes", action="store_true", help="write what the client needs without asking")


def _service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=SERVICE_ACTIONS, metavar="ACTION", help=", ".join(SERVICE_ACTIONS))
    parser.add_argument("--boot", action="store_true", help="one of the whole system, started at boot; needs root")
    parser.add_argument("--user", metavar="NAME", help="with install --boot, the account that the daemon runs as")
    parser.add_argument("--force", action="store_true", help="replace or remove a file that was changed")
    parser.add_argument("--print", action="store_true", help="with install, print the file and change nothing")


def _bench(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        *("-c", "--concurrency"),
        type=streams,
        default=(1, 4, 8),
        metavar="N,…",
        help="numbers of streams at once (default 1,4,8)",
    )
    parser.add_argument(
        "--prompt", type=token_count, default=512, metavar="N", help="tokens of each prompt, about (default 512)"
    )
    parser.add_argument(
        "--tokens", type=token_count, default=128, metavar="N", help="tokens of each answer (default 128)"
    )


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


COMMANDS = (
    Command("start", "start the daemon and return when it is ready", "daemon:start", _start),
    Command("status", "show the daemon: process, address, memory, models, queue", "daemon:status"),
    Command("stop", "finish running requests, then stop the daemon", "daemon:stop", _stop),
    Command("pull", "download or copy a model into the store", "pull:pull", _pull),
    Command("quantize", "make a quantized copy of a model", "pull:quantize", _quantize, models=True),
    Command("list", "list installed models", "models:list_models", _list, alias="ls"),
    Command("show", "show all details of a model", "models:show", _name, models=True),
    Command("remove", "remove models", "models:remove", _names, alias="rm", models=True),
    Command("copy", "give a model a second name", "models:copy", _copy, alias="cp", models=True),
    Command("run", "send one prompt to a model, or chat with it", "run:run", _run, models=True),
    Command(
        "launch",
        "run a coding agent against the daemon; its own arguments stand behind --",
        "agent:launch",
        _launch,
        rest=True,
    ),
    Command("ps", "list loaded models, and the requests that run or wait", "memory:ps"),
    Command("cancel", "end a running or waiting request", "memory:cancel", _ids),
    Command("load", "load a model into memory", "memory:load", _name, models=True),
    Command("unload", "unload a model from memory", "memory:unload", _name, models=True),
    Command("logs", "print the daemon's log", "logs:logs", _logs),
    Command("config", "print the effective settings and where each comes from", "config:config", _config),
    Command("verify", "check stored files against their digests", "upkeep:verify", _verify, models=True),
    Command("gc", "delete files that no model uses", "upkeep:gc", _gc),
    Command("bench", "measure how fast a model is, and compare with the last time", "bench:bench", _bench, models=True),
    Command("doctor", "look for what could be wrong on this machine, and say what to do", "doctor:doctor"),
    Command("service", "run the daemon as a service of launchd or systemd", "service:service", _service),
    Command("version", "print the versions of the command and the daemon", "daemon:version"),
    Command("completion", "print a completion script for bash, zsh or fish", "completion:completion", _completion),
)


def find(name: str) -> Command | None:
    return next((command for command in COMMANDS if name in (command.name, command.alias)), None)


def names() -> list[str]:
    return [name for command in COMMANDS for name in (command.name, command.alias) if name]


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the command, the command, and the arguments after it."""
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
        "usage: mlx-serve COMMAND [OPTION]…\n\n"
        "Serves MLX models over the HTTP APIs of OpenAI, Ollama and Anthropic.\n\n"
        f"{rows}\n\n"
        "Every command takes --port P or --socket PATH (which daemon), --json, and --help.\n"
        "First steps: mlx-serve start, mlx-serve pull starter, mlx-serve run starter"
    )


def _label(command: Command) -> str:
    return f"{command.name}, {command.alias}" if command.alias else command.name
