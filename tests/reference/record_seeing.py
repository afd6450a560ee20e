"""Records what Transformers computes for the tiny models that see, or checks the recorded files against it, live.

Run from tests/, in an environment with torch, pillow and transformers:

    python -m reference.record_seeing [--check] [name …]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from reference.recorded_file import FOLDER
from reference.vision_checkpoint import Shapes, recorded, write
from reference.vision_models import CASES, MODELS, SeeingModel, parts, token_id
from safetensors import safe_open
from support.drawn import noise

STEPS = 6
TOLERANCE = 2e-4
MODULES = {"Qwen2VLProcessor": "qwen2_vl", "Qwen2_5_VLProcessor": "qwen2_5_vl", "Qwen3VLProcessor": "qwen3_vl"}


def shapes_of(model: SeeingModel, folder: Path) -> tuple[Shapes, dict[str, Any]]:
    """What Transformers calls the weights in a file, and how it spells the config."""
    given = dict(model.config)
    config = transformers.AutoConfig.for_model(given.pop("model_type"), **given)
    made: Any = transformers.AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    made.save_pretrained(folder)
    with safe_open(folder / "model.safetensors", "np") as file:
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if model.config["model_type"] == "qwen3_vl_moe":  # whose published files have them the other way round
        shapes |= {name: [one[0], one[2], one[1]] for name, one in shapes.items() if ".experts." in name}
    return shapes, json.loads((folder / "config.json").read_text())


def stand_in(model: SeeingModel, tokenizer: Any, images: Any) -> Any:
    """Transformers' processor without its constructor, which may ask for torchvision: for what stands for a picture."""
    name = str(model.processor["processor_class"])
    family = MODULES.get(name, name.removesuffix("Processor").lower())
    if family == "pixtral":  # its other edition wants torchvision
        pillows = importlib.import_module("transformers.models.pixtral.image_processing_pil_pixtral")
        sys.modules["transformers.models.pixtral.image_processing_pixtral"] = pillows
    module = importlib.import_module(f"transformers.models.{family}.processing_{family}")
    made = object.__new__(getattr(module, name))
    known = {
        "tokenizer": tokenizer,
        "image_processor": images,
        "image_token": model.mark if name == "Gemma3Processor" else model.tokens[0],
        "fake_image_token": "<fake_token_around_image>",
        "global_image_tag": "<global-img>",
        "global_image_token": "<global-img>",
        "image_break_token": "[IMG_BREAK]",
        "image_end_token": "[IMG_END]",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "spatial_merge_size": 1,
        **model.processor,
    }
    if name == "Gemma3Processor":
        tokens = model.tokens[0] * int(model.processor["image_seq_length"])
        known["full_image_sequence"] = f"\n\n{model.tokens[1]}{tokens}{model.tokens[2]}\n\n"
    for key, value in known.items():
        object.__setattr__(made, key, value)
    return made


def inputs(model: SeeingModel, tokenizer: Any, images: Any, name: str) -> dict[str, torch.Tensor]:
    numbers, text = CASES[name]
    pictures = [Image.fromarray(noise(*model.sizes[number], seed=number)) for number in numbers]
    message = {"role": "user", "content": parts(text) if pictures else text}
    rendered = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    seen: dict[str, torch.Tensor] = {}
    if pictures:
        options: dict[str, Any] = {}
        if "Pixtral" in str(model.processor["processor_class"]):
            options["patch_size"] = model.processor["patch_size"] * model.processor.get("spatial_merge_size", 1)
        if "<global-img>" in model.tokens:
            options["return_row_col_info"] = True
        made = images(images=pictures, **options)
        processor = stand_in(model, tokenizer, images)
        pieces = rendered.split(
            model.mark if "Qwen" not in str(model.processor["processor_class"]) else model.tokens[0]
        )
        texts = [processor.replace_image_token(made, number) for number in range(len(pictures))]
        rendered = pieces[0] + "".join(text + piece for text, piece in zip(texts, pieces[1:], strict=True))
        seen = {
            key: torch.tensor(np.array(made[key]))
            for key in ("pixel_values", "image_grid_thw", "pixel_attention_mask", "image_sizes", "image_position_ids")
            if key in made
        }
    ids = torch.tensor([tokenizer.encode(rendered, add_special_tokens=False)])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **seen}
    kinds = (ids == token_id(model, model.tokens[0])).long()
    if "Qwen" in str(model.processor["processor_class"]) and pictures:
        given["mm_token_type_ids"] = kinds
    if "Gemma" in str(model.processor["processor_class"]):
        given["mm_token_type_ids" if "Gemma4" in str(model.processor["processor_class"]) else "token_type_ids"] = kinds
    return given


def extended(given: dict[str, torch.Tensor], said: list[int]) -> dict[str, torch.Tensor]:
    """The inputs with an answer behind the prompt."""
    more = dict(given)
    rows = torch.tensor([said], dtype=torch.long)
    for key, filled in (("input_ids", rows), ("attention_mask", torch.ones_like(rows))):
        more[key] = torch.cat((given[key], filled), 1)
    for key in ("token_type_ids", "mm_token_type_ids"):
        if key in given:
            more[key] = torch.cat((given[key], torch.zeros_like(rows)), 1)
    return more


def record(name: str) -> dict[str, NDArray[Any]]:
    """For each case the prompt, the greedy answer and every row of logits that led to it; each step a full pass."""
    model = MODELS[name]
    with tempfile.TemporaryDirectory() as parent:
        shapes, config = shapes_of(model, Path(parent) / "plain")
        digest = write(name, Path(parent), shapes, config)
        folder = Path(parent) / name
        seeing: Any = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        images: Any = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        found: dict[str, NDArray[Any]] = {}
        for case in CASES:
            given, said, rows = inputs(model, tokenizer, images, case), [], []
            for _ in range(STEPS):
                inner = getattr(seeing, "model", seeing)
                if hasattr(inner, "rope_deltas"):
                    inner.rope_deltas = None
                logits = seeing(**extended(given, said), use_cache=False).logits[0, -1]
                rows.append(logits.float().numpy())
                said.append(int(logits.argmax()))
            found[f"{case}.prompt"] = given["input_ids"][0].numpy().astype(np.int16)
            found[f"{case}.answer"] = np.array(said, np.int16)
            found[f"{case}.logits"] = np.stack(rows)
            gaps = np.sort(np.stack(rows), -1)
            print(
                f"  {case}: {len(found[f'{case}.prompt'])} tokens, smallest gap {(gaps[:, -1] - gaps[:, -2]).min():.3f}"
            )
    facts = {"sha256": digest, "torch": torch.__version__, "transformers": transformers.__version__}
    return found | {
        "facts": np.array(json.dumps(facts)),
        "shapes": np.array(json.dumps(shapes)),
        "config": np.array(json.dumps(config)),
    }


def check(name: str, fresh: dict[str, NDArray[Any]]) -> list[str]:
    known, problems = recorded(name), []
    if json.loads(str(known["facts"]))["sha256"] != json.loads(str(fresh["facts"]))["sha256"]:
        problems.append("the weights are not the recorded ones")
    for case in CASES:
        difference = float(np.abs(known[f"{case}.logits"] - fresh[f"{case}.logits"]).max())
        if not difference < TOLERANCE:
            problems.append(f"{case}: logits differ by {difference:.2g}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    failed = 0
    for name in arguments.names:
        fresh = record(name)
        if not arguments.check:
            np.savez_compressed(FOLDER / f"seeing-{name}.npz", **fresh)
        problems = check(name, fresh)
        failed += bool(problems)
        print(f"{name}: {'; '.join(problems) or 'same'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
