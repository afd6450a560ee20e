"""Grades a model folder on cases that training never sees: `python evaluate.py FOLDER [--backend torch|mlx]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray
from starter.common.evaluation import arguments, loaded, report
from starter.common.scores import Score, as_json, table
from starter.meanings.examples import INSTRUCTION, TASKS, Example, case, prompted

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]  # rows of length one
DIMENSIONS = (32, 64, 128, 256)
OTHERS = 7  # near texts of a case
TOGETHER = 16  # cases whose texts are all candidates


def torch_embed(folder: Path) -> Embed:
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, device = loaded(AutoModel, folder)
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


def _score(found: list[Example], queries: Vectors, texts: Vectors, elsewhere: bool = False) -> Score:
    """`texts` stand in groups, the right one first. One that answers as well does not count against it.

    `elsewhere`: only texts of other domains are rivals.
    """
    score, size = Score(), OTHERS + 1
    for start in range(0, len(found), TOGETHER):
        some = found[start : start + TOGETHER]
        candidates = [text for one in some for text in (one.fits, *one.others)]
        domains = [one.domain for one in some for _ in range(size)]
        similar = queries[start : start + len(some)] @ texts[start * size : (start + len(some)) * size].T
        for i, one in enumerate(some):
            rivals = [j for j, text in enumerate(candidates) if j != i * size and one.key not in text.keys]
            if elsewhere:
                rivals = [j for j in rivals if domains[j] != one.domain]
            best = max(rivals, key=lambda j: float(similar[i, j]))
            right = bool(similar[i, i * size] > similar[i, best])
            score.add(right, asked=one.query, wanted=one.fits.text[:400], first=candidates[best].text[:400])
    return score


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
        scores[task] = _score(found, queries, texts)
        if task == "paraphrase":
            scores["paraphrase, other topics"] = _score(found, queries, texts, elsewhere=True)
        if task == "question":
            for size in DIMENSIONS[:-1]:
                short = _shortened(queries, size), _shortened(texts, size)
                scores[f"question, {size} dimensions"] = _score(found, *short)
            scores["question, no instruction"] = _score(found, embed(plain), texts)
    return scores


def main() -> None:
    options = arguments(__doc__, TASKS).parse_args()
    embed = (torch_embed if options.backend == "torch" else mlx_embed)(options.folder)
    found = evaluate(embed, options.cases, options.seconds, options.task or list(TASKS))
    report(options, table(found), as_json(found))


if __name__ == "__main__":
    main()
