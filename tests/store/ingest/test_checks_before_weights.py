"""What a pull finds out before it fetches weights, and which files it fetches: the whole store against the test hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.hub.checkpoints import CONFIG, checkpoint, weights
from fakes.hub.server import Hub
from huggingface_hub import snapshot_download

from mlx_serve.store.disk.manifests import Kind
from mlx_serve.store.errors import HubUnreachable, SourceError, StoreError, UnsupportedModel
from mlx_serve.store.inspect.weightsets import INDEX
from mlx_serve.store.store import Store

DENSE = b'[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]'
SEEING = {"vision_config": {"depth": 1}}
HALF = b'{"weight_map": {"a": "model.safetensors", "b": "more.safetensors"}}'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def fetched(hub: Hub) -> set[str]:
    """The files whose bytes somebody asked for."""
    asked = {request.path for request in hub.requests if "/resolve/" in request.path}
    return {path.split("/resolve/")[1].split("/", 1)[1] for path in asked}


def config(**changes: Any) -> bytes:
    return json.dumps(CONFIG | changes).encode()


def index(*tensors: str, file: str = "model.safetensors") -> bytes:
    return json.dumps({"weight_map": dict.fromkeys(tensors, file)}).encode()


REFUSALS: dict[str, tuple[dict[str, Any], Kind | None, str]] = {
    "type": ({"config.json": config(model_type="qwen99")}, None, "'qwen99'"),
    "stated kind": ({}, "vlm", "'llama' is not supported as vlm"),
    "code": ({"config.json": config(auto_map={"AutoModel": "modeling.X"})}, None, "asks for Python code"),
    "tokenizer's code": ({"tokenizer_config.json": b'{"auto_map": {"A": "t.T"}}'}, None, "tokenizer_config.json asks"),
    "no decoder": ({"config.json": config(is_encoder_decoder=True, architectures=None)}, None, "encoder-decoder"),
    "dense": ({"config.json": config(model_type="bert"), "modules.json": DENSE}, None, "2_Dense has no"),
    "blind": (
        {"config.json": config(model_type="idefics3", **SEEING), INDEX: index("norm")},
        None,
        "'idefics3' .* as llm",
    ),
    "config": ({"config.json": b"{"}, None, "not valid JSON"),
    "evil index": ({INDEX: index("a", file="../../etc/passwd.safetensors")}, None, "outside of its folder"),
    "half an index": ({INDEX: HALF}, None, "not in the repository"),
    "empty": ({"model.safetensors": b""}, None, "model.safetensors .* is empty"),
    "another format": ({"model.safetensors": None, "model.gguf": b"g" * 100}, None, "only GGUF"),
}


@pytest.mark.parametrize(("changes", "kind", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refused_before_the_weights(
    store: Store, hub: Hub, changes: dict[str, Any], kind: Kind | None, words: str
) -> None:
    """Not a byte of weights is fetched, and nothing is installed."""
    files = checkpoint(5_000) | changes
    hub.add("acme/model", {path: content for path, content in files.items() if content is not None})
    with pytest.raises(StoreError, match=words):
        store.pull("acme/model", kind=kind)
    assert not any(path.endswith(".safetensors") for path in fetched(hub)) and not store.models()


@pytest.mark.parametrize("path", ["../../evil.json", "C:evil.json", "a\\evil.json", "/evil.json", ".git/config"])
def test_an_unsafe_name_ends_the_pull_before_anything(store: Store, hub: Hub, path: str) -> None:
    hub.add("acme/evil", checkpoint(5_000)).extra_tree.append(
        {"type": "file", "path": path, "size": 2, "oid": "0" * 40}
    )
    with pytest.raises(SourceError, match="unsafe name"):
        store.pull("acme/evil")
    assert not fetched(hub) and not any((store.directory / "blobs").iterdir())


def test_only_what_serving_needs_is_fetched(store: Store, hub: Hub) -> None:
    """One set of weights, no code, no pickles, nothing of other frameworks."""
    large = b"x" * 9000
    left = {
        "model.fp32.safetensors": large, "consolidated.safetensors": large, "pytorch_model.bin": large,
        "modeling_llama.py": b"import os", "onnx/model.onnx": b"x", "trainer_state.json": b"{}", "figures/a.png": b"x",
    }  # fmt: skip
    wanted = checkpoint(5_000)
    del wanted[".gitattributes"]
    hub.add("acme/full", wanted | left)
    model = store.pull("acme/full")
    assert fetched(hub) == set(wanted) == {layer.path for layer in model.manifest.layers}


def test_an_index_left_over_from_another_form_is_not_kept(store: Store, hub: Hub) -> None:
    stale = json.dumps({"weight_map": {"a": "model-00001-of-00009.safetensors"}}).encode()
    hub.add("acme/converted", checkpoint(5_000) | {INDEX: stale})
    layers = {layer.path for layer in store.pull("acme/converted").manifest.layers}
    assert "model.safetensors" in layers and INDEX not in layers


@pytest.mark.parametrize(
    ("tensor", "kind"), [("vision_tower.patch.weight", "vlm"), ("model.embed_tokens.weight", "llm")]
)
def test_the_weights_have_the_last_word(store: Store, hub: Hub, tensor: str, kind: str) -> None:
    """Without an index nobody can tell a model with eyes from one without; then the headers decide."""
    files = checkpoint(5_000) | {"config.json": config(model_type="gemma3", **SEEING)}
    hub.add("acme/eyes", files | {"model.safetensors": weights(5_000, tensor=tensor)})
    assert store.pull("acme/eyes").manifest.kind == kind


LLAMA = "mlx-community/Llama-3.2-1B-Instruct-4bit"


@pytest.mark.parametrize("source", [LLAMA.lower(), f"hf.co/{LLAMA}", f"{LLAMA}@main"])
def test_many_names_of_one_model(store: Store, hub: Hub, source: str) -> None:
    """Another case, an address and a revision lead to the repository, stored as the hub spells it."""
    hub.add(LLAMA, checkpoint(5_000))
    model = store.pull(source)
    assert model.name.display() == LLAMA
    assert model.manifest.source.revision == hub.repository(LLAMA).head.id
    assert store.resolve("llama3.2:1b") == model.name


@pytest.mark.parametrize("source", ["llama3.2:1b", "LLAMA3.2:1B"])
def test_a_model_is_listed_under_the_alias_that_it_was_pulled_by(store: Store, hub: Hub, source: str) -> None:
    """It answers to its repository's name too, and pulling that gives it this name besides, of the same digest."""
    hub.add(LLAMA, checkpoint(5_000))
    model = store.pull(source)
    assert store.spellings() == {model.name: "llama3.2:1b"}
    assert store.find(source) == store.find(LLAMA) == store.find(f"{LLAMA}:latest") == model
    assert store.pull(source).name == model.name
    assert store.pull(LLAMA).digest == model.digest
    assert sorted(store.spellings().values()) == ["llama3.2:1b", LLAMA]
    assert store.find(LLAMA).name.display() == LLAMA and store.find(source).name == model.name


