"""Blocks by their names: what is found, what goes first, and what never goes while something follows it."""

from __future__ import annotations

import random

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache

from mlx_serve.daemon.engine.prefix import block, match, prefix_cache
from mlx_serve.daemon.engine.prefix import chain as chains
from mlx_serve.daemon.engine.prefix.chain import Chain, packed
from mlx_serve.daemon.engine.prefix.layers import Parts, arrays
from mlx_serve.daemon.engine.prefix.match import Match
from mlx_serve.daemon.engine.prefix.prefix_cache import PrefixCache
from mlx_serve.daemon.engine.shares import Buffers

SIZE = 4


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "BLOCK", SIZE)
    monkeypatch.setattr(prefix_cache, "BLOCK", SIZE)
    monkeypatch.setattr(match, "BLOCK", SIZE)


def columns(tokens: list[int]) -> Parts:
    """Keys that are the tokens, values that are their negatives: what comes out is seen to be what went in."""
    keys = mx.array(tokens, dtype=mx.float32)[None, None, :, None]
    return ((keys, -keys),)


def fill(kept: PrefixCache, tokens: list[int], known: Chain | None = None) -> Chain:
    """Keep all of these, in blocks and an end."""
    chain = known or Chain(tokens)
    for start in range(0, len(tokens), SIZE):
        part = tokens[start : start + SIZE]
        kept.add(chain, start, start + len(part), columns(part))
    return chain


def kept_tokens(kept: PrefixCache, tokens: list[int]) -> list[int]:
    """The tokens of the longest beginning that is found, as its columns say."""
    match = kept.find(Chain(tokens), len(tokens))
    found = [int(one) for parts in match.parts() for part in parts if part is not None for one in part[0].flatten()]
    assert len(found) == match.length
    return found


def test_names_tell_beginnings_apart() -> None:
    """Blocks of equal tokens after different ones have different names, and names do not change as tokens are added."""
    one, other = Chain([1, 2, 3, 4, 9, 9, 9, 9]), Chain([5, 6, 7, 8, 9, 9, 9, 9])
    assert one.names(8)[1] != other.names(8)[1] and len({*one.names(8), *other.names(8)}) == 4
    grown = Chain([1, 2, 3, 4])
    first = grown.names(4)
    grown.tokens.extend([9, 9, 9, 9, 9])
    assert grown.names(9) == one.names(8) and grown.names(4) == first


def test_the_same_beginning_of_different_blocks() -> None:
    """Where each of several goes on from another sibling, what they have of it is the same; not behind other blocks,
    nor where it differs."""
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    for tokens in ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 8], [9, 9, 9, 9, 5, 6, 7]):
        fill(kept, tokens)

    def found(*tokens: int) -> Match:
        return kept.find(Chain(list(tokens)), len(tokens)).cut(6)

    one, other = found(1, 2, 3, 4, 5, 6, 7, 0), found(1, 2, 3, 4, 5, 6, 8, 0)
    assert one.blocks[-1] is not other.blocks[-1]
    assert one.same(other) and one.same(one) and Match().same(Match())
    assert not one.same(found(9, 9, 9, 9, 5, 6, 7, 0)) and not one.same(one.cut(5)) and not one.same(Match())
    whole = [kept.find(Chain([1, 2, 3, 4, 5, 6, last]), 7) for last in (7, 8)]
    assert [match.length for match in whole] == [7, 7] and not whole[0].same(whole[1])


def test_the_longest_common_beginning_is_found() -> None:
    """To the token, in the middle of a block and in the end of what was kept."""
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    fill(kept, list(range(1, 15)))
    assert kept_tokens(kept, list(range(1, 20))) == list(range(1, 15))
    assert kept_tokens(kept, [*range(1, 7), 99, 98]) == list(range(1, 7))
    assert kept_tokens(kept, [1, 99]) == [1]
    assert kept_tokens(kept, [99, 1, 2, 3]) == []
    assert kept_tokens(kept, []) == []


def test_an_end_that_went_on_is_not_kept_twice() -> None:
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    tokens = list(range(6))
    chain = fill(kept, tokens)
    tokens += [6, 7, 8]
    kept.add(chain, 4, 8, columns(tokens[4:8]))
    assert len(kept) == 2 and kept_tokens(kept, tokens) == list(range(8))


