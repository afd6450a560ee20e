"""What cannot fit a context by its bytes alone, and what must never be refused for them."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.prompt.text.size import BYTES_PER_TOKEN, SLACK, fits, most_bytes, size

CONTEXT = 1000


def test_the_limit_is_in_bytes_of_all_texts_together() -> None:
    most = most_bytes(CONTEXT)
    assert most == BYTES_PER_TOKEN * CONTEXT + SLACK
    assert fits(["a" * most], CONTEXT)
    assert not fits(["a" * (most + 1)], CONTEXT)
    assert not fits(["a" * most, "b"], CONTEXT)
    assert size("é日") == 5
    assert not fits(["日" * (most // 3 + 1)], CONTEXT)


@pytest.mark.parametrize("run", [" " * 64, "\n" * 31, "-" * 80, "=" * 64, "\t" * 40])
def test_runs_that_are_one_token_count_little(run: str) -> None:
    """Each is one token, or two, in vocabularies that are in use; as much text of letters cannot fit."""
    text = (run + "x") * (3 * most_bytes(CONTEXT) // (2 * len(run) + 2))
    assert fits([text], CONTEXT)
    assert not fits(["ab" * (len(text) // 2)], CONTEXT)


def test_runs_pass_no_more_than_three_times_the_limit() -> None:
    assert fits([" " * 3 * most_bytes(CONTEXT)], CONTEXT)
    assert not fits([" " * (3 * most_bytes(CONTEXT) + 1)], CONTEXT)
