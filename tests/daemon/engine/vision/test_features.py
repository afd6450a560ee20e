"""What is kept of pictures that were seen: the last used ones, within a bound, and always those in use."""

from __future__ import annotations

from dataclasses import dataclass

from mlx_serve.daemon.engine.vision.features import Features
from mlx_serve.daemon.engine.vision.view import Glance


@dataclass
class Sized:
    nbytes: int


def kept(features: Features, *keys: str) -> list[str]:
    return [key for key in keys if key in features._kept]


def test_the_last_used_ones_stay() -> None:
    features = Features(30)
    for key in "abc":
        features.put(key, Sized(10))
    assert features.get("a") is not None
    features.put("d", Sized(10))
    assert kept(features, *"abcd") == ["a", "c", "d"] and features.nbytes == 30


def test_what_is_in_use_is_never_dropped() -> None:
    """Not for newcomers, not when all is cleared; twice in use is in use until both are done."""
    features = Features(10)
    features.pin("a")
    features.pin("a")
    features.put("a", Sized(50))
    features.put("b", Sized(10))
    features.put("c", Sized(10))
    assert kept(features, *"abc") == ["a", "c"]
    assert features.clear() and not features.clear()
    features.unpin("a")
    assert kept(features, "a") == ["a"]
    features.unpin("a")
    assert features.nbytes == 0


def test_pieces_grow_while_they_are_quick_and_shrink_when_they_are_late() -> None:
    glance = Glance(0.4)
    for expected in (2, 4, 8):
        glance.note(glance.pieces, 0.01)
        assert glance.pieces == expected
    glance.note(3, 0.01)  # the last, shorter piece of a picture says little
    assert glance.pieces == 8
    glance.note(8, 0.8)
    assert glance.pieces == 4
    glance.note(4, 100.0)
    assert glance.pieces == 1
