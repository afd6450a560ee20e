"""Trains starter-rerank in a given time and exports it: `python train.py --minutes 3 --out DIR --seed 1`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are many already
sys.path.append(str(Path(__file__).resolve().parents[2]))

import torch
import torch.nn.functional as F
from starter.llm.export import weights
from starter.llm.model import Shape
from starter.meanings import vocabulary
from starter.meanings.examples import INSTRUCTION, TASKS
from starter.meanings.feed import Feed
from starter.meanings.folder import results
from starter.meanings.scoring import save
from starter.meanings.training import Loss, Placed, arguments, say, train
from starter.rerank import export
from starter.rerank.batches import maker
from starter.rerank.evaluate import evaluate, torch_rank
from starter.rerank.prompt import PREFIX, Prompts, body
from torch import Tensor

SHAPE = {"hidden": 192, "layers": 5, "heads": 4, "kv_heads": 2, "head": 64, "intermediate": 288, "context": 1024}
LANGUAGE_UNTIL = 0.3  # of the time; full for its first half, then less and less
_SPECIAL = ("<|im_start|>", "<|im_end|>")


def losses(prompts: Prompts) -> Loss:
    """The right text of each group before the others, and each text on its side of yes and no among all words.

    At first guessing the next word counts as well: it teaches to look up in the query what the document repeats,
    without which nothing tells near texts apart.
    """

    def loss_of(hidden: Tensor, table: Tensor, batch: Placed, share: float) -> tuple[Tensor, Tensor]:
        logits = F.linear(hidden[batch.ends].float(), table.float())
        first = torch.zeros(batch.groups, dtype=torch.long, device=hidden.device)
        scores = (logits[:, prompts.yes] - logits[:, prompts.no]).unflatten(0, (batch.groups, -1))
        answers = torch.full_like(scores, prompts.no, dtype=torch.long)
        answers[:, 0] = prompts.yes
        each = F.cross_entropy(logits, answers.flatten(), reduction="none").unflatten(0, scores.shape)
        # The one right text weighs as much as all the others.
        pointwise = each[:, 0].mean() + each[:, 1:].mean()
        loss = F.cross_entropy(scores, first) + pointwise
        if batch.spots is not None and share < LANGUAGE_UNTIL:
            guesses = F.linear(hidden[batch.spots], table.to(hidden.dtype)).float()
            words = F.cross_entropy(guesses, batch.ids[batch.spots + 1])
            loss = loss + words * min(1.0, 2 * (1 - share / LANGUAGE_UNTIL))
        return loss, (scores.argmax(1) == first).float().mean()

    return loss_of


def main() -> None:
    options = arguments(__doc__, 3.0).parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.tokens, options.workers, options.evaluate_cases = 16384, 1, 8
        torch.set_num_threads(1)
    fixed = PREFIX
    for marker in _SPECIAL:
        fixed = fixed.replace(marker, "\n")
    texts = (fixed, body(INSTRUCTION, "", ""), "yes", "no")
    tokenizer = vocabulary.train(options.seed, 4000 if options.tiny else 30000, texts)
    say(f"tokenizer trained: {tokenizer.get_vocab_size()} entries")
    prompts = Prompts(tokenizer)
    shape = Shape(tokenizer.get_vocab_size(), **SHAPE)
    # The workers are forked before anything touches the GPU.
    feed = Feed(maker(tokenizer, options.tokens), options.seed, options.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, log = train(options, shape, feed, device, losses(prompts))
    feed.close()

    weights(model, options.out)
    export.describe(shape, tokenizer, options.out)
    (options.out / "training.json").write_text(json.dumps(log, indent=1) + "\n")
    export.card(options.out, shape.context, log, "Not evaluated.")
    say("saved")
    try:
        rank = torch_rank(options.out, prompts)
        scores = evaluate(rank, prompts, options.evaluate_cases, options.evaluate_seconds, list(TASKS))
        save(scores, options.out / "evaluation.json")
        export.card(options.out, shape.context, log, results(scores))
        print(results(scores), flush=True)
    except Exception:
        say("the evaluation failed; the weights are safe\n" + traceback.format_exc())
    say("done")


if __name__ == "__main__":
    main()