def test_an_alias_gives_its_name_to_a_model_that_is_there(store: Store, hub: Hub) -> None:
    hub.add(LLAMA, checkpoint(5_000))
    before = store.pull(LLAMA)
    assert store.pull("llama3.2:1b").digest == before.digest
    assert sorted(store.spellings().values()) == ["llama3.2:1b", LLAMA]


@pytest.fixture
def offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Fill the hub's cache with a repository, then forbid the network; the cache's folder of the repository."""

    def fill(files: dict[str, bytes], **options: Any) -> Path:
        hub.add("acme/cached", files)
        cache = tmp_path / "hf" / "hub"
        snapshot_download("acme/cached", endpoint=hub.url, token=False, cache_dir=cache, **options)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        hub.journal.clear()
        return cache / "models--acme--cached"

    return fill


def test_offline_out_of_the_hubs_cache(store: Store, hub: Hub, offline: Callable[..., Path]) -> None:
    """Also from a cache of an older library, without its note of the tree: blobs are named by their digests."""
    folder = offline(checkpoint(5_000, 6_000))
    for note in (folder / "trees").glob("*.json"):
        note.unlink()
    model = store.pull("acme/cached")
    assert all(checked.ok for checked in store.verify(model.name.display()))
    assert model.manifest.source.revision == hub.repository("acme/cached").head.id and not hub.requests


@pytest.mark.parametrize("gone", ["config.json", "model-00002-of-00002.safetensors", "*.safetensors"])
def test_offline_with_a_part_only(store: Store, hub: Hub, offline: Callable[..., Path], gone: str) -> None:
    """Says that the network is forbidden, whatever is missing."""
    offline(checkpoint(5_000, 6_000), ignore_patterns=[gone])
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE"):
        store.pull("acme/cached")
    assert not hub.requests and not store.models()


def test_offline_damage_is_found(store: Store, offline: Callable[..., Path]) -> None:
    """A blob whose content is not what its name says is not taken over."""
    folder = offline(checkpoint(5_000))
    blob = max((folder / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(HubUnreachable, match=r"model\.safetensors of acme/cached is not on this machine"):
        store.pull("acme/cached")
    assert not store.models()


def test_an_unsupported_model_is_no_source_error(store: Store, hub: Hub) -> None:
    """The two have different advice: another model, or another name."""
    hub.add("acme/gguf", {"model.gguf": b"x"})
    with pytest.raises(UnsupportedModel) as caught:
        store.pull("acme/gguf")
    assert "https://huggingface.co/models?library=mlx&search=gguf" in str(caught.value.hint)
