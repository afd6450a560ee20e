"""starter-vl in the engine's own loop: Transformers' logits, whoever is in the batch; no picture is looked at twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from reference.recorded_file import FOLDER
from reference.vision_cases import CASES
from support.engine_wire import GREEDY, Wire, generator, note_yields, run
from support.pictures import about, picture
from support.watched_logits import Rows, watch

from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.generate.memory.ledger import Occupancy
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.vision.view import View
from mlx_serve.daemon.engine.warmup.made_up import warm_up
from mlx_serve.daemon.protocol import Ask, Cancel, Generate

TOLERANCE = 1e-3
NAMES = list(CASES)


def ask(number: int, name: str, **options: Any) -> Ask:
    pictures, question = CASES[name]
    given: dict[str, Any] = {"max_tokens": 24, "sampling": GREEDY, "want_context": True} | options
    return Ask(id=number, work=Generate(prompt=about([picture(one) for one in pictures], question), **given))


def engine(model: LanguageModel, **limits: Any) -> tuple[Generator, Wire, Rows]:
    wire = Wire(model)
    made = generator(model, wire, **limits)
    return made, wire, watch(made)


def check(name: str, number: int, wire: Wire, rows: Rows) -> None:
    with np.load(FOLDER / "starter-vl.npz", allow_pickle=False) as recorded:
        finished = wire.finished(number)
        assert finished.context is not None
        assert list(finished.context[: finished.prompt_tokens]) == recorded[f"{name}.prompt"].tolist()
        wanted = recorded[f"{name}.logits"]
        found = np.stack(rows[number][: len(wanted)])
        np.testing.assert_allclose(found, wanted[: len(found)], rtol=0, atol=TOLERANCE)
        assert len(found) >= len(wanted) - 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [8, 512])
def test_alone(starter: LanguageModel, name: str, budget: int) -> None:
    """Whether the prompt comes in at once or in pieces that cut its pictures."""
    made, wire, rows = engine(starter, tokens_per_step=budget)
    made._pace.fresh._fitting.extend([budget] * 4)
    run((made, wire), iter([[ask(1, name)]]))
    check(name, 1, wire, rows)
    assert made.audit() is None


def test_pictures_and_text_in_one_batch(starter: LanguageModel) -> None:
    """All four come while others run, twice, and every one says what it says alone."""
    made, wire, rows = engine(starter, max_batch=8, tokens_per_step=32)
    asks = [ask(number, NAMES[number % 4]) for number in range(8)]
    run((made, wire), iter([asks[:1], [], asks[1:3], [], [], asks[3:6], asks[6:]]))
    for number in range(8):
        check(NAMES[number % 4], number, wire, rows)
    assert made.audit() is None


def test_a_picture_seen_before_is_not_looked_at_again(starter: LanguageModel, looks: list[int]) -> None:
    made, wire, rows = engine(starter)
    run((made, wire), iter([[ask(1, "two")], *[[]] * 60, [ask(2, "two")], [ask(3, "disc")]]))
    assert looks == [30, 32, 25]
    for number, name in ((1, "two"), (2, "two"), (3, "disc")):
        check(name, number, wire, rows)


def test_choices_share_prefill_and_picture(starter: LanguageModel, looks: list[int]) -> None:
    made, wire, _ = engine(starter)
    run((made, wire), iter([[ask(1, "bars", choices=3)]]))
    assert looks == [35]
    answers = [wire.tokens(1, choice) for choice in range(3)]
    assert answers[0] and answers.count(answers[0]) == 3


def test_a_sequence_that_yields_comes_back_with_its_picture(starter: LanguageModel) -> None:
    """It is prefilled again from its prompt and what it said, at the right positions."""
    made, wire, _ = engine(starter)
    yielded = note_yields(made)

    def script() -> Iterator[list[Any]]:
        yield [ask(1, "none"), ask(2, "bars")]
        while not yielded:
            sequences = made._batch.sequences
            newest = len(sequences) == 2 and min(sequence.generated for sequence in sequences) > 1
            one = made._views.held + made._memory._ledger.needed(Occupancy((200,)))
            made._memory._ledger.memory = one if newest else None
            yield []
        made._memory._ledger.memory = None

    run((made, wire), script())
    assert yielded == [2]
    with np.load(FOLDER / "starter-vl.npz", allow_pickle=False) as recorded:
        for number, name in ((1, "none"), (2, "bars")):
            said = [token for token in recorded[f"{name}.answer"].tolist() if token not in starter.stop_tokens]
            assert wire.tokens(number) == said


def test_cancelled_while_a_picture_is_looked_at(starter: LanguageModel) -> None:
    """Nothing of it is left, and the other one goes on."""
    made, wire, rows = engine(starter)
    run((made, wire), iter([[ask(1, "two"), ask(2, "disc")], [Cancel(id=1)]]))
    check("disc", 2, wire, rows)
    assert made.audit() is None and not made._views._pixels and not made._views._features._pins


def test_it_is_warmed_as_others_are(starter: LanguageModel) -> None:
    """The made-up requests have no pictures, but this model's positions; they run to their ends."""
    warm_up(starter, Limits(max_batch=8, tokens_per_step=512))


def test_text_goes_on_between_the_pieces_of_a_picture(starter: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its tower takes: between two pieces there is a step of those that decode, as long as there are."""
    made, wire, rows = engine(starter)
    monkeypatch.setattr(made._views._glance, "note", lambda pieces, seconds: None)  # one layer a piece
    launched: list[int] = []
    begin_piece = View.begin_piece

    def noted(self: View) -> Any:
        launched.append(sum(sequence.launched for sequence in made._batch.sequences))
        return begin_piece(self)

    monkeypatch.setattr(View, "begin_piece", noted)
    run((made, wire), iter([[ask(1, "none", ignore_eos=True)], [], [], [ask(2, "two")]]))
    assert len(launched) == 2 * 5  # two pictures, a tower of five layers
    beside = [tokens for tokens in launched if tokens]
    assert len(beside) > 2 and all(after > before for before, after in pairwise(beside))
    check("two", 2, wire, rows)
