"""A model's kind (llm, vlm, embedding, reranker) with the reason, and its capabilities."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..disk.manifests import Kind
from ..errors import UnsupportedModel
from .configs import ModelFiles, added_tokens, chat_template, pipeline_tag

_ENCODERS = {
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "gte", "modernbert",
    "mpnet", "new", "nomic_bert", "roberta", "roformer", "xlm-roberta", "xlm_roberta",
}  # fmt: skip
_VISION_TENSOR = re.compile(r"(?:^|[._])(?:vision|visual|image|img|siglip|mm_projector|multi_modal_projector)")
_VISION_KEYS = ("vision_config", "vision_tower", "mm_vision_tower", "vit_config", "vision_encoder_config")
_TOOLS = re.compile(r"\b(?:xml_)?tools\b|functools\[|<｜tool▁calls▁begin｜>")
# The markers that open thoughts, and the variables that templates have for them; the engine looks for the same.
_THINKING = re.compile(
    r"\benable_thinking\b|\breasoning_effort\b|<think>|\[THINK\]|<seed:think>|<\|START_THINKING\|>|<\|inner_prefix\|>|"
    r"<\|channel>thought|<\|channel\|>|\[BEGIN FINAL RESPONSE\]|<longcat_think>|<\|think:start\|>"
)
# The fill-in-the-middle tokens of each family, all of which a model needs; the engine looks for the same.
_INSERTION = (
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
    {"▁<PRE>", "▁<SUF>", "▁<MID>"},
    {"[PREFIX]", "[SUFFIX]"},
)


@dataclass(frozen=True)
class Detected:
    """`reason` is a sentence for the manifest, which `show` prints."""

    kind: Kind
    reason: str


def detect(files: ModelFiles, tensors: Collection[str], hints: Sequence[str]) -> Detected:
    """Detect the kind of a model. `hints` are names of its folder or repository.

    Raises UnsupportedModel for any other kind of model.
    """
    config = files.object("config.json")
    return (
        _reranker(files, config, hints)
        or _embedding(files, config, hints)
        or _vision(config, tensors)
        or _language(config)
    )


def capabilities(kind: Kind, files: ModelFiles) -> tuple[str, ...]:
    """The capabilities of a model of this kind with its own chat template."""
    there = added_tokens(files) if kind in ("llm", "vlm") else frozenset()
    inserts = any(family <= there for family in _INSERTION)
    return template_capabilities(kind, chat_template(files) or "", inserts=inserts)


def template_capabilities(kind: Kind, template: str, *, inserts: bool = False) -> tuple[str, ...]:
    """The capabilities with that chat template, in Ollama's terms; `rerank` is an addition of mlx-serve. `inserts`: its
    tokenizer has fill-in-the-middle tokens."""
    if kind == "embedding":
        return ("embedding",)
    if kind == "reranker":
        return ("rerank",)
    found = ["completion"]
    if kind == "vlm":
        found.append("vision")
    if _TOOLS.search(template):
        found.append("tools")
    if _THINKING.search(template):
        found.append("thinking")
    if inserts:
        found.append("insert")
    return tuple(found)


def _reranker(files: ModelFiles, config: dict[str, Any], hints: Sequence[str]) -> Detected | None:
    for architecture in _architectures(config):
        if architecture.endswith("ForSequenceClassification"):
            labels = _labels(config)
            if labels > 1:
                raise UnsupportedModel(
                    f"{architecture} with {labels} labels is an unsupported classifier; a reranker has one label"
                )
            return Detected("reranker", f"config.json names {architecture}, a cross-encoder with one label")
    if files.object("config_sentence_transformers.json").get("model_type") == "CrossEncoder":
        return Detected("reranker", "config_sentence_transformers.json says CrossEncoder")
    if pipeline_tag(files) == "text-ranking":
        return Detected("reranker", "the model card says pipeline_tag: text-ranking")
    for hint in hints:
        if "rerank" in hint.lower():
            return Detected("reranker", f"the name {hint} says so")
    return None


def _embedding(files: ModelFiles, config: dict[str, Any], hints: Sequence[str]) -> Detected | None:
    modules = files.json("modules.json")
    listed = modules if isinstance(modules, list) else []
    kinds = [str(module.get("type")) for module in listed if isinstance(module, dict)]
    if any(kind.endswith(".Pooling") for kind in kinds) or "1_Pooling/config.json" in files:
        return Detected("embedding", "modules.json or 1_Pooling describes how token vectors are pooled")
    if "config_sentence_transformers.json" in files:
        return Detected("embedding", "config_sentence_transformers.json belongs to an embedding model")
    tag = pipeline_tag(files)
    if tag in ("feature-extraction", "sentence-similarity"):
        return Detected("embedding", f"the model card says pipeline_tag: {tag}")
    model_type = str(config.get("model_type"))
    if "embed" in model_type.lower():
        return Detected("embedding", f"config.json says model_type {model_type}")
    for hint in hints:
        if "embed" in hint.lower():
            return Detected("embedding", f"the name {hint} says so")
    if model_type in _ENCODERS:
        return Detected("embedding", f"{model_type} is an encoder without a text generating head")
    for architecture in _architectures(config):
        if architecture.endswith("Model") and not architecture.endswith(("LMHeadModel", "HeadsModel")):
            return Detected("embedding", f"config.json names {architecture}, a model without a text generating head")
    return None


def _vision(config: dict[str, Any], tensors: Collection[str]) -> Detected | None:
    key = next((key for key in _VISION_KEYS if config.get(key)), None)
    if key is None:
        return None
    if any(_VISION_TENSOR.search(name) for name in tensors):
        return Detected("vlm", f"config.json has {key} and the weights hold a vision tower")
    return Detected("llm", f"config.json has {key}, but the weights hold no vision tower")


def _language(config: dict[str, Any]) -> Detected:
    if config.get("is_encoder_decoder") is True:
        raise UnsupportedModel(f"{config.get('model_type')} is an encoder-decoder model, which is not supported")
    for architecture in _architectures(config):
        return Detected("llm", f"config.json names {architecture}")
    return Detected(
        "llm", f"config.json says model_type {config.get('model_type')} and nothing speaks for another kind"
    )


def _architectures(config: dict[str, Any]) -> list[str]:
    value = config.get("architectures")
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _labels(config: dict[str, Any]) -> int:
    names, number = config.get("id2label"), config.get("num_labels")
    if isinstance(names, dict):
        return len(names)
    return number if isinstance(number, int) else 1
