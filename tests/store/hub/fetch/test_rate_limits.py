"""Rate limits: short ones are waited for, long ones are an error that says until when."""

from __future__ import annotations

import email.utils
import time

import pytest
from fakes.hub import faults
from support.hub_pulls import WEIGHTS, Files, MakeFiles, Offer, sent, weights

from mlx_serve.store.errors import RateLimited
from mlx_serve.store.hub.fetch import timeouts
from mlx_serve.store.hub.fetch.timeouts import Timeouts
from mlx_serve.store.store import Store


def test_a_short_limit_is_waited_for_by_all_and_told(store: Store, offer: Offer, files: Files) -> None:
    told: list[str] = []
    hub = offer(files, faults.limited("1", on="redirect"))
    began = time.monotonic()
    store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert time.monotonic() - began > 0.9
    assert "rate limited, continuing in 1 s" in told
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


@pytest.mark.parametrize("after", ["61", "100000", "date"])
def test_a_long_limit_is_an_error_that_says_until_when(
    store: Store, offer: Offer, make_files: MakeFiles, after: str
) -> None:
    value = email.utils.formatdate(time.time() + 3600, usegmt=True) if after == "date" else after
    offer(make_files(), faults.limited(value, times=None))
    told: list[str] = []
    with pytest.raises(RateLimited) as caught:
        store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert not any("rate limited" in status for status in told)
    assert caught.value.until is not None
    assert caught.value.until > time.time() + 30


@pytest.mark.parametrize("after", [None, "soon", "-5"])
def test_a_limit_that_says_nothing_is_waited_for_a_little_and_not_for_ever(
    store: Store, offer: Offer, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch, after: str | None
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(default_rate_pause=0.05, rate_wait=0.12))
    hub = offer(make_files(), faults.limited(after, times=None))
    with pytest.raises(RateLimited):
        store.pull("owner/name")
    assert 2 <= len([request for request in hub.requests if request.status == 429]) <= 4
