"""Held-out pictures and wordings: `python evaluate.py DIR [--backend mlx] [--task count] [--json FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starter.common.evaluation import arguments, generated, loaded, padded, report, rounds
from starter.common.scores import Score
from starter.vl import template
from starter.vl.grading import is_right, is_same
from starter.vl.picture.painter import paint
from starter.vl.picture.patches import MERGE, PATCH, resized
from starter.vl.talk import TASKS, Sample, case

LONGEST = 80
Answer = tuple[str, bool]  # the text, and whether the turn was ended
Picture = tuple[NDArray[np.float32], tuple[int, int]]
Painting = Callable[[Callable[[Sample], list[Picture]], list[Sample]], Iterable[list[Picture]]]
Answers = Callable[[list[Sample]], Iterator[Answer]]


Marks = dict[str, Score]  # what is right, the same word by word, ended


def pixels(image: Image.Image) -> Picture:
    """What Qwen's processor makes of a picture: [patches, 3 * 2 * 16 * 16], and high and wide in patches."""
    high, wide = resized(image.height, image.width)
    scaled = image.convert("RGB").resize((wide, high), Image.Resampling.BICUBIC)
    values = np.asarray(scaled, np.float32) / 255 * 2 - 1
    rows, columns = high // PATCH, wide // PATCH
    parts = values.reshape(rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH, 3)
    flat = parts.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, 1, PATCH * PATCH)
    return np.repeat(flat, 2, 2).reshape(rows * columns, -1), (rows, columns)


def painted(sample: Sample) -> list[Picture]:
    return [pixels(paint(scene)) for scene in sample.scenes]


def torch_inputs(
    samples: list[Sample], tokenizer: Any, image: int, device: str, paint_all: Painting = map
) -> dict[str, Any]:
    """A batch for Transformers' model."""
    import torch

    rows, seen, grids = [], [], []
    for sample, pictures in zip(samples, paint_all(painted, samples), strict=True):
        sizes = []
        for values, (high, wide) in pictures:
            seen.append(values)
            grids.append((1, high, wide))
            sizes.append(high * wide // MERGE**2)
        ids: list[int] = []
        for token in tokenizer.encode(template.prompt(sample.messages), add_special_tokens=False):
            ids += [image] * sizes.pop(0) if token == image else [token]
        rows.append(ids)
    inputs = padded(rows, tokenizer.pad_token_id, device)
    if seen:
        inputs["pixel_values"] = torch.from_numpy(np.concatenate(seen)).to(device)
        inputs["image_grid_thw"] = torch.tensor(grids, device=device)
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == image).int()
    return inputs


def torch_answers(folder: Path, paint_all: Painting = map, batch: int = 128) -> Answers:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    model, device = loaded(transformers.Qwen3VLForConditionalGeneration, folder)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)

    def answers(samples: list[Sample]) -> Iterator[Answer]:
        for at in range(0, len(samples), batch):
            inputs = torch_inputs(samples[at : at + batch], tokenizer, model.config.image_token_id, device, paint_all)
            model.model.rope_deltas = None
            with torch.inference_mode():
                yield from generated(model, tokenizer, inputs, LONGEST, markers=False)

    return answers


def mlx_answers(folder: Path) -> Answers:
    """Through mlx-vlm, its own processor and its own template rendering."""
    import mlx_vlm

    model, processor = mlx_vlm.load(str(folder))

    def answers(samples: list[Sample]) -> Iterator[Answer]:
        for sample in samples:
            prompt = processor.tokenizer.apply_chat_template(
                sample.messages[:-1], add_generation_prompt=True, tokenize=False
            )
            images = [paint(scene) for scene in sample.scenes]
            result = mlx_vlm.generate(
                model, processor, prompt, image=images or None, max_tokens=LONGEST, temperature=0.0, verbose=False
            )
            yield result.text, result.generation_tokens < LONGEST

    return answers


def evaluate(answers: Answers, cases: int, seconds: float, tasks: list[str]) -> dict[str, Marks]:
    """All tasks in equal shares, until the time is over: rounds of a few cases of each."""
    scores = {task: {name: Score() for name in ("right", "same", "ended")} for task in tasks}
    for numbers in rounds(cases, 32, seconds):
        samples = [case(task, number) for task in tasks for number in numbers]
        samples.sort(key=lambda sample: sum(len(str(message["content"])) for message in sample.messages))
        for sample, (text, ended) in zip(samples, answers(samples), strict=True):
            marks, asked = scores[sample.task], template.prompt(sample.messages)[-160:]
            marks["right"].add(ended and is_right(sample, text), asked=asked, wanted=sample.answer, said=text)
            marks["same"].add(is_same(sample, text))
            marks["ended"].add(ended)
    return scores


def table(scores: dict[str, Marks]) -> str:
    total = {name: sum(marks[name].right for marks in scores.values()) for name in ("right", "same", "ended")}
    cases = sum(marks["right"].cases for marks in scores.values())
    rows = [(task, marks["right"].cases, marks["right"].right, marks["same"].right) for task, marks in scores.items()]
    lines = ["| task | cases | right | word by word |", "| --- | --- | --- | --- |"]
    for task, count, right, same in [*rows, ("all", cases, total["right"], total["same"])]:
        lines.append(f"| {task} | {count} | {right / max(1, count):.1%} | {same / max(1, count):.1%} |")
    return "\n".join(lines) + f"\n\nTurns ended: {total['ended'] / max(1, cases):.1%}."


def as_json(scores: dict[str, Marks]) -> dict[str, Any]:
    return {
        task: {
            "cases": marks["right"].cases,
            **{name: mark.right for name, mark in marks.items()},
            "wrong": marks["right"].failures,
        }
        for task, marks in scores.items()
    }


def main() -> None:
    options = arguments(__doc__, TASKS).parse_args()
    answers = torch_answers(options.folder) if options.backend == "torch" else mlx_answers(options.folder)
    found = evaluate(answers, options.cases, options.seconds, options.task or list(TASKS))
    report(options, table(found), as_json(found))


if __name__ == "__main__":
    main()
