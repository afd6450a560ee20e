"""Writes a random-weight embedding model of a real shape: BERT's base size, or Qwen3-Embedding-0.6B.

python tests/bench/make_encoder.py FOLDER bert|0.6b [--dtype float32|bfloat16|float16]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from make_model import SHAPES, make_model, write_tokenizer

BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 30528,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def make_encoder(folder: Path, shape: str, dtype: str) -> None:
    if shape == "bert":
        _bert(folder, dtype)
        width, pooling, longest = BERT["hidden_size"], "pooling_mode_mean_tokens", 512
    else:
        make_model(folder, shape, dtype=dtype)
        width, pooling, longest = SHAPES[shape]["hidden_size"], "pooling_mode_lasttoken", 8192
    modules = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    _write(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{name}"}
            for place, (path, name) in enumerate(modules)
        ],
    )
    _write(folder / "1_Pooling/config.json", {"word_embedding_dimension": width, pooling: True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": longest})


def _bert(folder: Path, dtype: str) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from mlx_serve.daemon.engine.encode.bert import Bert

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, int(str(BERT["vocab_size"])))
    mx.random.seed(7)
    network = Bert(BERT)
    network.set_dtype(getattr(mx, dtype))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(network.parameters())))
    _write(folder / "config.json", BERT | {"torch_dtype": dtype})


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("shape", choices=("bert", *SHAPES))
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    arguments = parser.parse_args()
    make_encoder(arguments.folder, arguments.shape, arguments.dtype)


if __name__ == "__main__":
    main()
