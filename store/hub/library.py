"""huggingface_hub, held to limits that it does not have itself. Imported when something is listed, not before.

The library asks without time limit, retries as long as the server likes and follows any redirect with any amount of
data. Here every request goes through a client that keeps to one host, one size and one deadline.
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

from .refusals import TRANSIENT, resume_at, span
from .remote import Endpoint, origin

MAX_ANSWER = 16 << 20
MAX_REQUESTS = 1_000
TRIES = 5
FIRST_PAUSE = 0.25
MAX_RATE_WAIT = 60.0
_MAX_REDIRECTS = 5
_TIMEOUT = httpx2.Timeout(20, connect=10)


class Refused(Exception):
    """The hub answered with a status that is no success."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class Unusable(Exception):
    """No answer, or one that cannot be used; `str()` says why in a few words."""


class Stopped(Exception):
    """Nobody waits for this listing any more."""


@dataclass
class Leash:
    """What one listing may still do. `status` is for the thread that waits; `stop` is set by it."""

    endpoint: Endpoint
    deadline: float
    status: str
    stop: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    waited: float = 0.0

    def admit(self, request: httpx2.Request) -> None:
        """Called for every request, also for each step of a redirect."""
        if self.stop.is_set():
            raise Stopped
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise Unusable(f"the listing has more than {MAX_REQUESTS} pages")
        if origin(str(request.url)) != self.endpoint.origin:
            raise Unusable(f"it sends to another host, {request.url.host[:100]!a}, which is not followed")

    def wait(self, refused: Refused) -> None:
        """The pause that the hub asks for, as long as all of them together are bearable."""
        until = resume_at(refused.headers)
        seconds = max(0.0, until - time.time()) if until is not None else 5.0
        self.waited += seconds
        if self.waited > MAX_RATE_WAIT:
            raise refused
        self.pause(seconds, f"rate limited, going on in {span(seconds)}")

    def pause(self, seconds: float, status: str) -> None:
        self.status, before = status, self.status
        self.deadline += seconds
        if self.stop.wait(seconds):
            raise Stopped
        self.status = before


_leash: ContextVar[Leash] = ContextVar("leash")


class _Client(httpx2.Client):
    """Retries what may pass, waits when told to, and reads no more than `MAX_ANSWER` of any answer.

    The library has one client a process, so whoever else uses it, without a leash, gets a usual one.
    """

    def request(self, method: str, url: Any, **options: Any) -> httpx2.Response:
        leash, attempt = _leash.get(None), 0
        if leash is None:
            return super().request(method, url, **options)
        options["timeout"] = _TIMEOUT
        while True:
            attempt += 1
            try:
                return super().request(method, url, **options)
            except Refused as refused:
                if attempt == TRIES or refused.status not in {429, *TRANSIENT}:
                    raise
                if refused.status == 429:
                    leash.wait(refused)
                    continue
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                if attempt == TRIES or "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise Unusable(_words(error)) from error
            except httpx2.InvalidURL as error:
                raise Unusable(_words(error)) from error
            leash.pause(FIRST_PAUSE * 2 ** (attempt - 1), "connection lost, trying again")

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        leash = _leash.get(None)
        if leash is None:
            return super().send(request, **options)
        options |= {"stream": True, "follow_redirects": False}
        for _ in range(_MAX_REDIRECTS + 1):
            leash.admit(request)
            response = super().send(request, **options)
            try:
                if response.next_request is not None:
                    request = response.next_request
                    continue
                if not response.is_success:
                    raise Refused(response.status_code, {name.lower(): text for name, text in response.headers.items()})
                content = b"".join(_body(response, leash))
                return httpx2.Response(
                    response.status_code, headers=response.headers, content=content, request=response.request
                )
            finally:
                response.close()
        raise Unusable("it redirects in a circle")


def _body(response: httpx2.Response, leash: Leash) -> Iterator[bytes]:
    kind = response.headers.get("content-type", "")
    if "json" not in kind:
        raise Unusable(f"it answered with {kind[:60] or 'something'!a} instead of JSON; a login page of the network?")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unusable("it answered in a compressed form that was not asked for")
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if leash.stop.is_set():
            raise Stopped
        if size > MAX_ANSWER:
            raise Unusable(f"an answer is longer than {MAX_ANSWER >> 20} MiB")
        yield chunk


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]


# Telemetry would ask the hub for a list of programs to look for in the environment, and write it into the user's cache.
constants.HF_HUB_DISABLE_TELEMETRY = True
# It logs what it retries and what servers put into their headers.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
set_client_factory(lambda: _Client(headers={"accept-encoding": "identity"}, follow_redirects=True, timeout=None))


class Library:
    """The library's own calls, for one listing. Nothing that comes back is checked: it is what the server says.

    Raises Refused, Unusable, Stopped, and whatever the library raises about an answer that makes no sense.
    """

    def __init__(self, leash: Leash, version: str) -> None:
        _leash.set(leash)
        # False and not None: the library would look for a token of its own.
        token = leash.endpoint.token or False
        self._api = HfApi(endpoint=leash.endpoint.url, token=token, library_name="mlx-serve", library_version=version)

    def resolve(self, repository: str, revision: str) -> tuple[Any, Any]:
        """The repository's own name and the commit."""
        info = self._api.model_info(repository, revision=revision)
        return info.id, info.sha

    def tree(self, repository: str, commit: str) -> Iterator[Any]:
        """The rows, while they are read page by page."""
        return iter(self._api.list_repo_tree(repository, revision=commit, recursive=True))


def is_file(row: Any) -> bool:
    return isinstance(row, RepoFile)
