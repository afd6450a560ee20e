"""The documents that are made from the code say what the code says today."""

from __future__ import annotations

import pytest
from docs.generate import DOCUMENTS, ROOT, architecture, difference


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_is_what_the_code_makes_of_it(path: str) -> None:
    stale = difference(path)
    assert not stale, f"run `make docs`, and commit what it changes:\n{stale}"


def test_a_stale_document_is_noticed() -> None:
    """The package graph of the committed text is replaced whatever stands there, and only there."""
    text = "before\n<!-- package graph -->\nold\n<!-- end -->\nafter\n"
    made = architecture(text)
    assert "old" not in made and "daemon.engine.generate" in made
    assert made.startswith("before\n<!-- package graph -->\n") and made.endswith("<!-- end -->\nafter\n")


def test_every_folder_of_the_program_is_in_the_architecture() -> None:
    """A new package has to be described, not only drawn."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Imports")[0]
    for area in ("daemon", "handlers", "control", "store"):
        for folder in (path for path in (ROOT / area).iterdir() if (path / "__init__.py").exists()):
            assert f"{folder.name}/" in text, f"docs/architecture.md does not name {area}/{folder.name}/"
