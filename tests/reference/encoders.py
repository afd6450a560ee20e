"""Tiny embedding models and rerankers of every architecture, as Sentence Transformers' repositories are laid out.

Needs numpy alone, so that whoever records and whoever tests make the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reference.architectures import Architecture
from reference.blocks import END_OF_TURN, HIDDEN, VOCABULARY, Config, Tensor, Tensors, attention, common, mlp, model
from reference.checkpoints import digest, weights
from reference.tokenizer_files import SPECIAL, tokenizer, tokenizer_config
from safetensors.numpy import save_file

INNER = 96
PADDING, START, END = (VOCABULARY - 3, VOCABULARY - 2, VOCABULARY - 1)
ROBERTA_PADDING = 1  # byte 1 in the vocabulary: a text may hold it
SENTENCE = "sentence_transformers.models."


@dataclass(frozen=True)
class Made:
    """A tiny model: its config and tensors, the tokenizer's post-processor, and files beside them by name.

    `folders`: weights of numbered folders.
    """

    config: Config
    tensors: Tensors
    processor: dict[str, Any]
    files: dict[str, Any] = field(default_factory=dict)
    folders: dict[str, Tensors] = field(default_factory=dict)
    seed: int = 7


def write(name: str, parent: Path) -> str:
    """The model's folder is `parent/name`; gives the sha256 of config and tensors."""
    made = CASES[name]()
    folder = parent / name
    folder.mkdir(parents=True)
    shape = Architecture(name, made.seed, made.config, made.tensors)
    own = weights(shape)
    save_file(own, folder / "model.safetensors", metadata={"format": "pt"})
    files = {
        "config.json": made.config,
        "tokenizer.json": tokenizer(VOCABULARY) | {"post_processor": made.processor},
        "tokenizer_config.json": _tokenizer_config(),
    }
    for path, content in (files | made.files).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for place, tensors in made.folders.items():
        save_file(weights(Architecture(place, made.seed, {}, tensors)), folder / place / "model.safetensors")
    return digest(shape, own)


def _tokenizer_config() -> dict[str, Any]:
    """Without a chat template: Sentence Transformers' cross-encoders would put pairs into it."""
    return {key: value for key, value in tokenizer_config().items() if key != "chat_template"} | {
        "model_max_length": 128
    }


# --- encoders


def _linear(name: str, out: int, into: int, *, bias: bool = True) -> Tensors:
    return {f"{name}.weight": Tensor((out, into))} | ({f"{name}.bias": Tensor((out,), "zero")} if bias else {})


def _norm(name: str, *, bias: bool = True) -> Tensors:
    return {f"{name}.weight": Tensor((HIDDEN,), "one")} | ({f"{name}.bias": Tensor((HIDDEN,), "zero")} if bias else {})


def _bert(model_type: str, class_name: str, prefix: str, **more: Any) -> tuple[Config, Tensors]:
    roberta = model_type != "bert"
    config = {
        "model_type": model_type,
        "architectures": [class_name],
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_position_embeddings": 130 if roberta else 128,
        "type_vocab_size": 1 if roberta else 2,
        "pad_token_id": ROBERTA_PADDING if roberta else PADDING,
        "layer_norm_eps": 1e-5 if roberta else 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        **more,
    }
    tables = {
        "word_embeddings": VOCABULARY,
        "position_embeddings": config["max_position_embeddings"],
        "token_type_embeddings": config["type_vocab_size"],
    }
    at = f"{prefix}embeddings"
    tensors = {f"{at}.{name}.weight": Tensor((rows, HIDDEN), "embedding") for name, rows in tables.items()}
    tensors |= _norm(f"{at}.LayerNorm")
    for index in range(config["num_hidden_layers"]):
        at = f"{prefix}encoder.layer.{index}"
        for part in ("query", "key", "value"):
            tensors |= _linear(f"{at}.attention.self.{part}", HIDDEN, HIDDEN)
        tensors |= _linear(f"{at}.attention.output.dense", HIDDEN, HIDDEN) | _norm(f"{at}.attention.output.LayerNorm")
        tensors |= _linear(f"{at}.intermediate.dense", INNER, HIDDEN)
        tensors |= _linear(f"{at}.output.dense", HIDDEN, INNER) | _norm(f"{at}.output.LayerNorm")
    return config, tensors


