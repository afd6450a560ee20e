"""Fill-in-the-middle tokens: by which a model is asked for what stands between a prefix and a suffix.

The order of the parts and what ends an answer, each as the makers write it. The store knows the same markers
(`store.inspect.kinds`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Markers:
    """A family's fill-in-the-middle tokens. Its prompt is prefix, suffix and middle, each behind its marker; the one of
    the middle is last. `middle` "": it is suffix, then prefix, and the answer goes on with the latter. `others` are
    further tokens of the family that never belong to an insertion."""

    prefix: str
    suffix: str
    middle: str
    others: tuple[str, ...] = ()

    @property
    def needed(self) -> frozenset[str]:
        return frozenset({self.prefix, self.suffix, self.middle} - {""})


FAMILIES = (
    # Qwen2.5-Coder (README, "File-Level Code Completion"), CodeGemma (its model card, with what ends an answer).
    Markers(
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "<|filename|>", "<|reponame|>"),
    ),
    # StarCoder (its model card, "Fill-in-the-middle"); StarCoder2 and Granite's code models have the same tokens.
    Markers(
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        ("<fim_pad>", "<file_sep>", "<repo_name>", "<filename>", "<reponame>", "<gh_stars>"),
    ),
    # SantaCoder (its model card, "Fill-in-the-middle").
    Markers("<fim-prefix>", "<fim-suffix>", "<fim-middle>", ("<fim-pad>",)),
    # DeepSeek-Coder (README, "Code Insertion"): begin, prefix, hole, suffix, end.
    Markers("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", ("<|EOT|>",)),
    # Code Llama (facebookresearch/codellama, `infilling_prompt_tokens`). An insertion ends with `▁<EOT>`.
    Markers("▁<PRE>", "▁<SUF>", "▁<MID>", ("▁<EOT>",)),
    # Codestral (mistral-common, `encode_fim`).
    Markers("[PREFIX]", "[SUFFIX]", "", ("[MIDDLE]",)),
)
ENDS_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>")


def find(added: Collection[str]) -> Markers | None:
    """The family whose markers are all among a tokenizer's added tokens."""
    return next((family for family in FAMILIES if family.needed <= set(added)), None)


def ends(added: Collection[str]) -> frozenset[str]:
    """The tokens that end an insertion, none where the model cannot insert."""
    family = find(added)
    if family is None:
        return frozenset()
    return frozenset({*family.needed, *family.others, *ENDS_OF_TEXT} & set(added))