def test_the_least_recently_used_leaf_goes_first() -> None:
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    one, other = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 50, 60, 70, 80]
    fill(kept, one)
    fill(kept, other)
    kept.touch(kept.find(Chain(one), 8))
    size = kept.nbytes
    kept.shrink(size - 1)
    assert kept_tokens(kept, one) == one and kept_tokens(kept, other) == [1, 2, 3, 4]
    kept.clear()
    assert kept.nbytes == len(kept) == 0 and kept.evictions == 3
    assert kept_tokens(kept, one) == []


def test_memory_that_neighbours_share_counts_until_it_is_let_go() -> None:
    """Beginnings that are used again and again, of prompts of which the rest has gone: what they hold is within the
    limit, and no more than twice what is needed. What is found is what was kept."""
    width, many = 64, 8 * SIZE
    kept = PrefixCache(40 * SIZE * width * 8 + (1 << 17), needs_snapshots=False)

    def wide(tokens: list[int]) -> Parts:
        keys = mx.broadcast_to(mx.array(tokens, dtype=mx.float32)[None, None, :, None], (1, 1, len(tokens), width))
        return ((mx.contiguous(keys), mx.contiguous(-keys)),)

    def held() -> int:
        runs = {id(block.run): block.run for block in kept._blocks.values()}
        return sum(array.nbytes for run in runs.values() for array in arrays(run))

    for turn in range(4):
        for place in range(16):
            for other in range(16):
                kept.touch(kept.find(Chain([other] * SIZE), SIZE))
            tokens = [place] * SIZE + [100 + turn * 16 + place] * (many - SIZE)
            chain = Chain(tokens)
            start = kept.depth(chain, many) * SIZE
            kept.add_run(chain, start, many, wide(tokens[start:]))
            assert held() <= kept.nbytes <= kept.limit
            match = kept.find(chain, many)
            found = [int(one) for parts in match.parts() for part in parts if part for one in part[0][0, 0, :, 0]]
            assert found == tokens[: match.length]
    live = sum(len(block) for block in kept._blocks.values()) * width * 8
    assert live > kept.limit // 3 and held() <= 2 * live
    kept.clear()
    assert kept.nbytes == 0 and not kept._live


