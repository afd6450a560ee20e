"""Finds out what Transformers makes of a folder's tokenizer, and keeps it for the next load, at the lowest priority,
while a model rests: `python -m mlx_serve.daemon.engine.tokenize.learn_tokenizer FOLDER ROOT`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from ..kernels.known_tokenizers import KnownTokenizers
from ..model.model_folder import tokenizer_options
from ..process import die_with_parent, import_transformers
from ..prompt.text.encoding import tokenizer_data
from ..prompt.text.plain_tokenizer import facts_of

NICE = 19


def main() -> None:
    die_with_parent()
    os.nice(NICE)
    learn(Path(sys.argv[1]), KnownTokenizers(Path(sys.argv[2])))


def learn(folder: Path, known: KnownTokenizers) -> None:
    """Where a tokenizer is no plain one, that is kept too. Raises what Transformers raises, and OSError."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import_transformers()
    from transformers import AutoTokenizer

    options = tokenizer_options(folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
    content = (folder / "tokenizer.json").read_bytes()
    facts = facts_of(tokenizer, content, tokenizer_data(tokenizer, str(folder), options))
    known.keep(folder, msgspec.json.encode(facts))


if __name__ == "__main__":
    main()
