"""One command and the parser of its arguments."""

from __future__ import annotations

import argparse
import sys

from ..display.terminal import width
from .argument_types import port
from .examples import EXAMPLES
from .usage_error import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Prints a usage error as one line that names the help."""

    def __init__(self, prog: str, description: str, example: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"example: {example}",
            allow_abbrev=False,
            # With a given width argparse does not import shutil.
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=min(width(sys.stdout), 100) - 2),
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


class Command:
    """`module` and `function` name the code in `control.cli.commands`, imported only when the command runs.
    `rest`: what stands behind `--` is another program's."""

    def __init__(
        self,
        name: str,
        summary: str,
        code: str,
        add: Callable[[argparse.ArgumentParser], None] | None = None,
        *,
        alias: str | None = None,
        models: bool = False,
        rest: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.module, _, self.function = code.partition(":")
        self.add = add
        self.alias = alias
        self.models = models
        self.rest = rest

    def parser(self) -> Parser:
        summary = self.summary[0].upper() + self.summary[1:] + "."
        parser = Parser(f"mlx-serve {self.name}", summary, EXAMPLES[self.name])
        if self.add is not None:
            self.add(parser)
        group = parser.add_argument_group("daemon and output")
        group.add_argument("--port", type=port, metavar="P", help="the daemon on this port (default: MLX_SERVE_PORT)")
        group.add_argument("--socket", metavar="PATH", help="the daemon with this control socket")
        group.add_argument("--json", action="store_true", help="machine-readable output")
        return parser
