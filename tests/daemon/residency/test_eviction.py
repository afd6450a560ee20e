"""Which idle model makes room for a newcomer, and what waits when none is idle."""

from __future__ import annotations

import asyncio

import pytest
from support.residency_harness import MB, VECTORS, A, B, Build, C, LeaseHolder
from support.waiting import settle, soon, until

from mlx_serve.daemon.errors import InsufficientMemory, UnsupportedByModel
from mlx_serve.daemon.protocol import SERVED_KINDS
from mlx_serve.store.errors import UnsupportedModel


async def test_the_one_used_longest_ago_makes_room(build: Build) -> None:
    harness = build(cache={"max_llm_models": 2})
    for name in (A, B, A, C):
        await harness.use_once(name)
    assert set(harness.names) == {A, C}
    assert harness.fleet.of(B)[0].closed


async def test_each_kind_has_its_own_maximum(build: Build) -> None:
    harness = build(cache={"max_llm_models": 1, "max_embedding_models": 1})
    for name in (VECTORS, A, B):
        await harness.use_once(name)
    assert set(harness.names) == {VECTORS, B}


async def test_memory_makes_room_among_all_kinds(build: Build) -> None:
    harness = build(models={"memory_limit": 400 * MB})
    for name, size in ((VECTORS, 100 * MB), (A, 150 * MB)):
        harness.store.add(name, kind=harness.store.find(name).manifest.kind, size=size)
        harness.fleet.outcomes[name] = size
    await harness.use_once(VECTORS)
    await harness.use_once(A)
    await harness.use_once(B)
    assert set(harness.names) == {A, B}


async def test_a_busy_model_is_not_put_out(build: Build) -> None:
    """The newcomer waits; the moment the holder leaves, it comes in."""
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    newcomer = LeaseHolder(harness, B)
    await settle()
    assert harness.names == [A]
    assert not newcomer.inside.is_set()
    assert not harness.fleet.of(A)[0].closed
    await holder.left()
    await newcomer.entered()
    assert harness.fleet.of(A)[0].closed
    assert harness.names == [B]
    await newcomer.left()


async def test_who_waits_for_room_holds_nobody_else_up(build: Build) -> None:
    """A language model waits for a busy one; an embedding model, for which there is room, comes in meanwhile."""
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    newcomer = LeaseHolder(harness, B)
    await settle()
    await harness.use_once(VECTORS)
    assert not newcomer.inside.is_set()
    await holder.left()
    await (await newcomer.entered()).left()


async def test_room_is_not_given_twice(build: Build) -> None:
    """Two newcomers at once, room for one: the second waits until the first is idle."""
    harness = build(cache={"max_llm_models": 1})
    await harness.use_once(A)
    one, two = LeaseHolder(harness, B), LeaseHolder(harness, C)
    await until(lambda: one.inside.is_set() or two.inside.is_set())
    await settle()
    first, second = (one, two) if one.inside.is_set() else (two, one)
    assert not second.inside.is_set()
    assert len(harness.fleet.left) <= 2  # the model, and the spare
    await first.left()
    await (await second.entered()).left()


async def test_a_model_on_its_way_out_still_takes_its_room(build: Build) -> None:
    """Unloading while it is used: until its process is gone, its memory is not given away."""
    harness = build(cache={"max_llm_models": 1})
    holder = await LeaseHolder(harness, A).entered()
    unloading = asyncio.ensure_future(harness.unload(A))
    newcomer = LeaseHolder(harness, B)
    await settle()
    assert harness.fleet.loads == [A]
    await holder.left()
    assert await soon(unloading)
    await (await newcomer.entered()).left()


async def test_too_large_for_this_machine(build: Build) -> None:
    """At once, with the numbers, and without putting anybody out."""
    harness = build(models={"memory_limit": 500 * MB})
    harness.store.add("acme/huge", size=20 * 10**9)
    await harness.use_once(A)
    with pytest.raises(InsufficientMemory, match=r"'acme/huge' needs about 22\.0 GB, .* 524 MB may be used"):
        await harness.use_once("acme/huge")
    assert harness.names == [A]


async def test_a_kind_that_is_not_served_puts_nobody_out(build: Build) -> None:
    """Where every byte is taken: an error at once, and the model in memory stays."""
    harness = build(served=SERVED_KINDS - {"vlm"}, models={"memory_limit": 200 * MB})
    harness.store.add("acme/sees", kind="vlm", size=120 * MB)
    harness.store.add(A, size=120 * MB)
    await harness.use_once(A)
    with pytest.raises(UnsupportedByModel, match="does not serve models of type vlm"):
        await harness.use_once("acme/sees")
    await settle()
    assert harness.names == [A] and not harness.fleet.of(A)[0].closed
    assert harness.fleet.loads == [A]


async def test_an_architecture_that_is_not_there_puts_nobody_out(build: Build) -> None:
    """As when mlx-lm is older than the store."""
    harness = build(cache={"max_llm_models": 1})
    harness.store.add("acme/later", architecture="qwen99")
    await harness.use_once(A)
    with pytest.raises(UnsupportedModel, match="'qwen99' is not supported"):
        await harness.use_once("acme/later")
    await settle()
    assert harness.names == [A] and harness.fleet.loads == [A]


async def test_the_device_says_how_much_there_is(build: Build) -> None:
    """Where no limit is configured, the first child's Hello is it."""
    harness = build()
    harness.store.add("acme/huge", size=2 * harness.fleet.memory)
    with pytest.raises(InsufficientMemory, match=r"1\.1 GB may be used"):
        await harness.use_once("acme/huge")
