"""What importing Transformers takes in a model's process."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys

read = []

def note(event, arguments):
    if event == "open" and "transformers/models/" in str(arguments[0]) and str(arguments[0]).endswith(".py"):
        read.append(arguments[0])

sys.addaudithook(note)
from mlx_serve.daemon.engine.process import import_transformers

import_transformers()
import_transformers()
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedTokenizerFast

assert len(read) > 1000
assert len(read) - len(set(read)) < 100, "a file was read twice"
"""


def test_transformers_reads_its_models_once() -> None:
    """Without us it reads each of the files twice, to find the same."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
