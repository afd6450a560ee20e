"""How much prefill a device takes beside decoding before the others feel it: step times in, a factor out."""

from __future__ import annotations

import random

import pytest

from mlx_serve.daemon.engine.generate.prefilling.pace import (
    AIM,
    BRIEF_STEPS,
    FEWEST_TOKENS,
    GROUP_SECONDS,
    IDLE_FACTOR,
    LONGEST_SECONDS,
    LONGEST_STRETCH,
    PIECE_SECONDS,
    REMEMBERED,
    SHORT_STEPS,
    STALL_SECONDS,
    TRIAL_WAIT,
    Allowance,
    Freshest,
    Pace,
    Share,
    Timings,
    chunk_seconds,
)

PLAIN = 0.010


def paced(*steps: tuple[float, int], budget: int = 100) -> int:
    """The stretch after these steps: seconds beyond a plain decode step, and tokens of prefill beside it."""
    pace = Pace(budget, 2500, 99)
    pace.note_step(PLAIN, decoding=1, share=Share(0, budget))
    for extra, prefilled in steps:
        pace.note_step(PLAIN + extra, decoding=1, share=Share(prefilled, budget))
    return pace.stretch


def test_a_fast_device_gets_more() -> None:
    """Twice as much for each full chunk that hardly shows, up to a limit."""
    assert paced() == 1
    assert paced((0.001, 100)) == 2
    assert paced(*[(0.001, 100)] * 3) == 8
    assert paced(*[(0.001, 100)] * 30) == LONGEST_STRETCH


def test_a_slow_device_gets_what_is_configured() -> None:
    assert paced(*[(10 * STALL_SECONDS, 100)] * 5) == 1


def test_stalls_take_it_back() -> None:
    """Half after two in a row, for one may be a kernel that was compiled."""
    stall = (2 * STALL_SECONDS, 100)
    assert paced(*[(0.001, 100)] * 3, stall) == 8
    assert paced(*[(0.001, 100)] * 3, stall, stall) == 4
    assert paced(*[(0.001, 100)] * 3, *[stall] * 6) == 1


def test_more_is_tried_where_a_stall_is_near() -> None:
    """What a launch costs does not grow with its tokens; where it does, the next trial is far off."""
    near, stall = (0.75 * STALL_SECONDS, 100), (1.5 * STALL_SECONDS, 100)
    assert paced(near) == 2
    assert paced(near, near, near) == 8
    assert paced(near, stall, stall) == 1
    assert paced(near, stall, stall, *[near] * (TRIAL_WAIT - 1)) == 1
    assert paced(near, stall, stall, *[near] * TRIAL_WAIT) == 2
    assert paced(near, stall, stall, (0.001, 100)) == 2


def test_a_small_chunk_proves_nothing() -> None:
    """The end of a prompt is quick on any device."""
    assert paced((0.001, 10)) == 1


def test_nothing_is_known_before_a_plain_step() -> None:
    pace = Pace(100, 2500, 99)
    pace.note_step(0.001, decoding=1, share=Share(100, 100))
    assert pace.stretch == 1


def test_more_is_taken_in_when_nobody_decodes() -> None:
    pace = Pace(64, 2500, 99)
    assert pace.budget(1) == pace.budget(30) == 64
    assert pace.budget(0) == 64 * IDLE_FACTOR and pace.budget(0, several=True) == 2 * 64 * IDLE_FACTOR
    assert pace.budget(1, several=True) == 64
    pace.stretch = 16
    assert (pace.budget(3), pace.budget(0)) == (1024, 1024)


def test_those_who_decode_keep_half_of_their_pace() -> None:
    """Whatever a piece takes, and however that scatters: in the end they had as many seconds as the pieces."""
    pace, source = Pace(64, 2500, 99), random.Random(1)
    pace.note_step(PLAIN, decoding=3, share=Share(0, 64))
    theirs = beside = 0.0
    for _ in range(400):
        pieces = not pace.owed
        extra = source.choice((0.1, 0.7, 1.0, 7.0)) * pace.piece(decoding=True) if pieces else 0.0
        pace.note_step(PLAIN + extra, decoding=3, share=Share(0, 64, longer=pieces))
        theirs, beside = theirs + PLAIN, beside + extra
    assert 0.85 * theirs < beside <= theirs + 9 * PLAIN
    for _ in range(9):
        pace.note_step(PLAIN, decoding=3, share=Share(0, 64))
    assert not pace.owed and pace.piece(decoding=True) == PLAIN