def _modern(class_name: str, prefix: str, **more: Any) -> tuple[Config, Tensors]:
    """Window of 16: 8 tokens to each side; every third layer sees all."""
    config = {
        "model_type": "modernbert",
        "architectures": [class_name],
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_position_embeddings": 128,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "local_attention": 16,
        "norm_eps": 1e-5,
        "norm_bias": False,
        "pad_token_id": PADDING,
        "cls_token_id": START,
        "bos_token_id": START,
        "sep_token_id": END,
        "eos_token_id": END,
        "reference_compile": False,
        **more,
    }
    tensors = {f"{prefix}embeddings.tok_embeddings.weight": Tensor((VOCABULARY, HIDDEN), "embedding")}
    tensors |= _norm(f"{prefix}embeddings.norm", bias=False)
    for index in range(config["num_hidden_layers"]):
        at = f"{prefix}layers.{index}"
        tensors |= _norm(f"{at}.attn_norm", bias=False) if index else {}
        tensors |= _linear(f"{at}.attn.Wqkv", 3 * HIDDEN, HIDDEN, bias=False)
        tensors |= _linear(f"{at}.attn.Wo", HIDDEN, HIDDEN, bias=False) | _norm(f"{at}.mlp_norm", bias=False)
        tensors |= _linear(f"{at}.mlp.Wi", 2 * INNER, HIDDEN, bias=False)
        tensors |= _linear(f"{at}.mlp.Wo", HIDDEN, INNER, bias=False)
    return config, tensors | _norm(f"{prefix}final_norm", bias=False)


def _around(*, pair: str = "bert") -> dict[str, Any]:
    """[CLS] text [SEP]; of a pair the second has segment 1, or in RoBERTa's way two separators and none."""

    def special(name: str, segment: int = 0) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def text(name: str, segment: int = 0) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    start, end = SPECIAL[1:]
    second = 1 if pair == "bert" else 0
    between = [special(end)] if pair == "bert" else [special(end), special(end)]
    return _template(
        [special(start), text("A"), special(end)],
        [special(start), text("A"), *between, text("B", second), special(end, second)],
        {start: START, end: END},
    )


def _behind() -> dict[str, Any]:
    """Text <|endoftext|>, as Qwen3-Embedding has it."""
    text = {"Sequence": {"id": "A", "type_id": 0}}
    end = {"SpecialToken": {"id": SPECIAL[0], "type_id": 0}}
    return _template([text, end], [text, {"Sequence": {"id": "B", "type_id": 0}}, end], {SPECIAL[0]: PADDING})


