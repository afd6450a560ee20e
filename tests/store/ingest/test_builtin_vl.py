"""starter-vl in the store: a model that sees, with all that its picture processor needs."""

from __future__ import annotations

from mlx_serve.store.inspect.weights import read_header
from mlx_serve.store.store import Store


def test_it_says_what_it_is_and_what_it_can_do(store: Store) -> None:
    model = store.pull_builtin("starter-vl")
    manifest = model.manifest
    assert model.name.display() == "mlx-serve/starter-vl"
    assert (manifest.kind, manifest.architecture) == ("vlm", "qwen3_vl")
    assert {"completion", "vision"} <= set(manifest.capabilities)
    assert (manifest.context_length, manifest.dtype) == (4096, "bfloat16")
    assert "for trying and testing" in manifest.kind_reason
    tensors = read_header(store.view(model) / "model.safetensors", "model.safetensors")
    assert manifest.parameters == sum(tensor.elements for tensor in tensors.values())
    assert f"{manifest.parameters / 1e6:.1f} million parameters" in manifest.kind_reason


def test_it_is_stored_with_its_picture_processor(store: Store) -> None:
    """And the card tells what it was trained on and how well it does."""
    folder = store.view(store.pull_builtin("starter-vl"))
    for file in ("preprocessor_config.json", "chat_template.jinja", "tokenizer.json", "LICENSE"):
        assert (folder / file).is_file(), file
    card = (folder / "README.md").read_text()
    assert "trained from nothing, on drawings and questions that a program makes" in card
    assert "| all |" in card
