"""Idle time, pin and context of single models: when they load, beside what requests ask for, and after a reload."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from support.residency_harness import MB, VECTORS, A, B, Build, C, Clock, LeaseHolder, ResidencyHarness
from support.waiting import settle

from mlx_serve.daemon.errors import InsufficientMemory
from mlx_serve.daemon.residency.pressure import SECONDS
from mlx_serve.store.disk.manifests import Overrides
from mlx_serve.store.installed import Defaults


def say(harness: ResidencyHarness, **models: Any) -> None:
    """What the settings say of models, by the last part of their names."""
    harness.store.configure({}, {f"acme/{name}": defaults for name, defaults in models.items()})


async def test_a_model_has_an_idle_time_of_its_own(build: Build, clock: Clock) -> None:
    """In place of the one for all; a request's comes first, and stands until another request says otherwise."""
    harness = build()
    say(harness, a=Defaults(key=A, keep_alive=10))
    await harness.use_once(A)
    await harness.use_once(B)
    await clock.advance(11)
    assert harness.names == [B]
    await harness.use_once(A, keep_alive=100)
    await harness.use_once(A)
    await clock.advance(50)
    assert A in harness.names
    await clock.advance(51)
    assert A not in harness.names


async def test_a_pinned_model_stays(build: Build, clock: Clock) -> None:
    """Whatever time passes, whatever a request asks for, and whoever comes; `unload` still puts it out."""
    harness = build(cache={"max_llm_models": 2})
    say(harness, a=Defaults(key=A, pinned=True, keep_alive=5))
    await harness.use_once(A, keep_alive=0)
    await settle()
    assert harness.resident(A).pinned and harness.resident(A).expires_at is None
    for name in (B, C):
        await clock.advance(10**6)
        await harness.use_once(name)
    assert set(harness.names) == {A, C}
    harness.pressure = "critical"
    await clock.advance(SECONDS + 1)
    assert harness.names == [A]
    assert await harness.unload(A) and harness.names == []


async def test_who_has_no_room_beside_what_is_pinned_is_told(build: Build) -> None:
    """At once and by name, for places and for memory; not even a busy one is put out for it."""
    harness = build(cache={"max_llm_models": 1})
    say(harness, a=Defaults(key=A, pinned=True))
    holder = await LeaseHolder(harness, A).entered()
    with pytest.raises(
        InsufficientMemory, match=re.escape("no place beside what is pinned (acme/a): raise cache.max_llm")
    ):
        await harness.use_once(B)
    await holder.left()
    assert harness.names == [A]
    tight = build(models={"memory_limit": 300 * MB})
    say(tight, a=Defaults(key=A, pinned=True))
    for name in (A, B):
        tight.store.add(name, size=150 * MB)
        tight.fleet.outcomes[name] = 150 * MB
    say(tight, a=Defaults(key=A, pinned=True))
    await tight.use_once(A)
    with pytest.raises(InsufficientMemory, match=r"what is pinned \(acme/a\) takes .* MB: unload one of them"):
        await tight.use_once(B)
    assert tight.names == [A]


async def test_a_pin_that_comes_while_somebody_waits_ends_the_waiting(build: Build) -> None:
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    newcomer = LeaseHolder(harness, B)
    await settle()
    say(harness, a=Defaults(key=A, pinned=True))
    await harness.residency.renew()
    with pytest.raises(InsufficientMemory, match="pinned"):
        await newcomer.task
    await holder.left()


async def test_a_reload_reaches_models_in_memory(build: Build, clock: Clock) -> None:
    """Idle times count from the last use on, pins come and go, also the idle time of all models."""
    harness = build()
    await harness.use_once(A)
    await harness.use_once(B)
    say(harness, a=Defaults(key=A, pinned=True), b=Defaults(key=B, keep_alive=20))
    assert await harness.residency.renew() == []
    assert harness.resident(A).expires_at is None
    expires = harness.resident(B).expires_at
    assert expires is not None and abs(expires - harness.resident(B).last_used - 20) < 0.1
    say(harness)
    settings = harness.residency._settings
    harness.residency.configure(replace(settings, cache=replace(settings.cache, ttl_seconds=40)))
    await harness.residency.renew()
    assert not harness.resident(A).pinned
    await clock.advance(30)
    assert set(harness.names) == {A, B}
    await clock.advance(11)
    assert harness.names == []


def limited(key: str, length: int) -> Defaults:
    return Defaults(key=key, overrides=Overrides(parameters={"num_ctx": length}), context_length=length)


@pytest.mark.parametrize(("of_all", "own", "loaded"), [(None, 512, None), (1024, 512, 1024), (1024, 2048, 2048)])
async def test_a_longer_context_is_loaded_and_a_shorter_one_kept_to(
    build: Build, of_all: int | None, own: int, loaded: int | None
) -> None:
    """Names with different settings share a process, so it takes the longest; what one name gets is in its listing.
    A reload tells which models would be loaded otherwise now."""
    harness = build(engine={"context_length": of_all})
    await harness.use_once(A)
    say(harness, a=limited(A, own))
    outdated = [model.name.display() for model in await harness.residency.renew()]
    assert outdated == ([A] if loaded != of_all else [])
    await harness.unload(A)
    runner = await harness.use_once(A)
    assert runner.request is not None and runner.request.context_length == loaded
    assert harness.resident(A).context_length == own
    assert await harness.residency.renew() == []


async def test_what_embeds_is_loaded_with_just_the_context_that_is_set(build: Build) -> None:
    """No request of it says one, so that a shorter one holds from the next load on too."""
    harness = build(engine={"context_length": 1024})
    await harness.use_once(VECTORS)
    harness.store.configure({}, {VECTORS: limited(VECTORS, 512)})
    assert [model.name.display() for model in await harness.residency.renew()] == [VECTORS]
    await harness.unload(VECTORS)
    runner = await harness.use_once(VECTORS)
    assert runner.request is not None and runner.request.context_length == 512