def test_a_piece_takes_as_long_as_a_step() -> None:
    """Where nobody decodes, or nobody has yet, it takes a fixed time; never more than a chunk may."""
    pace = Pace(64, 2500, 99)
    assert pace.piece(decoding=False) == pace.piece(decoding=True) == PIECE_SECONDS
    pace.note_step(0.1, decoding=3, share=Share(0, 64))
    assert (pace.piece(decoding=True), pace.piece(decoding=False)) == (0.1, PIECE_SECONDS)
    assert pace.piece(decoding=True, short=True) == min(SHORT_STEPS * 0.1, LONGEST_SECONDS * AIM)
    pace.note_step(60.0, decoding=3, share=Share(0, 64))
    assert pace.piece(decoding=True) == pace.piece(decoding=True, short=True) == LONGEST_SECONDS * AIM


def test_what_is_brief_is_read_at_once() -> None:
    """Of several prompts more than of one: those who decode lose as much time in pieces."""
    pace = Pace(64, 2500, 99)
    assert (pace.brief(decoding=False), pace.brief(decoding=True)) == (PIECE_SECONDS, PIECE_SECONDS)
    assert pace.brief(decoding=False, several=True) == pace.brief(decoding=True, several=True) == GROUP_SECONDS
    pace.note_step(0.1, decoding=3, share=Share(0, 64))
    assert pace.brief(decoding=True) == pace.brief(decoding=True, several=True) == BRIEF_STEPS * 0.1


def test_short_prompts_are_read_together_as_far_as_they_are_read_at_once() -> None:
    """On a GPU that takes as long for many as for few; a slow chunk, or one of many more tokens than a step may have,
    is no reason; nor does one long prompt get more for it."""
    pace = Pace(512, 250_000, 99)
    pace.note_step(0.005, decoding=3, share=Share(0, 512))
    assert pace.budget(3, several=True) == pace.budget(3) == 512
    for tokens, seconds in ((400, 0.02), (3000, 0.9), (3000, 0.08), (7000, GROUP_SECONDS * 1.01)):
        pace.timings.note(tokens, seconds)
    assert (pace.budget(3, several=True), pace.budget(3)) == (3000 * GROUP_SECONDS / 0.08, 512)
    assert pace.budget(0, several=True) == 4096
    pace.timings.note(60_000, 0.02)
    assert pace.budget(3, several=True) == pace.whole


def test_where_devices_compute_in_the_time_of_launches_only_brief_groups_are_read() -> None:
    """One after the other they cost no more there, and the first ones wait less: whatever a step may have."""
    pace = Pace(512, 10_000, 99, blocking=True)
    assert pace.budget(0) == 4 * 512
    assert pace.budget(0, several=True) == pace.budget(3, several=True) == int(pace.rate * PIECE_SECONDS)
    pace.timings.note(400, PIECE_SECONDS)
    assert pace.budget(3, several=True) == 400
    pace.timings.note(4000, PIECE_SECONDS)
    assert pace.budget(3, several=True) == 512
    assert pace.brief(decoding=True, several=True) == PIECE_SECONDS


def test_nobody_is_owed_anything_once_nobody_decodes() -> None:
    pace = Pace(64, 2500, 99)
    pace.note_step(PLAIN, decoding=1, share=Share(0, 64))
    pace.note_step(1.0, decoding=1, share=Share(0, 64, longer=True))
    assert pace.owed
    pace.note_step(0.01, decoding=0, share=Share(0, 64, longer=True))
    assert not pace.owed


def test_a_kernel_that_is_compiled_is_not_repaid() -> None:
    """A piece that takes a hundred times as long as it was meant to: the next one comes some steps later."""
    pace = Pace(64, 2500, 99)
    pace.note_step(PLAIN, decoding=1, share=Share(0, 64))
    pace.note_step(100 * PLAIN, decoding=1, share=Share(0, 64, longer=True))
    for _ in range(8):
        pace.note_step(PLAIN, decoding=1, share=Share(0, 64))
    assert not pace.owed


def test_a_chunk_takes_what_larger_ones_took() -> None:
    """On a device that waits for its launches; the best of the last ones, for some had kernels to compile."""
    timings = Timings()
    assert timings.seconds(1) == float("inf")
    timings.note(2000, 0.9)
    timings.note(2000, 0.02)
    assert timings.seconds(1) == timings.seconds(1999) == 0.02 and timings.seconds(5000) == float("inf")
    for _ in range(REMEMBERED):
        timings.note(2000, 0.03)
    timings.note(100, 0.01)
    assert timings.seconds(64) == 0.01


def test_a_chunk_somewhat_larger_than_those_that_were_seen_is_judged_by_them() -> None:
    """In proportion, and no further than twice as large: so groups grow where no larger chunk was ever seen."""
    timings = Timings()
    assert timings.within(1.0) == 0
    timings.note(1000, 0.04)
    assert (timings.seconds(1500), timings.seconds(2000), timings.seconds(2001)) == (0.06, 0.08, float("inf"))
    assert [timings.within(limit) for limit in (0.03, 0.04, 0.06, 0.5)] == [0, 1000, 1500, 2000]
    timings.note(1900, 0.05)  # which costs less a token
    assert timings.seconds(1500) == 0.05 and timings.within(0.06) == 2280


