"""The `mlx-serve` command: finds the command that is meant, runs it, and turns what went wrong into a sentence."""

from __future__ import annotations

import os
import sys

from . import options
from .client import ApiError, DaemonGone, NoDaemon
from .launch import StartFailed
from .session import Failure, Session
from .target import SettingsError, UsageError

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
        answered = _answer(before, name)
        if answered is not None:
            return answered
        command = _find(name)
        session = Session(_parse(command, before + after))
        code = _run(command, session)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse has printed a command's help, or a command has said why it ends
        return DONE if end.code is None else int(end.code)
    except KeyboardInterrupt:
        _newline()
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted (`| head`); the interpreter's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UsageError as error:
        return _say(str(error), None, USAGE)
    except NoDaemon:
        return _no_daemon(session)
    except DaemonGone as error:
        return _say(f"the daemon went away in mid-command ({error})", "see: mlx-serve logs", FAILED)
    except (ApiError, Failure, SettingsError, StartFailed) as error:
        return _say(str(error), error.hint, FAILED)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _say(f"{name}{error.strerror or error}", None, FAILED)
    except Exception as error:
        if os.environ.get("MLX_SERVE_DEBUG"):
            raise
        hint = "set MLX_SERVE_DEBUG=1 to see where, and please report it"
        return _say(f"this is a mistake in mlx-serve itself: {type(error).__name__}: {error}", hint, FAILED)


def _answer(before: list[str], name: str | None) -> int | None:
    """The exit status when the line needs no command: `--version`, `--help`, nothing at all."""
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


def _find(name: str | None) -> options.Command:
    command = options.find(name or "")
    if command is None:
        raise UsageError(f"there is no command {name!r}{_nearest(name or '')} (see: mlx-serve --help)")
    return command


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, options.names(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _parse(command: options.Command, arguments: list[str]) -> Namespace:
    parser = command.parser()
    # Intermixed: `run NAME --verbose PROMPT` is what people type, and plain parsing refuses it.
    return parser.parse_intermixed_args(arguments) if command.name == "run" else parser.parse_args(arguments)


def _run(command: options.Command, session: Session) -> int:
    from importlib import import_module

    module = import_module(f".commands.{command.module}", __package__)
    return int(getattr(module, command.function)(session))


def _say(message: str, hint: str | None, code: int) -> int:
    sys.stdout.flush()
    print(f"mlx-serve: {message.rstrip('.')}{f'; {hint}' if hint else ''}", file=sys.stderr)
    return code


def _no_daemon(session: Session | None) -> int:
    where = f" {session.target}" if session is not None else ""
    return _say(f"no daemon runs{where}", "start one with: mlx-serve start", NO_DAEMON)


def _newline() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
