"""The trained model as a Hugging Face folder: weights first, then what describes them, and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from . import files
from . import tokenizer as words

_LICENCE = Path(__file__).resolve().parents[3] / "LICENSE"
TEXT = Path(__file__).parent / "exported"  # the files of a model that reads text alone


def weights(model: nn.Module, folder: Path) -> None:
    state = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    path = folder / "model.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)


def ends(tokenizer: Tokenizer) -> dict[str, int]:
    """The tokens that end a turn and that fill up."""
    return {"end": tokenizer.token_to_id(words.END), "pad": tokenizer.token_to_id(words.END_OF_TEXT)}


def describe(
    tokenizer: Tokenizer, folder: Path, sources: list[Path], values: dict[str, Any], template: str | None, **how: Any
) -> None:
    """Configurations, tokenizer and licence.

    `values` fill the gaps of the JSON files in the folders `sources`; `how` is said to the tokenizer's own.
    """
    known = {**ends(tokenizer), **values}
    for source in sources:
        for path in sorted(source.rglob("*.json")):
            files.write(folder / path.relative_to(source), files.config(path, known))
    stops = [known["end"], known["pad"]]
    generation = {"do_sample": False, "eos_token_id": stops, "pad_token_id": known["pad"]}
    files.write(folder / "generation_config.json", generation)
    words.save(tokenizer, folder, known["context"], template, **how)
    if _LICENCE.is_file():
        shutil.copyfile(_LICENCE, folder / "LICENSE")


def run(log: dict[str, Any], counted: str, digits: int) -> str:
    amount = f"{log[counted] / 1e6:.{digits}f} million {counted}"
    return f"seed {log['seed']}, {amount} in {log['steps']} steps, {log['minutes']} minutes on {log['device']}"


def versions(log: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in log["versions"].items())


def losses(log: dict[str, Any]) -> str:
    """Rows of a table, about a dozen."""
    curve = log["curve"]
    return "\n".join(
        f"| {point['seconds']:.0f} | {point['step']} | {point['loss']:.4f} |"
        + (f" {100 * point['right']:.1f} % |" if "right" in point else "")
        for point in curve[:: max(1, len(curve) // 12)] + curve[-1:]
    )


def card(template: Path, folder: Path, log: dict[str, Any], **values: Any) -> None:
    told = {"millions": log["parameters"] / 1e6, "versions": versions(log), "losses": losses(log), **values}
    (folder / "README.md").write_text(template.read_text().format(**told))
