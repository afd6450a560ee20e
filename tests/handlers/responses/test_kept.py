"""Responses in memory: bounded, of one owner each, and items that conversations share counted once."""

from __future__ import annotations

from mlx_serve.handlers.responses.kept import KeptItem, KeptResponse, KeptResponses


def item(identity: str, size: int = 0) -> KeptItem:
    return KeptItem.of(b'{"id": "%b", "text": "%b"}' % (identity.encode(), b"x" * size))


def response(*items: KeptItem, size: int = 2) -> KeptResponse:
    return KeptResponse(b"x" * size, items, ())


def test_the_least_recently_used_go() -> None:
    kept = KeptResponses(most=3)
    for number in range(3):
        kept.keep("", f"r{number}", response(item(f"i{number}")))
    assert kept.find("", "r0") is not None
    kept.keep("", "r3", response())
    assert [kept.find("", f"r{number}") is not None for number in range(4)] == [True, False, True, True]
    assert kept.item("", "i1") is None and kept.item("", "i0") is not None


def test_the_bytes_are_bounded() -> None:
    """The oldest go until there is room; what would not fit alone is not kept."""
    kept = KeptResponses(most_bytes=10_000)
    for number in range(20):
        kept.keep("", f"r{number}", response(item("i", 1000)))
        assert kept.size <= 10_000
    assert 1 < len(kept) < 20 and kept.find("", "r19") is not None
    kept.keep("", "large", response(item("i", 20_000)))
    assert kept.find("", "large") is None and len(kept) == 0 and kept.size == 0


def test_shared_items_count_once_and_stay_as_long_as_one_has_them() -> None:
    kept = KeptResponses()
    first, second = item("a", 5000), item("b", 10)
    kept.keep("", "r1", response(first))
    alone = kept.size
    kept.keep("", "r2", response(first, second))
    assert kept.size < alone + 2000
    assert kept.delete("", "r1") and not kept.delete("", "r1")
    assert kept.item("", "a") is first
    assert kept.delete("", "r2") and kept.item("", "a") is None and kept.size == 0


def test_one_owner_sees_nothing_of_another() -> None:
    kept = KeptResponses()
    kept.keep("me", "r", response(item("i")))
    assert kept.find("you", "r") is None and kept.item("you", "i") is None and not kept.delete("you", "r")
    assert kept.find("me", "r") is not None and kept.item("me", "i") is not None


def test_the_newest_item_of_an_id_is_found() -> None:
    """Clients make ids too, and may make one twice."""
    kept = KeptResponses()
    old, new = item("i", 1), item("i", 2)
    kept.keep("", "r1", response(old))
    kept.keep("", "r2", response(new))
    assert kept.item("", "i") is new
    kept.delete("", "r1")
    assert kept.item("", "i") is new
