"""Content addresses that expire or refuse, and the token that only the hub gets."""

from __future__ import annotations

import threading

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault, Gate
from fakes.hub.server import Hub
from support.hub_pulls import MB, WEIGHTS, Files, MakeFiles, Offer, ranges, sent, weights

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.store import Store


def test_an_address_that_expired_is_asked_for_again(store: Store, offer: Offer, files: Files) -> None:
    gate = Gate()
    hub = offer(files, Fault(1, on="content", pause_at=MB, cut=MB + 1, gate=gate))
    puller = threading.Thread(target=store.pull, args=("owner/name",))
    puller.start()
    gate.wait()
    hub.expire()
    gate.open()
    puller.join()
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


def test_a_host_that_always_refuses_is_given_up(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    hub = offer(make_files(), faults.failing(403, times=None, on="content"))
    with pytest.raises(HubUnreachable, match=r"refuses to send it \(status 403\)"):
        store.pull("owner/name")
    assert len(ranges(hub)) == 5


def test_the_token_goes_to_the_hub_and_to_nobody_else(store: Store, hub: Hub, files: Files) -> None:
    hub.add("owner/name", files, private=True, allowed=["hf_reader"])
    store.pull("owner/name", token="hf_reader")
    assert all(request.token == "hf_reader" for request in hub.requests if request.host == "hub")
    assert not any(request.had_token for request in hub.cdn_requests)
    assert hub.cdn_requests
