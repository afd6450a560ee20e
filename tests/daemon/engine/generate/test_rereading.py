"""Why a prompt is read again: every reason, with where it parts from what was read before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.disk_engine import PLENTY, tokens
from support.engine_wire import Wire, ask, generator, run
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.generate.prefilling.prefill import Prefill
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.chain import Chain
from mlx_serve.daemon.engine.prefix.known_texts import Beginning, KnownTexts
from mlx_serve.daemon.protocol import Ask, Cancel, ChatPrompt, Generate, Reread, Started

SIZE = 16
PROMPT = tokens(5 * SIZE + 3, 1)

Loaded = Callable[[str], LanguageModel]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch)


class Asked:
    def __init__(self, model: LanguageModel, prefixes: int = PLENTY) -> None:
        self.wire = Wire(model)
        self.engine: Generator = generator(model, self.wire, prefixes=prefixes, tokens_per_step=24)
        self.number = 0

    def reread(self, prompt: tuple[int, ...]) -> Reread | None:
        """What is said of a prompt that is asked now."""
        (said,) = self.together(prompt)
        return said

    def together(self, *prompts: tuple[int, ...]) -> list[Reread | None]:
        """The same of several that arrive together."""
        numbers = range(self.number + 1, self.number + 1 + len(prompts))
        self.number += len(prompts)
        asks = [ask(number, prompt, 4) for number, prompt in zip(numbers, prompts, strict=True)]
        run((self.engine, self.wire), iter([asks]))
        events = [self.wire.events[number] for number in numbers]
        return [one.reread for some in events for one in some if isinstance(one, Started)]

    def cancelled(self, prompt: tuple[int, ...], steps: int) -> None:
        """Ask, and hang up after so many steps."""
        self.number += 1
        script = [[ask(self.number, prompt, 4)], *[[]] * steps, [Cancel(id=self.number)]]
        run((self.engine, self.wire), iter(script))


def test_nothing_is_said_where_nothing_is_missed(loaded: Loaded) -> None:
    """A new prompt, the same again, one that goes on from it, and one that parts from it near its end."""
    asked = Asked(loaded("llama"))
    for prompt in (PROMPT, PROMPT, (*PROMPT, *tokens(8, 2)), (*PROMPT, *tokens(16, 3))):
        assert asked.reread(prompt) is None


def test_a_prompt_that_parts_from_what_is_known(loaded: Loaded) -> None:
    asked = Asked(loaded("llama"))
    asked.reread(PROMPT)
    other = (*PROMPT[: 2 * SIZE + 3], *tokens(4 * SIZE, 4))
    assert asked.reread(other) == Reread(len(PROMPT) + 3, 2 * SIZE + 3, 2 * SIZE + 3, "diverged")


def test_what_was_dropped(loaded: Loaded) -> None:
    asked = Asked(loaded("llama"))
    asked.reread(PROMPT)
    asked.engine._reuse.clear()
    assert asked.reread(PROMPT) == Reread(len(PROMPT) + 3, len(PROMPT) - 1, 0, "evicted")


@pytest.mark.parametrize("name", ["llama", "qwen3_next"])
def test_what_was_never_read_is_not_known(name: str, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has hung up in the middle of its prompt: nobody has dropped the rest. When that is dropped which was
    read, it is."""
    monkeypatch.setattr(Prefill, "_width", lambda prefill, budget: 40)  # whatever the clock says
    asked = Asked(loaded(name))
    for steps in range(4):
        prompt = tokens(15 * SIZE, 6 + steps)
        asked.cancelled(prompt, steps=steps)
        assert asked.reread(prompt) is None
    prompt = tokens(15 * SIZE, 20)
    asked.cancelled(prompt, steps=3)
    asked.engine._reuse.clear()
    reread = asked.reread(prompt)
    assert reread is not None and reread.reason == "evicted" and 40 <= reread.known < 200


def test_prompts_that_are_read_at_the_same_time(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has in common with a longer one that is still being read was not dropped: it was not read yet."""
    monkeypatch.setattr(Prefill, "_width", lambda prefill, budget: 8)  # whatever the clock says
    asked = Asked(loaded("llama"))
    prompts = [(*tokens(SIZE - 4, 7), *tokens(count * SIZE, 30 + count)) for count in (12, 2, 1)]
    said = asked.together(*prompts)
    assert "evicted" not in [one.reason for one in said if one is not None]


def test_where_a_recurrent_layer_cannot_go_on(loaded: Loaded) -> None:
    """Between its snapshots."""
    asked = Asked(loaded("qwen3_next"))
    asked.reread(PROMPT)
    other = (*PROMPT[: 3 * SIZE + 2], *tokens(4 * SIZE, 5))
    assert asked.reread(other) == Reread(len(PROMPT) + 3, 3 * SIZE + 2, 0, "boundary not kept")


def test_where_nothing_is_kept(loaded: Loaded) -> None:
    asked = Asked(loaded("llama"), prefixes=0)
    assert asked.reread(PROMPT) is None
    assert asked.reread(PROMPT) == Reread(len(PROMPT) + 3, len(PROMPT) - 1, 0, "off")


def test_other_options_of_the_template(loaded: Loaded) -> None:
    """Whatever a template is given beside the messages."""
    asked = Asked(loaded("llama"))
    template = "{{ messages[0].content }}{{ mood }}{{ messages[0].content }}"
    for number, mood in enumerate(("glad", "sad"), 1):
        said = ({"role": "user", "content": "these are words " * 4},)
        prompt = ChatPrompt(messages=said, template=template, template_options={"mood": mood})
        work = Generate(prompt=prompt, max_tokens=4, ignore_eos=True)
        run((asked.engine, asked.wire), iter([[Ask(id=number, work=work)]]))
    (started,) = [event for event in asked.wire.events[2] if isinstance(event, Started)]
    assert started.reread is not None and started.reread.reason == "other template options"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; of two that have as much in common the newest counts."""
    texts = KnownTexts()
    for number in range(100):
        texts.remember(number, Chain([number] * 40), 40, number % 2)
    assert texts.longest(Chain([3] * 40), 30, 0) == Beginning()
    assert texts.longest(Chain([99] * 40), 30, 1) == Beginning(30, 40, True)
    texts.remember(200, Chain([99] * 50), 50, 0)
    assert texts.longest(Chain([99] * 40), 30, 1) == Beginning(30, 50, False)
    texts.remember(99, Chain([99] * 60), 60, 1)
    assert texts.longest(Chain([99] * 40), 30, 1) == Beginning(30, 60, True)
