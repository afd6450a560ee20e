"""docs/promises.md names tests that exist, and docs/macos.md steps and files that do."""

from __future__ import annotations

import re

from docs.generate import ROOT
from mac.steps import STEPS


def test_every_promise_has_tests_and_every_test_exists() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(rows) > 30 and all(len(row) == 2 for row in rows)
    for _, shown in rows:
        found = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown)
        assert len(found) == shown.count("`") // 2
        for path, name in found:
            code = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", code, re.MULTILINE), f"{path} has no {name}"


def test_the_page_on_macos_names_every_step_and_files_that_exist() -> None:
    text = (ROOT / "docs" / "macos.md").read_text(encoding="utf-8")
    _, _, steps = text.partition("## What only a Mac can show")
    assert {step.name for step in STEPS} == set(
        re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", steps, re.M)))
    )
    for path in re.findall(r"`((?:tests|\.github)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path
