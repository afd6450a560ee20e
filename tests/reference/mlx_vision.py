"""A child process that asks starter-vl with mlx-vlm alone, for the tests to compare.

usage: python -m reference.mlx_vision logits OUT     writes OUT/<case>.npz: ids, whole, cached
       python -m reference.mlx_vision answers FOLDER prints a JSON list: the answers to FOLDER/questions.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reference.recorded_file import FOLDER
from reference.vision_cases import CASES, MODEL, prompt

LONGEST = 60


def given(processor: Any, name: str) -> dict[str, Any]:
    pictures, question = CASES[name]
    images = [Image.fromarray(picture) for picture in pictures] or None
    made = processor(images=images, text=[prompt(len(pictures), question)])
    return {key: made[key] for key in ("input_ids", "pixel_values", "image_grid_thw") if key in made}


def whole(model: Any, inputs: dict[str, Any], answer: list[int]) -> NDArray[np.float32]:
    """One pass over prompt and answer; the rows that predict the answer."""
    ids = mx.concatenate((inputs["input_ids"], mx.array([answer[:-1]], dtype=inputs["input_ids"].dtype)), axis=1)
    logits = model(**{**inputs, "input_ids": ids}).logits[0, -len(answer) :]
    return np.array(logits.astype(mx.float32))


def cached(model: Any, inputs: dict[str, Any], answer: list[int]) -> NDArray[np.float32]:
    """The prompt with its pictures, then one token a step."""
    from mlx_vlm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model.language_model)
    rows = [model(**inputs, cache=cache).logits[0, -1]]
    for token in answer[:-1]:
        rows.append(model.language_model(mx.array([[token]]), cache=cache).logits[0, -1])
        mx.eval(rows[-1])
    return np.array(mx.stack(rows).astype(mx.float32))


def logits(out: Path) -> None:
    import mlx_vlm
    from mlx.utils import tree_map

    model, processor = mlx_vlm.load(str(MODEL))
    model.update(tree_map(lambda weight: weight.astype(mx.float32), model.parameters()))
    recorded = np.load(FOLDER / "starter-vl.npz", allow_pickle=False)
    for name in CASES:
        inputs, answer = given(processor, name), recorded[f"{name}.answer"].tolist()
        rows = {"whole": whole(model, inputs, answer), "cached": cached(model, inputs, answer)}
        np.savez(out / f"{name}.npz", ids=np.array(inputs["input_ids"][0]), **rows)


def answers(folder: Path) -> None:
    import mlx_vlm
    from mlx_vlm.prompt_utils import apply_chat_template

    model, processor = mlx_vlm.load(str(MODEL))
    said = []
    for question in json.loads((folder / "questions.json").read_text()):
        images = [str(folder / picture) for picture in question["pictures"]]
        text = apply_chat_template(processor, model.config, question["text"], num_images=len(images))
        result = mlx_vlm.generate(
            model, processor, text, image=images or None, max_tokens=LONGEST, temperature=0.0, verbose=False
        )
        said.append(result.text if result.generation_tokens < LONGEST else result.text + " …")
    print(json.dumps(said))


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    {"logits": logits, "answers": answers}[sys.argv[1]](Path(sys.argv[2]))
