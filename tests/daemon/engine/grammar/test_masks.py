"""Masks as the sampler takes them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.grammar.masks import allowed, unpacked_by_device, unpacked_by_host


class Only:
    """Lets one token through."""

    def __init__(self, token: int) -> None:
        self.token = token

    def fill(self, words: np.ndarray) -> None:
        words[:] = 0
        words.view(np.uint32)[0, self.token // 32] = np.uint32(1) << np.uint32(self.token % 32)


@pytest.mark.parametrize("vocabulary", [1, 31, 32, 33, 1000])
def test_words_are_unpacked_alike_everywhere(vocabulary: int) -> None:
    """The sign bit is the 32nd token's, and what a last word has beyond the vocabulary is cut off."""
    words = np.random.default_rng(vocabulary).integers(-(2**31), 2**31, (3, (vocabulary + 31) // 32), dtype=np.int32)
    words[0] = -1
    expected = np.array([[word >> bit & 1 for word in row for bit in range(32)] for row in words.tolist()], dtype=bool)
    for unpacked in (unpacked_by_host, unpacked_by_device):
        found = unpacked(words, vocabulary)
        assert found.dtype == mx.bool_ and np.array_equal(np.array(found), expected[:, :vocabulary])


def test_rows_without_a_grammar_may_draw_anything() -> None:
    assert allowed([None, None], 70) is None
    mask = allowed([None, Only(31), Only(69)], 70)
    assert mask is not None and mask.shape == (3, 70)
    assert mask.sum(axis=-1).tolist() == [70, 1, 1]
    assert mx.argmax(mask[1:], axis=-1).tolist() == [31, 69]
