"""Writes a random-weight checkpoint of a real Qwen3 shape: speed does not depend on the weights.

usage: make_model.py FOLDER SHAPE [--bits 4|8] [--dtype bfloat16|float16|float32] [--merged]

`--merged`: each entry of the vocabulary comes from a merge, 151,674 in all for that of Qwen3, which has 151,387 itself:
what it takes to read a tokenizer depends on that.
"""

from __future__ import annotations

import argparse
import json
import random
import sysconfig
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _shape(
    hidden: int, layers: int, inner: int, heads: int, kv_heads: int, head: int, vocabulary: int
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "vocab_size": vocabulary,
    }


SHAPES = {
    "tiny": _shape(256, 8, 768, 4, 2, 64, 4096),
    "tiny-wide": _shape(256, 8, 768, 4, 2, 64, 151936),
    "0.6b": _shape(1024, 28, 3072, 16, 8, 128, 151936),
    "1.7b": _shape(2048, 28, 6144, 16, 8, 128, 151936),
    "4b": _shape(2560, 36, 9728, 32, 8, 128, 151936),
    "8b": _shape(4096, 36, 12288, 32, 8, 128, 151936),
}


def write_tokenizer(folder: Path, vocabulary: int, *, merged: bool = False) -> int:
    """Byte-level BPE trained on the standard library's text, padded so that every id decodes; returns the stop id.
    `merged`: what it is padded with comes from merges too."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    texts = sorted(str(file) for file in Path(sysconfig.get_path("stdlib")).glob("*.py"))[:120]
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary - 16, 8192),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train(texts, trainer)
    content = json.loads(trained.to_str())
    vocab = content["model"]["vocab"]
    if merged:
        _merge_more(vocab, content["model"]["merges"], vocabulary - len(SPECIAL))
    while len(vocab) < vocabulary - len(SPECIAL):
        vocab[f"Ġfiller{len(vocab)}"] = len(vocab)
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "chat_template": TEMPLATE,
        "model_max_length": 40960,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    stop = tokenizer.token_to_id(SPECIAL[2])
    if stop is None:
        raise ValueError(f"{SPECIAL[2]} is not in the vocabulary")
    return stop


def _merge_more(vocab: dict[str, int], merges: list[list[str]], entries: int) -> None:
    """Entries that are two others each, until there are so many."""
    source, words = random.Random(7), list(vocab)
    while len(vocab) < entries:
        pair = [source.choice(words), source.choice(words)]
        word = "".join(pair)
        if word not in vocab and len(word) <= 16:
            vocab[word] = len(vocab)
            words.append(word)
            merges.append(pair)


def make_model(
    folder: Path, shape: str, *, bits: int | None = None, dtype: str = "bfloat16", merged: bool = False
) -> int:
    """Write the checkpoint and return the size of its weights in bytes. Greedy by default, as no sampling is given."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.models import qwen3

    folder.mkdir(parents=True, exist_ok=True)
    stop = write_tokenizer(folder, SHAPES[shape]["vocab_size"], merged=merged)
    config = SHAPES[shape] | {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
        "eos_token_id": stop,
        "torch_dtype": dtype,
    }
    mx.random.seed(7)
    model = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    model.set_dtype(getattr(mx, dtype))
    if bits is not None:
        config["quantization"] = {"group_size": 64, "bits": bits}
        nn.quantize(model, 64, bits)
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stop}))
    return sum(array.nbytes for array in weights.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--bits", type=int, choices=(4, 8))
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--merged", action="store_true", help="as many merges as a real tokenizer has")
    arguments = parser.parse_args()
    size = make_model(
        arguments.folder, arguments.shape, bits=arguments.bits, dtype=arguments.dtype, merged=arguments.merged
    )
    print(f"{arguments.folder}: {size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