def test_neighbours_that_share_memory_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying what is about to go would hold everybody up. Where the first ones were used since, as the beginning
    of another text, those stay, in memory of their own."""
    copied: list[int] = []
    real = prefix_cache._copied
    monkeypatch.setattr(prefix_cache, "_copied", lambda *given: copied.append(given[2] - given[1]) or real(*given))
    one, two = list(range(100, 100 + 8 * SIZE)), list(range(200, 200 + 8 * SIZE))
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    for tokens in (one, two):
        assert len(kept.add_run(Chain(tokens), 0, 8 * SIZE, columns(tokens))) == 8
    kept.shrink(kept.nbytes - 1)
    assert kept.evictions == len(kept) == 8 and not copied
    assert kept_tokens(kept, one) == [] and kept_tokens(kept, two) == two
    kept.add_run(Chain(one), 0, 8 * SIZE, columns(one))
    kept.touch(kept.find(Chain(two[: 2 * SIZE]), 2 * SIZE))
    kept.shrink(kept.nbytes - 1)
    assert kept_tokens(kept, two) == two[: 2 * SIZE] and copied == [2 * SIZE]
    assert kept_tokens(kept, one) == one


def test_what_follows_something_that_is_gone_is_not_kept() -> None:
    kept = PrefixCache(1 << 20, needs_snapshots=False)
    chain = fill(kept, [1, 2, 3, 4])
    kept.clear()
    chain.tokens.extend([5, 6, 7, 8])
    assert kept.add(chain, 4, 8, columns([5, 6, 7, 8])) is None and kept.nbytes == 0


def test_with_snapshots_a_sequence_goes_on_from_one() -> None:
    """Of those the last one that all tokens before it agree with, at a block's end or at a sequence's."""
    kept = PrefixCache(1 << 20, needs_snapshots=True)
    tokens = list(range(10))
    chain = fill(kept, tokens[:8])
    assert kept.find(Chain(tokens), 10).length == 0 and kept.common(chain, 8) == 8
    state = ArraysCache(1)
    state[0] = mx.array([[4.0]])
    kept.attach(chain, 4, (state,))
    assert kept.find(Chain(tokens), 10).length == 4
    longer = Chain(tokens)
    kept.add(longer, 8, 10, columns(tokens[8:]), (state,))
    assert kept.find(Chain([*tokens, 77]), 11).length == 10
    assert kept.find(Chain([*tokens[:9], 77]), 10).length == 4


def test_at_random() -> None:
    """Against a list of all that was ever kept: what is found is always true, every block's parent is there, and the
    bytes are the sum of the blocks'."""
    chance = random.Random(3)
    kept = PrefixCache(60_000, needs_snapshots=False)
    known: list[list[int]] = [[]]
    for _ in range(600):
        beginning = chance.choice(known)
        tokens = [*beginning[: chance.randint(0, len(beginning))], *(chance.randrange(5) for _ in range(6))][:40]
        found = kept_tokens(kept, tokens)
        assert found == tokens[: len(found)]
        kept.touch(kept.find(Chain(tokens), len(tokens)))
        fill(kept, tokens)
        known = [*known[-20:], tokens]
        if chance.random() < 0.05:
            kept.shrink(kept.nbytes // 2)
        assert kept.nbytes == sum(one.nbytes for one in kept._blocks.values()) <= 60_000
        assert all(not block.parent or block.parent in kept._blocks for block in kept._blocks.values())
        assert sum(map(len, kept._children.values())) == len(kept)


def test_as_many_buffers_as_the_device_has_for_it() -> None:
    """Metal counts buffers, and short texts take few bytes in many: the least recently used go, as for bytes. Blocks
    that share their memory count once, snapshots count too."""
    kept = PrefixCache(1 << 30, needs_snapshots=False, buffers=Buffers(most=12))
    for number in range(20):
        fill(kept, [number, 1, 2, 3])
        assert kept.size.buffers == sum(2 for _ in kept._blocks) <= 12
    assert len(kept) == 6 and kept.evictions == 14
    assert kept_tokens(kept, [13, 1, 2, 3]) == [] and kept_tokens(kept, [14, 1, 2, 3]) == [14, 1, 2, 3]
    together = list(range(100, 100 + 3 * SIZE))
    kept.add_run(Chain(together), 0, len(together), columns(together))
    assert kept.size.buffers == 12 and kept_tokens(kept, together) == together
    state = ArraysCache(1)
    state.cache = [mx.zeros((1, 2))]
    kept.attach(Chain(together), len(together), (state,))
    assert kept.size.buffers == 11 and kept_tokens(kept, together) == together
    kept.clear()
    assert kept.size.buffers == kept.nbytes == 0


def test_whole_pages_count_where_memory_comes_in_them() -> None:
    """On a GPU a short prompt takes several times its bytes: what is kept within a share has to fit into it."""
    kept = PrefixCache(10 * 2 * 16_384, needs_snapshots=False, buffers=Buffers(page=16_384))
    for number in range(20):
        fill(kept, [number, 1, 2, 3])
        assert kept.nbytes <= kept.limit
        assert kept.nbytes == len(kept) * (2 * 16_384 + 4 * SIZE + block._OWN)
    assert len(kept) == 9
    kept.clear()
    assert kept.nbytes == 0


def test_looking_up_a_hundred_thousand_tokens_touches_each_once() -> None:
    """Names are made in one pass, and looked for by halving: no token is compared that a name stands for."""
    tokens = list(range(100_000))
    chain = Chain(tokens)
    assert len(chain.names(len(tokens))) == 25_000
    kept = PrefixCache(1 << 30, needs_snapshots=False)
    asked: list[bytes] = []

    class Counting(dict[bytes, object]):
        def __contains__(self, name: object) -> bool:
            asked.append(name)  # type: ignore[arg-type]
            return super().__contains__(name)

    kept._blocks = Counting()  # type: ignore[assignment]
    assert kept.depth(chain, len(tokens)) == 0 and len(asked) <= 16
    assert packed([1, 2]) == b"\1\0\0\0\2\0\0\0"


@pytest.mark.parametrize("known", [0, 7, 8, 30, 41])
def test_tokens_that_came_packed_are_not_packed_again(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And have the same names, those that follow them too."""
    tokens = list(range(41))
    plain, chain = Chain(list(tokens)), Chain(tokens, packed(tokens[:known]))
    made: list[int] = []

    def noted(some: list[int]) -> bytes:
        made.extend(some)
        return packed(some)

    monkeypatch.setattr(chains, "packed", noted)
    names = chain.names(40)
    assert made == list(range(known // 4 * 4, 40))
    assert plain.names(40) == names
    tokens.extend((7, 8, 9))
    assert chain.followed_by(5).names(44) == Chain([*tokens, 5]).names(44)
    assert chain.packed(3, 44) == packed(tokens[3:44]) and chain.packed(2, 6) == packed([2, 3, 4, 5])
