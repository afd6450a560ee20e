"""Conversations over whole turns in files, with processes that come and go, little room and damage: the same texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk_engine import PLENTY, Process, tokens
from support.extent import LONG
from support.small_blocks import blocks_of
from support.uncut_models import CONFIGS, uncut

from mlx_serve.daemon.engine.model.load import LanguageModel

STEPS = 25


class Conversations:
    """Prompts that go on from texts that there were, in the middle and at their ends."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._texts = [self._new(chance.randrange(1, 70))]

    def _new(self, count: int) -> tuple[int, ...]:
        return tokens(count, self._chance.randrange(1 << 30))

    def prompts(self) -> Iterator[tuple[int, ...]]:
        for _ in range(self._chance.choice([1, 1, 2, 3])):
            text = self._chance.choice(self._texts)
            if self._chance.random() < 0.3:
                text = text[: self._chance.randrange(1, len(text) + 1)]
            yield (*text, *self._new(self._chance.choice([1, 7, 8, 9, 30])))

    def add(self, text: tuple[int, ...]) -> None:
        self._texts.append(text)


def harm(path: Path, others: list[Path], chance: random.Random) -> None:
    """A bit flipped, cut short, another one's content, or gone."""
    content, kind = bytearray(path.read_bytes()), chance.randrange(4)
    if kind == 0:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[chance.randrange(len(content)) :]
    elif kind == 2:
        content[:] = chance.choice(others).read_bytes()
    path.unlink()
    if kind < 3:
        path.write_bytes(content)


@pytest.mark.parametrize("seed", range(14 if LONG else 1))
def test_texts_are_those_of_an_engine_that_keeps_nothing(
    seed: int, llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(8, monkeypatch, least=16)
    chance = random.Random(seed)
    model = uncut(list(CONFIGS)[seed % len(CONFIGS)], llama)
    plain, conversations = Process(model, None), Conversations(chance)
    live: list[Process] = []
    from_files = 0
    for step in range(STEPS):
        while not live or (len(live) < 2 and chance.random() < 0.2):
            given = {
                "tokens_per_step": chance.choice([3, 24, 100]),
                "budget": chance.choice([PLENTY, 3_000_000, 1_500_000]),
                "prefixes": chance.choice([PLENTY, 2_000_000, 1_000_000]),
            }
            live.append(Process(model, tmp_path / "files", pipelined=chance.random() < 0.4, **given))
        process, prompts = chance.choice(live), list(conversations.prompts())
        count = chance.choice([1, 5, 8, 12])
        answers, _ = process.answer(*prompts, count=count)
        for prompt, answer in zip(prompts, answers, strict=True):
            assert answer == plain.answer(prompt, count=count)[0][0], step
            conversations.add((*prompt, *answer))
        from_files += process.engine.gauges().prefix_disk_tokens
        assert process.engine.audit() is None
        if chance.random() < 0.3:
            live.remove(process)
            process.end()
        if not live:
            files = [one for one in sorted((tmp_path / "files").glob("*/*.end")) if one.stat().st_size]
            for path in files if chance.random() < 0.5 else ():
                if chance.random() < 0.3:
                    harm(path, [one for one in files if one.exists()], chance)
    for process in live:
        process.end()
    assert from_files > 0
