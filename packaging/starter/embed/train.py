"""Trains starter-embed in a given time and exports it: `python train.py --minutes 2.5 --out DIR --seed 1`."""

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
from starter.embed import export
from starter.embed.batches import maker
from starter.embed.evaluate import evaluate, torch_embed
from starter.llm.export import weights
from starter.llm.model import Shape
from starter.meanings import vocabulary
from starter.meanings.examples import TASKS
from starter.meanings.feed import Feed
from starter.meanings.folder import results
from starter.meanings.scoring import save
from starter.meanings.training import Placed, arguments, say, train
from torch import Tensor

SHAPE = {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 1, "head": 64, "intermediate": 256, "context": 1024}
TEMPERATURE, TOPIC_TEMPERATURE, TOPIC_SHARE = 0.04, 0.2, 0.03
_SHARES = {32: 0.5, 64: 0.7, 128: 0.8, 256: 1.0}


def _contrast(queries: Tensor, texts: Tensor, clash: Tensor) -> tuple[Tensor, Tensor]:
    """InfoNCE both ways: each query among all texts, each right text among all queries."""
    count = len(queries)
    logits = (queries @ texts.T / TEMPERATURE).masked_fill(clash, -1e4)
    own = torch.arange(count, device=queries.device)
    there = F.cross_entropy(logits, own)
    back = F.cross_entropy(logits[:, :count].T, own)
    return there + 0.3 * back, (logits.argmax(1) == own).float().mean()


def _topics(texts: Tensor, labels: Tensor) -> Tensor:
    """Texts of one domain lie nearer to each other than to others, as far as the contrast leaves room."""
    similar = texts @ texts.T / TOPIC_TEMPERATURE
    itself = torch.eye(len(texts), dtype=torch.bool, device=texts.device)
    logs = F.log_softmax(similar.masked_fill(itself, -1e4), dim=1)
    same = (labels[:, None] == labels[None]) & ~itself
    return -(logs * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


def loss_of(hidden: Tensor, _table: Tensor, batch: Placed, _share: float) -> tuple[Tensor, Tensor]:
    if batch.wanted is None or batch.keys is None or batch.labels is None:
        raise ValueError("a batch for the contrast says which texts answer whose query")
    states = hidden[batch.ends].float()
    clash = (batch.wanted[:, None, None] == batch.keys).any(-1)  # other texts that answer as well are no negatives
    clash.fill_diagonal_(False)
    loss = states.new_zeros(())
    right = loss
    for size, share in _SHARES.items():
        vectors = F.normalize(states[:, :size], dim=-1)
        part, right = _contrast(vectors[: batch.groups], vectors[batch.groups :], clash)
        loss = loss + share * part
    loss = loss / sum(_SHARES.values())
    return loss + TOPIC_SHARE * _topics(vectors[batch.groups : 2 * batch.groups], batch.labels), right


def main() -> None:
    options = arguments(__doc__, 2.5).parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.tokens, options.workers, options.evaluate_cases = 16384, 1, 8
        torch.set_num_threads(1)
    tokenizer = vocabulary.train(options.seed, 4000 if options.tiny else 30000)
    say(f"tokenizer trained: {tokenizer.get_vocab_size()} entries")
    shape = Shape(tokenizer.get_vocab_size(), **SHAPE)
    # The workers are forked before anything touches the GPU.
    feed = Feed(maker(tokenizer, options.tokens), options.seed, options.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, log = train(options, shape, feed, device, loss_of)
    feed.close()

    weights(model, options.out)
    export.describe(shape, tokenizer, options.out)
    (options.out / "training.json").write_text(json.dumps(log, indent=1) + "\n")
    export.card(options.out, shape.context, log, "Not evaluated.")
    say("saved")
    try:
        scores = evaluate(torch_embed(options.out), options.evaluate_cases, options.evaluate_seconds, list(TASKS))
        save(scores, options.out / "evaluation.json")
        export.card(options.out, shape.context, log, results(scores))
        print(results(scores), flush=True)
    except Exception:
        say("the evaluation failed; the weights are safe\n" + traceback.format_exc())
    say("done")


if __name__ == "__main__":
    main()
