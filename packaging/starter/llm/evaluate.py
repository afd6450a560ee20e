"""Grades a model folder on cases that training never sees: `python evaluate.py FOLDER [--backend torch|mlx]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from starter.common.evaluation import arguments, generated, loaded, padded, report, rounds
from starter.common.scores import Score, as_json, table
from starter.llm import template
from starter.llm.conversation import CASES, cases
from starter.llm.grading import grade
from starter.llm.sample import Message, Sample
from starter.llm.tool.tools import written

Answer = Callable[[list[Sample]], list[tuple[str, bool]]]  # the text without its end marker, and whether it ended


_LONG = ("long context", "long conversation")
_CALLS = "calls parse and name the right tool"


def _budget(samples: list[Sample]) -> int:
    """Enough tokens for the longest expected answer, and a little more to be seen to run on."""
    return min(900, 40 + max(len(template.pieces(sample)[-1][0].encode()) for sample in samples))


def torch_answers(folder: Path) -> Answer:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, device = loaded(AutoModelForCausalLM, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def answers(samples: list[Sample]) -> list[tuple[str, bool]]:
        prompts = [tokenizer.encode(template.prompt(sample), add_special_tokens=False) for sample in samples]
        inputs = padded(prompts, tokenizer.pad_token_id, device)
        return list(generated(model, tokenizer, inputs, _budget(samples)))

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


def http_answers(url: str, model: str) -> Answer:
    """Through OpenAI's HTTP, `url` ending in /v1: template, parsing and sampling are the server's own."""
    from urllib.request import ProxyHandler, Request, build_opener

    opener = build_opener(ProxyHandler({}))

    def sendable(message: Message) -> Message:
        calls = [
            {
                **call,
                "id": f"call_{i}",
                "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])},
            }
            for i, call in enumerate(message.get("tool_calls", []))
        ]
        sent = {**message, "tool_calls": calls} if calls else dict(message)
        return {**sent, "tool_call_id": "call_0"} if message["role"] == "tool" else sent

    def answer(sample: Sample) -> tuple[str, bool]:
        body = {
            "model": model,
            "messages": [sendable(message) for message in sample.messages[:-1]],
            "max_tokens": _budget([sample]),
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": sample.thinking},
            **({"tools": sample.tools} if sample.tools else {}),
        }
        request = Request(f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with opener.open(request) as response:
            choice = json.load(response)["choices"][0]
        said = choice["message"]
        functions = [call["function"] for call in said.get("tool_calls") or []]
        text = said.get("content") or ""
        text += "\n".join(written(function["name"], json.loads(function["arguments"])) for function in functions)
        if thought := said.get("reasoning_content"):
            text = f"<think>\n{thought}\n</think>\n\n{text}"
        return text, choice["finish_reason"] != "length"

    return lambda samples: [answer(sample) for sample in samples]


def _chunks(samples: list[Sample], batch: int) -> list[list[Sample]]:
    """Together what is about as long: a batch runs until its last answer has ended."""
    short = sorted((sample for sample in samples if sample.task not in _LONG), key=lambda sample: _budget([sample]))
    long = sorted((sample for sample in samples if sample.task in _LONG), key=lambda sample: sample.task)
    return [short[i : i + batch] for i in range(0, len(short), batch)] + [
        long[i : i + 16] for i in range(0, len(long), 16)
    ]


def evaluate(answers: Answer, most: int, batch: int, seconds: float, tasks: list[str]) -> dict[str, Score]:
    """Rounds of up to 64 cases of every task until all are done or the time is over."""
    scores = {task: Score() for task in tasks}
    whole = {name: Score() for name in ("thinks when on", "does not think when off", "ends its turn", _CALLS)}
    for numbers in rounds(most, 64, seconds):
        for chunk in _chunks([sample for task in tasks for sample in cases(task, numbers)], batch):
            for sample, (text, ended) in zip(chunk, answers(chunk), strict=True):
                result = grade(sample, text, ended)
                gold = template.pieces(sample)[-1][0].removesuffix("<|im_end|>")
                asked = next(m["content"] for m in reversed(sample.messages) if m["role"] == "user")
                right = result.right and result.thought and result.ended
                scores[sample.task].add(right, asked=asked[-600:], said=text[:600], wanted=gold[:600])
                whole["thinks when on" if sample.thinking else "does not think when off"].add(result.thought)
                whole["ends its turn"].add(result.ended)
                if result.named is not None:
                    whole[_CALLS].add(result.named)
    return {**scores, **whole}


def main() -> None:
    parser = arguments(__doc__, CASES, folder="?")
    parser.add_argument("--url", help="ask a server instead of a folder, e.g. http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="starter", help="the model's name on that server")
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    if options.url:
        answers = http_answers(options.url.rstrip("/"), options.model)
    elif options.folder is None:
        parser.error("name a folder, or a server with --url")
    else:
        answers = torch_answers(options.folder) if options.backend == "torch" else mlx_answers(options.folder)
    found = evaluate(answers, options.cases, options.batch, options.seconds, options.task or list(CASES))
    report(options, table(found), as_json(found))


if __name__ == "__main__":
    main()
