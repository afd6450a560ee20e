"""Which of several sets of weights is the model's."""

from __future__ import annotations

import pytest

from mlx_serve.store.errors import SourceError
from mlx_serve.store.inspect.weightsets import INDEX, chosen

TWO = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
HALF = {name.replace("model", "model.fp16") for name in TWO}
ODD = {"model-1.safetensors", "model-2.safetensors"}
OLD = {"weights.00.safetensors", "weights.01.safetensors"}
ONE = {"model.safetensors"}


def index(*files: str) -> dict[str, object]:
    return {"weight_map": {f"tensor{number}": file for number, file in enumerate(files)}}


def choose(names: set[str], document: object = None) -> set[str]:
    return chosen(names, document, where="the folder", hint="fetch the rest")


@pytest.mark.parametrize(
    ("names", "document", "expected"),
    [
        (ONE, None, ONE),
        (ONE | {"model.fp32.safetensors", "model.fp16.safetensors"}, None, ONE),
        (ONE | TWO, None, ONE),
        (ONE | TWO, index(*TWO), TWO | {INDEX}),
        (TWO | HALF, None, TWO),
        (HALF, None, HALF),
        (TWO | {"vision.safetensors"}, None, TWO),
        ({"model.fp16.safetensors"}, None, {"model.fp16.safetensors"}),
        (ODD | {"old.safetensors"}, None, ODD),
        (OLD, None, OLD),
        (ONE, index(*TWO), ONE),
        (TWO, index("model-00001-of-00009.safetensors"), TWO),
    ],
)  # fmt: skip
def test_one_set_is_chosen(names: set[str], document: object, expected: set[str]) -> None:
    """The index decides, unless it is left over from what was converted; then the plainest name does."""
    assert choose(names, document) == expected


@pytest.mark.parametrize(
    ("names", "document", "missing"),
    [
        ({"model-00001-of-00002.safetensors"}, None, "model-00002-of-00002.safetensors"),
        (TWO, index(*TWO, "more.safetensors"), "more.safetensors"),
        ({"vision.safetensors"}, index(*TWO), "model-00001-of-00002.safetensors\" and 1 more"),
    ],
)  # fmt: skip
def test_an_incomplete_set_is_refused(names: set[str], document: object, missing: str) -> None:
    with pytest.raises(SourceError, match="which is not in the folder") as caught:
        choose(names, document)
    assert missing in str(caught.value) and caught.value.hint == "fetch the rest"
