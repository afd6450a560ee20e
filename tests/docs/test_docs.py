"""The documents that are made from the code say what the code says today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.generate import DOCUMENTS, ROOT, architecture, difference

from mlx_serve.control.cli.arguments.options import COMMANDS
from mlx_serve.daemon.settings.schema import FLAGS, SECTIONS, settings_of


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


def anchors(text: str) -> set[str]:
    """Those that a page of Markdown gets for its headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    """To files of the repository, and to headings in them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name


def test_every_folder_of_the_program_is_in_the_architecture() -> None:
    """A new package has to be described, not only drawn."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Imports")[0]
    for area in ("daemon", "handlers", "control", "store"):
        for folder in (path for path in (ROOT / area).iterdir() if (path / "__init__.py").exists()):
            assert f"{folder.name}/" in text, f"docs/architecture.md does not name {area}/{folder.name}/"


def test_the_configuration_names_every_variable_of_the_program() -> None:
    """Also those that are no settings, wherever the code reads them."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    code = "".join(path.read_text() for area in ("daemon", "control", "store") for path in (ROOT / area).rglob("*.py"))
    names = set(re.findall(r"\bMLX_SERVE_[A-Z_]*[A-Z]\b", code))
    assert len(names) > 4
    assert not {name for name in names if f"`{name}`" not in text}


def test_the_command_has_the_flags_that_are_settings() -> None:
    """`mlx-serve start` offers each of them, and the same choices of a level."""
    start = next(command for command in COMMANDS if command.name == "start").parser()
    actions = {flag: action for action in start._actions for flag in action.option_strings}
    assert set(FLAGS.values()) <= set(actions)
    level = dict(settings_of(SECTIONS["logging"]))["level"]
    assert tuple(actions["--log-level"].choices or ()) == level.choices
