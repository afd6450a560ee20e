"""The proxy of the environment or of macOS' settings, the same for a listing and for a download.

macOS' own rules are urllib's: what is simulated is what SystemConfiguration says.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes.hub.server import CERTIFICATE, Hub
from huggingface_hub import close_session
from support.connect_proxy import Proxy

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.hub import proxies
from mlx_serve.store.hub.hub_endpoint import HubEndpoint
from mlx_serve.store.hub.hub_errors import unreachable_error
from mlx_serve.store.hub.listing import list_repository
from mlx_serve.store.store import Store

MakeFiles = Callable[..., dict[str, bytes]]
WEIGHTS = "model.safetensors"


@dataclass
class Mac:
    """System Settings > Network > Proxies, as `_scproxy` gives them."""

    proxies: dict[str, str] = field(default_factory=dict)
    exceptions: list[str] = field(default_factory=list)
    exclude_simple: bool = False

    def getproxies(self) -> dict[str, str]:
        """As urllib.request's on macOS."""
        return urllib.request.getproxies_environment() or self.proxies

    def proxy_bypass(self, host: str) -> bool:
        environment = urllib.request.getproxies_environment()
        if environment:
            return bool(urllib.request.proxy_bypass_environment(host, environment))
        request: Any = urllib.request
        settings = {"exclude_simple": self.exclude_simple, "exceptions": self.exceptions}
        return bool(request._proxy_bypass_macosx_sysconf(host, settings))


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Mac:
    found = Mac()
    monkeypatch.setattr(proxies, "getproxies", found.getproxies)
    monkeypatch.setattr(proxies, "proxy_bypass", found.proxy_bypass)
    return found


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with TLS, whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    close_session()
    with Hub(secure=True) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
    close_session()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    running = Proxy("user:pass word")
    yield running
    running.close()


def through(proxy: Proxy) -> str:
    return f"http://user:pass%20word@{proxy.address}"


@pytest.mark.parametrize("place", ["environment", "system settings"])
def test_a_pull_goes_through_the_proxy_from_its_first_request_to_its_last(
    place: str,
    mac: Mac,
    secure: Hub,
    proxy: Proxy,
    store: Store,
    make_files: MakeFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The listing, which the hub's own library makes, and the files from both hosts."""
    if place == "environment":
        monkeypatch.setenv("HTTPS_PROXY", through(proxy))
    else:
        mac.proxies["https"] = through(proxy)
    files = make_files(100_000)
    secure.add("owner/name", files)
    hub = secure.url.removeprefix("https://")
    list_repository(HubEndpoint(secure.url), "owner/name", None)
    listing = list(proxy.tunnels)
    assert listing and set(listing) == {hub}
    model = store.pull("owner/name")
    assert (store.view(model) / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert {tunnel.partition(":")[0] for tunnel in proxy.tunnels[len(listing) :]} == {"127.0.0.1", "localhost"}


@pytest.mark.parametrize("exception", ["127.0.0.1", "127/8", "127.0.0.*"])
def test_a_host_that_macos_bypasses_is_asked_directly(
    exception: str, mac: Mac, secure: Hub, proxy: Proxy, store: Store, make_files: MakeFiles
) -> None:
    """By the listing too: httpx reads the proxies of the system, and not its exceptions."""
    mac.proxies["https"] = through(proxy)
    mac.exceptions.append(exception)
    secure.add("owner/name", make_files(1000))
    list_repository(HubEndpoint(secure.url), "owner/name", None)
    assert proxy.tunnels == []
    store.pull("owner/name")
    assert {tunnel.partition(":")[0] for tunnel in proxy.tunnels} <= {"localhost"}


def test_a_proxy_that_comes_and_goes_is_followed(mac: Mac, secure: Hub, proxy: Proxy, make_files: MakeFiles) -> None:
    """A laptop between office and home; the daemon is not started anew."""
    secure.add("owner/name", make_files(1000))
    endpoint = HubEndpoint(secure.url)
    list_repository(endpoint, "owner/name", None)
    assert proxy.tunnels == []
    mac.proxies["https"] = through(proxy)
    list_repository(endpoint, "owner/name", None)
    assert proxy.tunnels
    before = len(proxy.tunnels)
    mac.proxies.clear()
    list_repository(endpoint, "owner/name", None)
    assert len(proxy.tunnels) == before


def test_the_environment_takes_precedence_over_the_system(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    mac.proxies["https"] = "http://system:1"
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:2")
    found = proxies.proxy_for("https", "huggingface.co", 443)
    assert found is not None and found.hostname == "environment"
    monkeypatch.setenv("NO_PROXY", "huggingface.co")
    assert proxies.proxy_for("https", "huggingface.co", 443) is None


def test_simple_host_names_are_bypassed_where_macos_says_so(mac: Mac) -> None:
    mac.proxies["https"] = "http://system:1"
    assert proxies.proxy_for("https", "mirror", 443) is not None
    mac.exclude_simple = True
    assert proxies.proxy_for("https", "mirror", 443) is None
    assert proxies.proxy_for("https", "mirror.example", 443) is not None


def test_a_proxy_of_another_kind_is_said_so_by_a_listing_too(mac: Mac, secure: Hub) -> None:
    mac.proxies["https"] = "socks5://127.0.0.1:9"
    with pytest.raises(HubUnreachable, match="a socks5:// proxy is not supported") as caught:
        list_repository(HubEndpoint(secure.url), "owner/name", None)
    assert "HTTPS_PROXY" in str(caught.value.hint)


def test_who_cannot_reach_the_hub_is_told_how_to_name_a_proxy() -> None:
    assert "HTTPS_PROXY in the daemon's environment" in str(unreachable_error(HubEndpoint("https://x"), "no").hint)
