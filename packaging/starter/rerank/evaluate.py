"""Grades a model folder on cases that training never sees: `python evaluate.py FOLDER [--backend torch|mlx]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from starter.common.evaluation import arguments, loaded, padded, report
from starter.common.scores import Score, as_json, table
from starter.meanings.examples import INSTRUCTION, SAME_MEANING, TASKS, case
from starter.rerank.prompt import Prompts
from tokenizers import Tokenizer

Rank = Callable[[list[list[int]]], list[float]]  # prompts -> the logit of yes less that of no
OTHERS = 7


def torch_rank(folder: Path, prompts: Prompts) -> Rank:
    import torch
    from transformers import AutoModelForCausalLM

    model, device = loaded(AutoModelForCausalLM, folder)

    @torch.inference_mode()
    def rank(rows: list[list[int]]) -> list[float]:
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = [0.0] * len(rows)
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            given = padded([rows[i] for i in part], model.config.pad_token_id, device)
            logits = model(**given, logits_to_keep=1).logits[:, -1].float()
            for i, score in zip(part, (logits[:, prompts.yes] - logits[:, prompts.no]).tolist(), strict=True):
                found[i] = score
        return found

    return rank


def mlx_rank(folder: Path, prompts: Prompts) -> Rank:
    import mlx.core as mx
    from mlx_lm import load

    model = load(str(folder))[0]

    def rank(rows: list[list[int]]) -> list[float]:
        found = []
        for row in rows:
            logits = model(mx.array([row]))[0, -1].astype(mx.float32)
            found.append(float(logits[prompts.yes] - logits[prompts.no]))
        return found

    return rank


def evaluate(rank: Rank, prompts: Prompts, cases: int, seconds: float, tasks: list[str]) -> dict[str, Score]:
    """Tasks in order, each whole, until the time is up."""
    scores: dict[str, Score] = {}
    sides = Score()
    began = time.monotonic()
    for task in tasks:
        if time.monotonic() - began > seconds:
            break
        found = [case(task, number, OTHERS) for number in range(cases)]
        given, texts = [], []
        for number, one in enumerate(found):
            documents = [one.fits.text, *(text.text for text in one.others)]
            if not one.same_meaning and number % 2:
                documents[-1] = f"{one.query} That is what {('she', 'he')[number % 4 == 1]} asked."
            asked = SAME_MEANING if one.same_meaning else INSTRUCTION
            given += [prompts.ids(asked, one.query, document) for document in documents]
            texts.append(documents)
        logits = rank(given)
        scores[task] = Score()
        for number, (one, documents) in enumerate(zip(found, texts, strict=True)):
            part = logits[number * (OTHERS + 1) : (number + 1) * (OTHERS + 1)]
            best = max(range(1, OTHERS + 1), key=part.__getitem__)
            right = part[0] > part[best]
            scores[task].add(right, asked=one.query, wanted=documents[0][:400], first=documents[best][:400])
            for place, (logit, document) in enumerate(zip(part, documents, strict=True)):
                sides.add((logit > 0) == (place == 0), asked=one.query, text=document[:400], logit=round(logit, 3))
    return {**scores, "yes and no": sides}


def main() -> None:
    options = arguments(__doc__, TASKS).parse_args()
    prompts = Prompts(Tokenizer.from_file(str(options.folder / "tokenizer.json")))
    rank = (torch_rank if options.backend == "torch" else mlx_rank)(options.folder, prompts)
    found = evaluate(rank, prompts, options.cases, options.seconds, options.task or list(TASKS))
    report(options, table(found), as_json(found))


if __name__ == "__main__":
    main()