def _template(single: list[Any], pair: list[Any], special: dict[str, int]) -> dict[str, Any]:
    tokens = {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in special.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


# --- Sentence Transformers' files


def _recipe(pooling: dict[str, Any], *steps: str, **more: Any) -> dict[str, Any]:
    """modules.json with these steps after Transformer and Pooling; `more` are files by their stem."""
    kinds = ["Transformer", "Pooling", *steps]
    modules = [
        {"idx": index, "name": str(index), "path": f"{index}_{kind}" if index else "", "type": SENTENCE + kind}
        for index, kind in enumerate(kinds)
    ]
    files = {f"{stem}.json": content for stem, content in more.items()}
    width = {"word_embedding_dimension": HIDDEN}
    return {"modules.json": modules, "1_Pooling/config.json": width | pooling, **files}


def _old(mode: str) -> dict[str, Any]:
    names = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {f"pooling_mode_{name}": name == mode for name in names}


def _mean() -> Made:
    """all-MiniLM's files."""
    config, tensors = _bert("bert", "BertModel", "")
    files = _recipe(
        _old("mean_tokens"), "Normalize", sentence_bert_config={"max_seq_length": 96, "do_lower_case": False}
    )
    return Made(config, tensors, _around(), files)


def _lower() -> Made:
    """The first token's state, not normalised, of lower-cased text; a pooler in the weights that nobody uses."""
    config, tensors = _bert("bert", "BertModel", "bert.")
    tensors |= _linear("bert.pooler.dense", HIDDEN, HIDDEN)
    files = _recipe(_old("cls_token"), sentence_bert_config={"max_seq_length": 128, "do_lower_case": True})
    return Made(config, tensors, _around(), files)


def _mixed() -> Made:
    """Several poolings side by side, without the prompt's tokens; a dense layer with tanh."""
    config, tensors = _bert("bert", "BertModel", "", hidden_act="gelu_new")
    modes = ["max", "weightedmean", "mean_sqrt_len_tokens", "cls"]
    dense = {
        "in_features": 4 * HIDDEN,
        "out_features": 48,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    files = _recipe(
        {"pooling_mode": modes, "include_prompt": False},
        "Dense",
        config_sentence_transformers={"prompts": {"query": "Find: "}, "default_prompt_name": None},
    )
    files["2_Dense/config.json"] = dense
    return Made(config, tensors, _around(), files, {"2_Dense": _linear("linear", 48, 4 * HIDDEN)})


def _e5() -> Made:
    config, tensors = _bert("xlm-roberta", "XLMRobertaModel", "")
    prompts = {"query": "query: ", "passage": "passage: "}
    files = _recipe(
        _old("cls_token"),
        "Normalize",
        config_sentence_transformers={"prompts": prompts, "default_prompt_name": "passage"},
    )
    return Made(config, tensors, _around(pair="roberta"), files)


def _modern_mean() -> Made:
    config, tensors = _modern("ModernBertModel", "model.")
    return Made(config, tensors, _around(), _recipe({"pooling_mode": "mean"}, "Normalize"))


def _gemma() -> Made:
    """EmbeddingGemma: both ways, a window of 16 that is 8 to each side, two dense layers."""
    config = common(
        "gemma3_text",
        "Gemma3TextModel",
        4,
        tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=16,
        rope_theta=1000000.0,
        rope_local_base_freq=10000.0,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2,
        use_bidirectional_attention=True,
        max_position_embeddings=128,
    )

    def layer(at: str, _: int) -> Tensors:
        return attention(config, f"{at}.self_attn", head_norms="zero") | mlp(HIDDEN, INNER, f"{at}.mlp")

    tensors = model(config, layer, norm="zero", norms=4)
    tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    files = _recipe(
        {"pooling_mode_mean_tokens": True},
        "Dense",
        "Dense",
        "Normalize",
        config_sentence_transformers={"prompts": prompts, "default_prompt_name": None},
    )
    shapes = {"2_Dense": (4 * HIDDEN, HIDDEN), "3_Dense": (HIDDEN, 4 * HIDDEN)}
    for place, (out, into) in shapes.items():
        files[f"{place}/config.json"] = {
            "in_features": into,
            "out_features": out,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
    dense = {place: _linear("linear", *shape, bias=False) for place, shape in shapes.items()}
    return Made(config, tensors, _around(), files, dense)


def _qwen3(class_name: str, **more: Any) -> tuple[Config, Tensors]:
    config = common(
        "qwen3", class_name, 3, tie_word_embeddings=True, hidden_act="silu", max_position_embeddings=256, **more
    )

    def layer(at: str, _: int) -> Tensors:
        return attention(config, f"{at}.self_attn", head_norms="one") | mlp(HIDDEN, INNER, f"{at}.mlp")

    return config, model(config, layer)


def _qwen3_embedding() -> Made:
    config, tensors = _qwen3("Qwen3ForCausalLM")
    tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    prompts = {"query": "Instruct: Given a web search query, retrieve relevant passages\nQuery:", "document": ""}
    files = _recipe(
        _old("lasttoken"),
        "Normalize",
        config_sentence_transformers={"prompts": prompts, "default_prompt_name": None},
    )
    return Made(config, tensors, _behind(), files)


# --- rerankers

_ONE = {"num_labels": 1, "id2label": {"0": "LABEL_0"}}


def _bert_pairs(*, segments: bool) -> Made:
    """Whether segment ids go into the network is the tokenizer's to say."""
    config, tensors = _bert("bert", "BertForSequenceClassification", "bert.", **_ONE)
    tensors |= _linear("bert.pooler.dense", HIDDEN, HIDDEN) | _linear("classifier", 1, HIDDEN)
    names = ["input_ids", "token_type_ids", "attention_mask"]
    files = {"tokenizer_config.json": _tokenizer_config() | {"model_input_names": names}} if segments else {}
    return Made(config, tensors, _around(), files)


def _xlm_roberta_pairs() -> Made:
    config, tensors = _bert("xlm-roberta", "XLMRobertaForSequenceClassification", "roberta.", **_ONE)
    tensors |= _linear("classifier.dense", HIDDEN, HIDDEN) | _linear("classifier.out_proj", 1, HIDDEN)
    return Made(config, tensors, _around(pair="roberta"))


def _modern_pairs(pooling: str) -> Made:
    name = "ModernBertForSequenceClassification"
    config, tensors = _modern(name, "model.", classifier_pooling=pooling, **_ONE)
    tensors |= _linear("head.dense", HIDDEN, HIDDEN, bias=False) | _norm("head.norm", bias=False)
    return Made(config, tensors | _linear("classifier", 1, HIDDEN), _around())


def _yes_no() -> Made:
    """The card's own prompt takes some 300 of this tokenizer's tokens, bytes mostly."""
    config, tensors = _qwen3("Qwen3ForCausalLM")
    config["max_position_embeddings"] = 1024
    return Made(config, tensors, _none(), {"tokenizer_config.json": _long_tokenizer(), "tokenizer.json": _answering()})


def _yes_no_score() -> Made:
    config, tensors = _qwen3("Qwen3ForSequenceClassification", **_ONE)
    config["max_position_embeddings"] = 1024
    tensors["score.weight"] = Tensor((1, HIDDEN))
    return Made(config, tensors, _none(), {"tokenizer_config.json": _long_tokenizer(), "tokenizer.json": _answering()})


def _none() -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def _long_tokenizer() -> dict[str, Any]:
    return tokenizer_config() | {"model_max_length": 1024, "padding_side": "left"}


def _answering() -> dict[str, Any]:
    """A tokenizer with single tokens for yes and no."""
    made = tokenizer(VOCABULARY)
    fillers = [token for token in made["model"]["vocab"] if token.startswith("Ġfiller")][-3:]
    for old, new in zip(fillers, ("no", "ye", "yes"), strict=True):
        made["model"]["vocab"][new] = made["model"]["vocab"].pop(old)
    made["model"]["merges"] += [["n", "o"], ["y", "e"], ["ye", "s"]]
    return made


EMBEDDERS: dict[str, Callable[[], Made]] = {
    "bert-mean": _mean,
    "bert-lower-cls": _lower,
    "bert-mixed": _mixed,
    "xlm-roberta-e5": _e5,
    "modernbert-mean": _modern_mean,
    "embedding-gemma": _gemma,
    "qwen3-embedding": _qwen3_embedding,
}
CROSS_ENCODERS: dict[str, Callable[[], Made]] = {
    "bert-pairs": lambda: _bert_pairs(segments=True),
    "bert-unsegmented-pairs": lambda: _bert_pairs(segments=False),
    "xlm-roberta-pairs": _xlm_roberta_pairs,
    "modernbert-pairs": lambda: _modern_pairs("cls"),
    "modernbert-mean-pairs": lambda: _modern_pairs("mean"),
}
YES_NO: dict[str, Callable[[], Made]] = {"qwen3-reranker": _yes_no, "qwen3-score-reranker": _yes_no_score}
CASES = EMBEDDERS | CROSS_ENCODERS | YES_NO
assert END == END_OF_TURN
