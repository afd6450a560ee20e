"""The `mlx-serve` command: finds the subcommand, runs it, and prints errors as one sentence."""

from __future__ import annotations

import os
import sys

from .arguments import options
from .arguments.parser import Command
from .arguments.usage_error import UsageError
from .client import ApiError, ConnectionBroken, NoDaemon
from .launch import StartFailed
from .session import CommandFailed, Session, with_hint
from .target import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

DONE, FAILED, USAGE, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of one command line."""
    session: Session | None = None
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        before, name, after = options.split(arguments)
        answered = _answer_directly(before, name)
        if answered is not None:
            return answered
        command = _find(name)
        session = Session(_parse(command, before + after))
        code = _run(command, session)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse has printed help, or a command its reason
        return DONE if end.code is None else int(end.code)
    except KeyboardInterrupt:
        _newline()
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe (`| head`); the interpreter's flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UsageError as error:
        return _print_error(str(error), None, USAGE)
    except NoDaemon:
        return _no_daemon(session)
    except ConnectionBroken as error:
        return _print_error(f"lost the connection to the daemon ({error})", "see: mlx-serve logs", FAILED)
    except (ApiError, CommandFailed, SettingsError, StartFailed) as error:
        return _print_error(str(error), error.hint, FAILED)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _print_error(f"{name}{error.strerror or error}", None, FAILED)
    except Exception as error:
        if os.environ.get("MLX_SERVE_DEBUG"):
            raise
        hint = "set MLX_SERVE_DEBUG=1 for a traceback, and please report it"
        return _print_error(f"internal error: {type(error).__name__}: {error}", hint, FAILED)


def _answer_directly(before: list[str], name: str | None) -> int | None:
    """Handles `--version`, `--help` and an empty command line; None for anything else."""
    if "--version" in before:
        from ... import __version__

        print(f"mlx-serve {__version__}")
        return DONE
    if "--help" in before or "-h" in before or name == "help":
        print(options.help_text())
        return DONE
    if name is None:
        print(options.help_text(), file=sys.stderr)
        return USAGE
    return None


def _find(name: str | None) -> Command:
    command = options.find(name or "")
    if command is None:
        raise UsageError(f"there is no command {name!r}{_nearest(name or '')} (see: mlx-serve --help)")
    return command


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, options.names(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _parse(command: Command, arguments: list[str]) -> Namespace:
    parser, rest = command.parser(), []
    if command.rest and "--" in arguments:
        place = arguments.index("--")
        arguments, rest = arguments[:place], arguments[place + 1 :]
    if command.rest:
        parser.set_defaults(rest=rest)
    # Intermixed, so that `run NAME --verbose PROMPT` works.
    return parser.parse_intermixed_args(arguments) if command.name == "run" else parser.parse_args(arguments)


def _run(command: Command, session: Session) -> int:
    from importlib import import_module

    module = import_module(f".commands.{command.module}", __package__)
    return int(getattr(module, command.function)(session))


def _print_error(message: str, hint: str | None, code: int) -> int:
    sys.stdout.flush()
    print(f"mlx-serve: {with_hint(message, hint)}", file=sys.stderr)
    return code


def _no_daemon(session: Session | None) -> int:
    where = f" {session.target}" if session is not None else ""
    return _print_error(f"no daemon is running{where}", "start one with: mlx-serve start", NO_DAEMON)


def _newline() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
