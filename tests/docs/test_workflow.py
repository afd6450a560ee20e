"""The workflow for GitHub's runners does what our own continuous integration does, and may do nothing else."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml
from docs.generate import ROOT


def workflow() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # the key "on" stays a word
    return found


def test_it_runs_on_every_system_and_every_python_that_we_name() -> None:
    (job,) = workflow()["jobs"].values()
    matrix = job["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-24.04", "macos-15", "macos-26"] and job["runs-on"] == "${{ matrix.os }}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert matrix["python"] == named and len(named) == 3


def test_it_runs_targets_that_the_makefile_has() -> None:
    (job,) = workflow()["jobs"].values()
    targets = [step["run"].split()[-1] for step in job["steps"] if step.get("run", "").startswith("make ")]
    assert targets == ["check", "test", "demo"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_it_can_only_read_and_uses_githubs_own_actions_at_a_fixed_major_version() -> None:
    found = workflow()
    assert found["permissions"] == {"contents": "read"}
    assert set(found["on"]) == {"push", "pull_request", "workflow_dispatch"}
    (job,) = found["jobs"].values()
    assert "permissions" not in job and "secrets" not in str(found)
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert len(actions) == 2 and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)
