"""Every architecture that sees, in the engine's own loop: what Transformers computes, alone and in any company."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.vision_checkpoint import recorded, write
from reference.vision_models import CASES, MODELS, parts
from support.drawn import noise
from support.engine_wire import GREEDY, Wire, generator, run
from support.extent import LONG
from support.pictures import picture
from support.watched_logits import Rows, watch

from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.vision.checkpoint import load_seeing
from mlx_serve.daemon.protocol import Ask, ChatPrompt, Generate, Load

TOLERANCE = 1e-3
NAMES = list(MODELS)
EVERY_CASE = list(CASES)
Loaded = Callable[[str], LanguageModel]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    parent, models = tmp_path_factory.mktemp("seeing"), {}

    def model(name: str) -> LanguageModel:
        if name not in models:
            write(name, parent)
            models[name] = bring_in(parent / name)
        return models[name]

    return model


def bring_in(folder: Path) -> LanguageModel:
    request = Load(path=str(folder), name=folder.name, kind="vlm", max_batch=8, prefill_tokens_per_step=512)
    return load_seeing(request)[0]


def ask(number: int, name: str, case: str, **options: Any) -> Ask:
    numbers, text = CASES[case]
    pictures = tuple(picture(noise(*MODELS[name].sizes[place], seed=place)) for place in numbers)
    message = {"role": "user", "content": parts(text) if pictures else text}
    given: dict[str, Any] = {"sampling": GREEDY, "max_tokens": 6, "want_context": True, "ignore_eos": True} | options
    return Ask(id=number, work=Generate(prompt=ChatPrompt(messages=(message,), pictures=pictures), **given))


def engine(model: LanguageModel, **limits: Any) -> tuple[Generator, Wire, Rows]:
    wire = Wire(model)
    made = generator(model, wire, **({"tokens_per_step": 512} | limits))
    return made, wire, watch(made)


def check(name: str, case: str, number: int, wire: Wire, rows: Rows) -> None:
    known, finished = recorded(name), wire.finished(number)
    assert finished.context is not None
    assert list(finished.context[: finished.prompt_tokens]) == known[f"{case}.prompt"].tolist()
    found = np.stack(rows[number][:6])
    np.testing.assert_allclose(found, known[f"{case}.logits"], rtol=0, atol=TOLERANCE)
    assert wire.tokens(number) == known[f"{case}.answer"].tolist()


@pytest.mark.parametrize("case", EVERY_CASE if LONG else EVERY_CASE[::2])
@pytest.mark.parametrize("name", NAMES)
def test_alone(seeing: Loaded, name: str, case: str) -> None:
    made, wire, rows = engine(seeing(name))
    run((made, wire), iter([[ask(1, name, case)]]))
    check(name, case, 1, wire, rows)


@pytest.mark.parametrize("budget", [8, 64] if LONG else [8])
@pytest.mark.parametrize("name", NAMES)
def test_together(seeing: Loaded, name: str, budget: int) -> None:
    """Text and pictures, which come one after the other, in pieces of prompt that cut pictures where that may be."""
    model = seeing(name)
    assert model.batchable
    made, wire, rows = engine(model, max_batch=8, tokens_per_step=budget)
    made._pace.fresh._fitting.extend([budget] * 4)
    asks = [ask(number, name, EVERY_CASE[number % 4]) for number in range(8)]
    run((made, wire), iter([asks[:1], [], asks[1:3], [], asks[3:6], [], asks[6:]]))
    for number in range(8):
        check(name, EVERY_CASE[number % 4], number, wire, rows)
    assert made.audit() is None
