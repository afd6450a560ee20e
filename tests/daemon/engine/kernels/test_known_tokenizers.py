"""What is known of a tokenizer is known of these files alone, and nothing that is damaged is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlx_serve.daemon.engine.kernels import known_tokenizers
from mlx_serve.daemon.engine.kernels.known_tokenizers import LEAST_BYTES, KnownTokenizers, key

FACTS = b'{"names": {}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose tokenizer.json is large."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}" + " " * LEAST_BYTES)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def known(tmp_path: Path) -> KnownTokenizers:
    return KnownTokenizers(tmp_path / "home" / "cache" / "tokenizers")


def test_what_is_kept_is_there_the_next_time(known: KnownTokenizers, folder: Path) -> None:
    assert known.wants(folder) and known.read(folder) is None
    known.keep(folder, FACTS)
    again = KnownTokenizers(known.root)
    assert again.read(folder) == FACTS and not again.wants(folder)
    (file,) = known.root.glob("*/*.json")
    assert file.stat().st_mode & 0o077 == 0 and known.root.stat().st_mode & 0o077 == 0


def _other_file(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text("{}")


def _other_content(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"pad_token": "x"}')


def _other_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]" + " " * LEAST_BYTES)


def _other_template(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("x")


@pytest.mark.parametrize("change", [_other_file, _other_content, _other_vocabulary, _other_template])
def test_other_files_are_another_tokenizer(
    known: KnownTokenizers, folder: Path, change: Callable[[Path], None]
) -> None:
    known.keep(folder, FACTS)
    change(folder)
    assert known.read(folder) is None and known.wants(folder)


def test_weights_do_not_count(known: KnownTokenizers, folder: Path) -> None:
    before = key(folder)
    (folder / "model.safetensors").write_bytes(b"others")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert key(folder) == before


def test_another_version_of_the_libraries_finds_out_for_itself(
    known: KnownTokenizers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.keep(folder, FACTS)
    monkeypatch.setattr(known_tokenizers.metadata, "version", lambda name: "99.0")
    later = KnownTokenizers(known.root)
    assert later.read(folder) is None
    later.keep(folder, FACTS)
    assert [path.parent.name for path in known.root.glob("*/*.json")] == ["99.0+99.0+1"], "the old ones go"


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_what_is_damaged_is_not_believed(known: KnownTokenizers, folder: Path, damage: str) -> None:
    known.keep(folder, FACTS)
    (file,) = known.root.glob("*/*.json")
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-1], "changed": b"X" + content[1:], "empty": b""}[damage])
    assert known.read(folder) is None and known.wants(folder)


def test_a_small_tokenizer_is_nobodys_business(known: KnownTokenizers, folder: Path) -> None:
    """Nor is a folder that has none."""
    known.keep(folder, FACTS)
    (folder / "tokenizer.json").write_text("{}")
    assert known.read(folder) is None and not known.wants(folder)
    (folder / "tokenizer.json").unlink()
    assert known.read(folder) is None and not known.wants(folder)
