"""Error sentences: no paths, and a full stop at the end."""

from __future__ import annotations

import pytest

from mlx_serve.handlers.failure import clip, sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot read /home/me/x.json: gone", "cannot read …: gone"),
        ("at ~/.mlx-serve/models/blobs", "at …"),
        (
            "model 'acme/parrot' and https://example.org/a/b stay",
            "model 'acme/parrot' and https://example.org/a/b stay",
        ),
        ("use /v1/completions or /api/generate", "use /v1/completions or /api/generate"),
    ],
)
def test_sentences_name_no_path(text: str, expected: str) -> None:
    """Paths of this machine go; names, addresses and endpoints stay."""
    assert sentence(text) == expected


def test_sentences_end() -> None:
    assert len(clip("x" * 5000)) == 500
