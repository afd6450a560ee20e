"""Safetensors headers: what adds up is read, what does not is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.errors import DamagedModel
from mlx_serve.store.inspect import weights
from mlx_serve.store.inspect.weights import Tensor, read_header, shards


def write(path: Path, header: Any, data: int, *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data))
    return path


def entry(dtype: str = "F32", shape: tuple[Any, ...] = (2, 2), offsets: tuple[Any, ...] = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_good_header_gives_its_tensors(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "mlx"},
        "b": entry("BF16", (3,), (16, 22)),
        "a": entry(),
        "n": entry(shape=(0, 7), offsets=(22, 22)),
    }
    found = read_header(write(tmp_path / "f", header, 22), "f")
    assert found == {"b": Tensor("BF16", (3,)), "a": Tensor("F32", (2, 2)), "n": Tensor("F32", (0, 7))}
    assert found["a"].elements == 4


def test_mlx_writes_null_where_it_was_given_no_metadata(tmp_path: Path) -> None:
    header = {"__metadata__": None, "a": entry()}
    assert read_header(write(tmp_path / "f", header, 16), "f") == {"a": Tensor("F32", (2, 2))}


def test_padding_after_the_header_is_fine(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "f", json.dumps({"a": entry()}).encode() + b"    ", 16), "f")


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": entry()}, 15),
        ({"a": entry()}, 17),
        ({"a": entry(offsets=(0, 12))}, 12),
        ({"a": entry(offsets=(4, 20))}, 20),
        ({"a": entry(), "b": entry()}, 16),
        ({"a": entry(), "b": entry(offsets=(8, 24))}, 24),
        ({"a": entry(), "b": entry(offsets=(20, 36))}, 36),
        ({"a": entry(offsets=(16, 0))}, 0),
        ({"a": entry(offsets=(-16, 0))}, 0),
        ({"a": entry(offsets=(0, 16, 16))}, 16),
        ({"a": entry(dtype="F128")}, 16),
        ({"a": entry(shape=(-2, -2))}, 16),
        ({"a": entry(shape=(2.5, 2))}, 16),
        ({"a": entry(shape=(True, 4))}, 16),
        ({"a": entry(shape=(1 << 62, 1 << 62), offsets=(0, 16))}, 16),
        ({"a": entry(shape=(1,) * 40 + (4,))}, 16),
        ({"a": {"dtype": "F32", "shape": [4]}}, 16),
        ({"a": "text"}, 16),
        ({"__metadata__": {"x": 1}, "a": entry()}, 16),
        ([], 0),
        (b"{", 0),
        (b"\xff\xfe", 0),
        (b'{"a":' + b"[" * 100_000, 0),
        (b"", 0),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(tmp_path: Path, header: Any, data: int) -> None:
    with pytest.raises(DamagedModel, match=r"^model\.safetensors is damaged"):
        read_header(write(tmp_path / "f", header, data), "model.safetensors")


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 8, b"\xff" * 64])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DamagedModel):
        read_header(tmp_path / "f", "f")


def test_a_huge_header_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.write((weights.MAX_HEADER + 1).to_bytes(8, "little"))
        file.truncate(weights.MAX_HEADER + 100)
    with pytest.raises(DamagedModel):
        read_header(path, "f")


def test_too_many_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_TENSORS", 3)
    header = {f"t{n}": entry(shape=(0,), offsets=(0, 0)) for n in range(4)}
    with pytest.raises(DamagedModel, match="more than 3 tensors"):
        read_header(write(tmp_path / "f", header, 0), "f")


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/x.safetensors", "a/b.safetensors", "a\\b.safetensors", "x.bin", 3]
)
def test_an_index_may_name_only_files_beside_it(name: Any) -> None:
    with pytest.raises(DamagedModel, match="outside of its folder"):
        shards({"weight_map": {"w": name}}, "model.safetensors.index.json")


@pytest.mark.parametrize("document", [None, [], {}, {"weight_map": []}, {"weight_map": {}}])
def test_an_index_without_a_map_is_refused(document: Any) -> None:
    with pytest.raises(DamagedModel, match="no weight_map"):
        shards(document, "model.safetensors.index.json")
