"""Grades a model folder on cases that training never sees: `python evaluate.py FOLDER [--backend torch|mlx]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

from starter.llm import template
from starter.llm.conversation import CASES, case
from starter.llm.grading import grade
from starter.llm.sample import Sample

Answer = Callable[[list[Sample]], list[tuple[str, bool]]]  # the text without its end marker, and whether it ended


@dataclass
class Score:
    cases: int = 0
    right: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, right: bool) -> None:
        self.cases += 1
        self.right += right

    @property
    def accuracy(self) -> float:
        return self.right / self.cases if self.cases else 0.0


def _budget(samples: list[Sample]) -> int:
    """Enough tokens for the longest expected answer, and a little more to be seen to run on."""
    return min(700, 40 + max(len(template.pieces(sample)[-1][0].encode()) for sample in samples) * 2 // 3)


def torch_answers(folder: Path) -> Answer:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    @torch.inference_mode()
    def answers(samples: list[Sample]) -> list[tuple[str, bool]]:
        prompts = [tokenizer.encode(template.prompt(sample), add_special_tokens=False) for sample in samples]
        longest = max(map(len, prompts))
        ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=_budget(samples), do_sample=False)
        texts = []
        for row in out[:, longest:].tolist():
            ended = end in row
            texts.append((tokenizer.decode(row[: row.index(end)] if ended else row, skip_special_tokens=False), ended))
        return texts

    return answers


def mlx_answers(folder: Path) -> Answer:
    from mlx_lm import load
    from mlx_lm.generate import stream_generate

    model, tokenizer = load(str(folder))[:2]

    def answers(samples: list[Sample]) -> list[tuple[str, bool]]:
        texts = []
        for sample in samples:
            prompt = tokenizer.encode(template.prompt(sample), add_special_tokens=False)
            text, ended = "", False
            for part in stream_generate(model, tokenizer, prompt, max_tokens=_budget([sample])):
                text += part.text
                ended = part.finish_reason == "stop"
            texts.append((text, ended))
        return texts

    return answers


def evaluate(answers: Answer, cases: int, batch: int, seconds: float, tasks: list[str]) -> dict[str, Score]:
    """Rounds over all tasks until every case is done or the time is up."""
    scores = {task: Score() for task in tasks}
    overall = {
        name: Score()
        for name in (
            "thinks when on",
            "does not think when off",
            "ends its turn",
            "calls parse and name the right tool",
        )
    }
    deadline = time.monotonic() + seconds
    done = 0
    while done < cases and time.monotonic() < deadline:
        size = min(batch, cases - done)
        for task in tasks:
            if time.monotonic() > deadline:
                break
            samples = [case(task, done + i) for i in range(size)]
            part = min(size, 16) if task == "long context" else size
            said = [answer for i in range(0, size, part) for answer in answers(samples[i : i + part])]
            for sample, (text, ended) in zip(samples, said, strict=True):
                result = grade(sample, text, ended)
                scores[task].add(result.right and result.thought and result.ended)
                overall["thinks when on" if sample.thinking else "does not think when off"].add(result.thought)
                overall["ends its turn"].add(result.ended)
                if result.named is not None:
                    overall["calls parse and name the right tool"].add(result.named)
                if not (result.right and result.thought and result.ended) and len(scores[task].failures) < 12:
                    gold = template.pieces(sample)[-1][0].removesuffix("<|im_end|>")
                    asked = next(m["content"] for m in reversed(sample.messages) if m["role"] == "user")
                    failure = {"asked": asked[-600:], "said": text[:600], "wanted": gold[:600]}
                    scores[task].failures.append(failure)
        done += size
    return {**scores, **overall}


def table(scores: dict[str, Score]) -> str:
    rows = [f"| {task} | {s.cases} | {100 * s.accuracy:.1f} % |" for task, s in scores.items() if s.cases]
    return "\n".join(["| task | cases | accuracy |", "| --- | --- | --- |", *rows])


def as_json(scores: dict[str, Score]) -> dict[str, Any]:
    return {
        task: {"cases": s.cases, "accuracy": round(s.accuracy, 4), "failures": s.failures} for task, s in scores.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", choices=("torch", "mlx"), default="torch")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--task", action="append", choices=list(CASES))
    parser.add_argument("--json", type=Path, help="write scores and failures to this file")
    options = parser.parse_args()
    answers = torch_answers(options.folder) if options.backend == "torch" else mlx_answers(options.folder)
    scores = evaluate(answers, options.cases, options.batch, options.seconds, options.task or list(CASES))
    print(table(scores))
    if options.json:
        options.json.write_text(json.dumps(as_json(scores), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
