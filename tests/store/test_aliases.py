"""The table of common names: well formed, of all four kinds, and what users of Ollama expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlx_serve.store.aliases import ALIASES
from mlx_serve.store.hub.address import parse
from mlx_serve.store.ingest.builtin import BUILTINS, find_builtin
from mlx_serve.store.names import Name
from mlx_serve.store.store import Store


def test_every_row_is_a_name_for_a_repository() -> None:
    """A name as people type it (Ollama's grammar, lower case), a repository as the hub spells it, no tag."""
    for alias, target in ALIASES.items():
        assert alias == alias.lower() and Name.parse(alias), alias
        if find_builtin(target) is None:
            assert parse(target).repository == target and ":" not in target, target


@pytest.mark.parametrize(
    ("alias", "repository"),
    [
        ("llama3.2", "mlx-community/Llama-3.2-3B-Instruct-4bit"),
        ("llama3.2:latest", "mlx-community/Llama-3.2-3B-Instruct-4bit"),
        ("llama3.2:1b", "mlx-community/Llama-3.2-1B-Instruct-4bit"),
        ("qwen3", "mlx-community/Qwen3-8B-4bit"),
        ("qwen3:0.6b", "mlx-community/Qwen3-0.6B-4bit"),
        ("gemma3", "mlx-community/gemma-3-4b-it-4bit"),
        ("mistral", "mlx-community/Mistral-7B-Instruct-v0.3-4bit"),
        ("deepseek-r1", "mlx-community/DeepSeek-R1-0528-Qwen3-8B-4bit"),
        ("qwen2.5vl", "mlx-community/Qwen2.5-VL-7B-Instruct-4bit"),
        ("all-minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("mxbai-embed-large", "mixedbread-ai/mxbai-embed-large-v1"),
        ("qwen3-embedding", "Qwen/Qwen3-Embedding-0.6B"),
        ("qwen3-reranker:0.6b", "Qwen/Qwen3-Reranker-0.6B"),
        ("starter", "mlx-serve/starter:latest"),
    ],
)
def test_what_names_mean(alias: str, repository: str) -> None:
    assert ALIASES[alias] == repository


def test_every_bare_name_has_a_row_with_latest() -> None:
    bare = [alias for alias in ALIASES if ":" not in alias and alias not in BUILTINS]
    assert len(bare) > 40
    assert all(ALIASES[alias] == ALIASES[f"{alias}:latest"] for alias in bare)


def test_a_users_own_alias_wins(tmp_path: Path) -> None:
    """Also over a built-in one, in any case."""
    store = Store.open(tmp_path / "models", {"Qwen3:8B": "mlx-serve/starter", "mine": "starter"})
    store.pull_builtin("starter")
    assert store.resolve("qwen3:8b") == store.resolve("mine") == Name("mlx-serve", "starter")
