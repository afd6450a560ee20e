"""Grades a model folder on cases that training never sees: `python evaluate.py FOLDER [--backend torch|mlx]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray
from starter.embed.batches import prompted
from starter.embed.export import DIMENSIONS
from starter.meanings.examples import INSTRUCTION, TASKS, Example, case
from starter.meanings.folder import results
from starter.meanings.scoring import Score, save

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]  # rows of length one
OTHERS = 7


def torch_embed(folder: Path) -> Embed:
    import torch
    from transformers import AutoModel, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def embed(texts: list[str]) -> Vectors:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(order), 512):
            part = order[start : start + 512]
            given = tokenizer(
                [texts[i] for i in part], padding=True, truncation=True, max_length=1024, return_tensors="pt"
            )
            states = model(**given.to(device)).last_hidden_state[:, -1]  # padding stands before the text
            found[part] = torch.nn.functional.normalize(states.float(), dim=-1).cpu().numpy()
        return found

    return embed


def mlx_embed(folder: Path) -> Embed:
    import mlx.core as mx
    from mlx_lm import load

    model, tokenizer = load(str(folder))[:2]

    def embed(texts: list[str]) -> Vectors:
        found = []
        for text in texts:
            ids = tokenizer._tokenizer.encode(text)[:1024]
            state = model.model(mx.array([ids]))[0, -1].astype(mx.float32)
            found.append(np.array(state / mx.linalg.norm(state)))
        return np.stack(found)

    return embed


def _shortened(vectors: Vectors, size: int) -> Vectors:
    cut = vectors[:, :size]
    return cut / np.linalg.norm(cut, axis=1, keepdims=True)


def _first(task: str, found: list[Example], queries: Vectors, texts: Vectors, score: Score, example_size: int) -> None:
    """Texts stand in groups, the right one first. One that answers as well does not count against it."""
    keys = [text.keys for one in found for text in (one.fits, *one.others)]
    similar = queries @ texts.T
    for i, one in enumerate(found):
        own = i * example_size
        rivals = [j for j in range(own + 1, own + example_size)]
        if task != "long passage":
            rivals += [j for j in range(len(keys)) if not own <= j < own + example_size]
        rivals = [j for j in rivals if one.key not in keys[j]]
        best = max(rivals, key=lambda j: similar[i, j])
        right = bool(similar[i, own] > similar[i, best])
        wrong = found[best // example_size]
        text = (wrong.fits, *wrong.others)[best % example_size].text
        score.add(right, asked=one.query, wanted=one.fits.text[:400], first=text[:400])


def evaluate(embed: Embed, cases: int, seconds: float, tasks: list[str]) -> dict[str, Score]:
    """Tasks in order, each whole, until the time is up."""
    scores: dict[str, Score] = {}
    began = time.monotonic()
    for task in tasks:
        if time.monotonic() - began > seconds:
            break
        found = [case(task, number, OTHERS) for number in range(cases)]
        texts = embed([text.text for one in found for text in (one.fits, *one.others)])
        plain = [one.query for one in found]
        asked = plain if found[0].same_meaning else [prompted(INSTRUCTION, text) for text in plain]
        queries = embed(asked)
        scores[task] = Score()
        _first(task, found, queries, texts, scores[task], OTHERS + 1)
        if task == "question":
            for size in DIMENSIONS[:-1]:
                name = f"question, {size} dimensions"
                scores[name] = Score()
                _first(task, found, _shortened(queries, size), _shortened(texts, size), scores[name], OTHERS + 1)
            name = "question, no instruction"
            scores[name] = Score()
            _first(task, found, embed(plain), texts, scores[name], OTHERS + 1)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", choices=("torch", "mlx"), default="torch")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--json", type=Path, help="write scores and failures to this file")
    options = parser.parse_args()
    embed = (torch_embed if options.backend == "torch" else mlx_embed)(options.folder)
    scores = evaluate(embed, options.cases, options.seconds, options.task or list(TASKS))
    print(results(scores))
    if options.json:
        save(scores, options.json)


if __name__ == "__main__":
    main()
