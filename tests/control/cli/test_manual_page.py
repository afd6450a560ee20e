"""The manual page and the examples are made from the parser, so they know what it knows."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fakes.control_daemon import Run

from mlx_serve.control.cli.arguments import options
from mlx_serve.control.cli.arguments.examples import EXAMPLES
from mlx_serve.control.cli.main import _parse

SCRIPT = Path(__file__).resolve().parents[3] / "packaging" / "man" / "page.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manual_page", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.mark.parametrize("command", options.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_an_example_that_it_understands(command: options.Command) -> None:
    """Also in its --help."""
    words = shlex.split(EXAMPLES[command.name].removeprefix('eval "$(').removesuffix(')"'))
    assert words[:2] == ["mlx-serve", command.name]
    _parse(command, words[2:])
    assert f"example: {EXAMPLES[command.name]}" in " ".join(command.parser().format_help().split())


def test_no_example_is_about_a_command_that_is_gone() -> None:
    assert set(EXAMPLES) == {command.name for command in options.COMMANDS}


def test_the_page_has_every_command_and_every_option(script: ModuleType) -> None:
    text = script.page().replace("\\-", "-")
    for command in options.COMMANDS:
        section = re.search(rf'^\.SS "{command.name}\b.*?(?=^\.S)', text, re.MULTILINE | re.DOTALL)
        assert section is not None, command.name
        for action in command.parser()._actions:
            for name in set(action.option_strings) - {"-h", "--help", "--port", "--socket", "--json"}:
                assert f"\\fB{name}\\fR" in section[0], f"{command.name} {name}"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_page_is_valid(script: ModuleType, tmp_path: Path) -> None:
    """Every warning of groff counts; and what it prints reads as it was written."""
    path = tmp_path / "mlx-serve.1"
    assert script.main([str(path)]) == 0
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-P-c", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    words = " ".join(re.sub(r".\x08", "", done.stdout).split())
    assert "mlx-serve run starter" in words and "~/.mlx-serve/config.yaml" in words


def test_run_asks_for_a_name_and_not_for_a_prompt(run: Run) -> None:
    """A prompt is optional: without one, the chat begins."""
    done = run("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mlx-serve: the following arguments are required: NAME (see: mlx-serve run --help)\n"