def test_a_chunk_fits_into_the_longest_step() -> None:
    """On any device, after a chunk or two: whatever a token costs, the next chunk takes no longer than allowed."""
    for cost in (1e-6, 1e-4, 1e-3, 0.02, 0.1):
        allowance = Allowance(64)
        for _ in range(12):
            allowance.note(allowance.tokens, allowance.tokens * cost)
        assert allowance.tokens * cost <= LONGEST_SECONDS or allowance.tokens == FEWEST_TOKENS


@pytest.mark.parametrize("layers", [1, 4, 8, 30, 100])
def test_a_layer_of_a_chunk_fits_into_a_piece(layers: int) -> None:
    """Of which it is the least that can be: a model of few layers has shorter chunks, from the first one on."""
    longest = chunk_seconds(layers)
    assert longest <= LONGEST_SECONDS and longest / layers <= PIECE_SECONDS
    pace = Pace(64, 2000.0, layers)
    assert pace.fresh.tokens == int(2000 * longest) and abs(pace.rate - 2000) < 100
    allowance, cost = Allowance(pace.fresh.tokens, longest), 1 / 1000  # it takes twice as long as was thought
    for _ in range(3):
        allowance.note(allowance.tokens, allowance.tokens * cost)
        pace.fresh.note(pace.fresh.tokens, pace.fresh.tokens * cost)
    assert allowance.tokens * cost <= longest * 1.001
    assert allowance.seconds(allowance.tokens) == longest


def test_an_allowance_follows_the_cost_of_later_tokens() -> None:
    """Attention makes each token dearer than the one before; the time of a chunk stays below the longest."""
    allowance, done = Allowance(64), 0
    for _ in range(200):
        tokens = allowance.tokens
        seconds = tokens * (1e-3 + 1e-6 * (done + tokens))
        done += tokens
        allowance.note(tokens, seconds)
        assert seconds <= LONGEST_SECONDS


def test_a_small_chunk_raises_no_allowance() -> None:
    """The end of a prompt costs little more than nothing, which says nothing of a full chunk."""
    allowance = Allowance(100)
    allowance.note(10, 1e-4)
    assert allowance.tokens == 100
    allowance.note(10, 1.0)
    assert allowance.tokens == 50


def test_one_slow_chunk_is_not_believed() -> None:
    """A shape that a GPU has not met takes seconds once: half is the least that follows, and it grows again."""
    allowance = Allowance(2048)
    allowance.note(2048, 3.0)
    assert allowance.tokens == 1024
    allowance.note(1024, 0.01)
    assert allowance.tokens == 4096


def test_a_newcomer_gets_the_best_of_the_last_first_chunks() -> None:
    fresh = Freshest(1000)
    fresh.note(1000, 4.0)
    assert fresh.tokens == 1000
    for _ in range(REMEMBERED):
        fresh.note(1000, 4.0)
    assert fresh.tokens == 100
    fresh.note(100, 0.004)
    assert fresh.tokens == 400


def test_the_longest_step_is_remembered_and_fades() -> None:
    pace = Pace(64, 2500, 99)
    pace.note_step(3.0, decoding=0, share=Share(64, 64))
    assert pace.longest == 3.0
    for _ in range(50):
        pace.note_step(0.01, decoding=1, share=Share(0, 64))
    assert 0.01 <= pace.longest < 0.1


def test_a_decode_step_is_taken_off_a_chunks_time() -> None:
    """But never more than three quarters of it: the estimate may be off."""
    pace = Pace(64, 2500, 99)
    pace.note_step(0.1, decoding=1, share=Share(0, 64))
    assert pace.without_decoding(0.5, 1) == 0.4
    assert pace.without_decoding(0.5, 0) == 0.5
    assert pace.without_decoding(0.1, 2) == 0.025


def test_which_prompts_had_better_be_read_at_once() -> None:
    """By what chunks took: where launches take the time, and not where twice as many tokens take twice as long, or too
    long for those that are there."""
    pace = Pace(512, 1000.0, 8)
    assert not pace.together(100, 100), "nothing was seen"
    for tokens, seconds in ((100, 0.01), (250, 0.01), (500, 0.011), (1000, 0.014), (2000, 0.03), (4000, 0.06)):
        pace.timings.note(tokens, seconds)
    assert pace.together(60, 60) and pace.together(60, 900) and pace.together(250, 250) and pace.together(750, 250)
    assert not pace.together(1000, 1000) and not pace.together(2000, 2000) and not pace.together(50_000, 50_000)
    slow = Pace(512, 1000.0, 8)
    for tokens, seconds in ((100, 0.1), (250, 0.11)):
        slow.timings.note(tokens, seconds)
    assert slow.timings.seconds(200) < 2 * slow.timings.seconds(100) and not slow.together(100, 100)
