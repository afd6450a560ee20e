"""huggingface_hub with limits that it lacks. Imported only when a repository is listed.

The library has no timeout for a listing, retries as long as the server says and follows any redirect with any amount of
data. Here every request goes through a client with one host, a size limit and one deadline.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.hf_api import RepoFile

from .hub_endpoint import HubEndpoint, origin
from .hub_errors import TRANSIENT, duration_text, resume_at
from .proxies import proxy_for

MAX_RESPONSE = 16 << 20
MAX_REQUESTS = 1_000
TRIES = 5
FIRST_PAUSE = 0.25
MAX_RATE_WAIT = 60.0
_MAX_REDIRECTS = 5
_TIMEOUT = httpx2.Timeout(20, connect=10)


class StatusError(Exception):
    """The hub answered with a status other than success."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class UnusableResponse(Exception):
    """No response, or one that cannot be used; `str()` says why in a few words."""


class ListingStopped(Exception):
    """The caller has given up on this listing."""


@dataclass
class RequestBudget:
    """What one listing may still spend. The waiting thread reads `status` and sets `stop`."""

    endpoint: HubEndpoint
    deadline: float
    status: str
    stop: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    waited: float = 0.0

    def check(self, request: httpx2.Request) -> None:
        """Called for every request, also for each step of a redirect."""
        if self.stop.is_set():
            raise ListingStopped
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise UnusableResponse(f"the listing has more than {MAX_REQUESTS} pages")
        if origin(str(request.url)) != self.endpoint.origin:
            raise UnusableResponse(f"it redirects to another host, {request.url.host[:100]!a}, which is not followed")

    def wait(self, error: StatusError) -> None:
        """Pause as long as the hub asks, within a limit for the whole listing."""
        until = resume_at(error.headers)
        seconds = max(0.0, until - time.time()) if until is not None else 5.0
        self.waited += seconds
        if self.waited > MAX_RATE_WAIT:
            raise error
        self.pause(seconds, f"rate limited, continuing in {duration_text(seconds)}")

    def pause(self, seconds: float, status: str) -> None:
        self.status, before = status, self.status
        self.deadline += seconds
        if self.stop.wait(seconds):
            raise ListingStopped
        self.status = before


_budget: ContextVar[RequestBudget] = ContextVar("leash")


class _LimitedClient(httpx2.Client):
    """Retries transient failures, honours rate limits, and reads at most `MAX_RESPONSE` of a response.

    The library has one client per process, so requests without a budget are not limited.
    """

    def request(self, method: str, url: Any, **options: Any) -> httpx2.Response:
        budget, attempt = _budget.get(None), 0
        if budget is None:
            return super().request(method, url, **options)
        options["timeout"] = _TIMEOUT
        while True:
            attempt += 1
            try:
                return super().request(method, url, **options)
            except StatusError as error:
                if attempt == TRIES or error.status not in {429, *TRANSIENT}:
                    raise
                if error.status == 429:
                    budget.wait(error)
                    continue
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                if attempt == TRIES or "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise UnusableResponse(_reason(error)) from error
            except httpx2.InvalidURL as error:
                raise UnusableResponse(_reason(error)) from error
            budget.pause(FIRST_PAUSE * 2 ** (attempt - 1), "connection lost, trying again")

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        budget = _budget.get(None)
        if budget is None:
            return super().send(request, **options)
        options |= {"stream": True, "follow_redirects": False}
        for _ in range(_MAX_REDIRECTS + 1):
            budget.check(request)
            response = super().send(request, **options)
            try:
                if response.next_request is not None:
                    request = response.next_request
                    continue
                if not response.is_success:
                    raise StatusError(
                        response.status_code, {name.lower(): text for name, text in response.headers.items()}
                    )
                content = b"".join(_body(response, budget))
                return httpx2.Response(
                    response.status_code, headers=response.headers, content=content, request=response.request
                )
            finally:
                response.close()
        raise UnusableResponse(f"it answered with more than {_MAX_REDIRECTS} redirects")


class _Route(httpx2.BaseTransport):
    """Each request through the proxy that downloads are made through, at the moment of the request."""

    def __init__(self) -> None:
        self._by_proxy: dict[str, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        proxy = proxy_for(*origin(str(request.url)))
        address = "" if proxy is None else proxy.geturl()
        transport = self._by_proxy.get(address)
        if transport is None:
            transport = self._by_proxy[address] = httpx2.HTTPTransport(proxy=address or None)
        return transport.handle_request(request)

    def close(self) -> None:
        for transport in self._by_proxy.values():
            transport.close()


def _body(response: httpx2.Response, budget: RequestBudget) -> Iterator[bytes]:
    kind = response.headers.get("content-type", "")
    if "json" not in kind:
        raise UnusableResponse(
            f"it answered with {kind[:60] or 'no content type'!a} instead of JSON; perhaps a login page"
        )
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnusableResponse("it answered with a compressed body that was not requested")
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if budget.stop.is_set():
            raise ListingStopped
        if size > MAX_RESPONSE:
            raise UnusableResponse(f"a response is longer than {MAX_RESPONSE >> 20} MiB")
        yield chunk


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]


# Telemetry would fetch a list of programs to look for in the environment and write it into the user's cache.
constants.HF_HUB_DISABLE_TELEMETRY = True
# Its warnings repeat what servers put into their headers.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
set_client_factory(
    lambda: _LimitedClient(
        headers={"accept-encoding": "identity"}, follow_redirects=True, timeout=None, transport=_Route()
    )
)


class HubLibrary:
    """The library's calls for one listing. Results are unchecked: they are what the server sent.

    Raises StatusError, UnusableResponse, ListingStopped, and whatever the library raises for a malformed response.
    """

    def __init__(self, budget: RequestBudget, version: str) -> None:
        _budget.set(budget)
        # With None the library would look for a token itself.
        token = budget.endpoint.token or False
        self._api = HfApi(endpoint=budget.endpoint.url, token=token, library_name="mlx-serve", library_version=version)

    def resolve(self, repository: str, revision: str) -> tuple[Any, Any]:
        """The repository's name in the hub's spelling, and the commit."""
        info = self._api.model_info(repository, revision=revision)
        return info.id, info.sha

    def tree(self, repository: str, commit: str) -> Iterator[Any]:
        """The rows, read page by page."""
        return iter(self._api.list_repo_tree(repository, revision=commit, recursive=True))


def is_file(row: Any) -> bool:
    return isinstance(row, RepoFile)
