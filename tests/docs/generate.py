"""What `make docs` writes: the documents, or the parts of them, that are made from the code."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.commands import commands
from docs.compatibility import compatibility
from docs.configuration import configuration
from docs.package_graph import drawing

ROOT = Path(__file__).parents[2]
_GRAPH = re.compile(r"(<!-- package graph[^\n]*\n)(.*?)(<!-- end -->)", re.DOTALL)


def architecture(committed: str) -> str:
    """The committed text with the package graph of today's code."""
    return _GRAPH.sub(lambda match: f"{match[1]}\n```\n{drawing()}```\n\n{match[3]}", committed, count=1)


DOCUMENTS: Mapping[str, Callable[[str], str]] = {
    "docs/architecture.md": architecture,
    "docs/configuration.md": configuration,
    "docs/compatibility.md": compatibility,
    "docs/commands.md": commands,
}
"""From a document's path to a function that makes its text of the committed one."""


def difference(path: str) -> str:
    """What `make docs` would change in a document, as a unified diff; empty when nothing."""
    committed = _committed(path)
    made = DOCUMENTS[path](committed)
    return "".join(
        difflib.unified_diff(committed.splitlines(True), made.splitlines(True), f"{path} (committed)", f"{path} (made)")
    )


def _committed(path: str) -> str:
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.exists() else ""


def main() -> None:
    for path, make in DOCUMENTS.items():
        (ROOT / path).write_text(make(_committed(path)), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
