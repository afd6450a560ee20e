"""One GET with its redirects, within limits. Imported when the first URL is fetched: httpx2 takes a tenth of a second.

No cookies, no credentials, no proxy of the environment, no compression: a server can make no more of it than bytes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpcore2
import httpx2

from ..errors import FetchRefused
from .checked_network import CheckedNetwork
from .fetch_limits import MIB, FetchLimits

_REDIRECTS = (301, 302, 303, 307, 308)
_FAILURES = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)


async def get(
    text: str,
    network: CheckedNetwork,
    certificates: ssl.SSLContext,
    limits: FetchLimits,
    user_agent: str,
    took: Callable[[int], None],
) -> bytes:
    """The body of a 200 answer; `took` is called with the size of each piece. Raises FetchRefused, and what `took`
    raises. The time limit is the caller's."""
    url = _checked(text, limits)
    async with httpcore2.AsyncConnectionPool(
        ssl_context=certificates, network_backend=network, max_connections=1, max_keepalive_connections=0
    ) as pool:
        for _ in range(limits.redirects + 1):
            try:
                async with pool.stream("GET", _target(url), headers=_headers(url, user_agent)) as response:
                    if response.status not in _REDIRECTS:
                        return await _body(response, limits, took)
                    url = _next(url, response, limits)
            except _FAILURES as error:
                raise FetchRefused(_reason(error)) from error
    raise FetchRefused(f"it redirects more than {limits.redirects} times")


def _checked(text: str, limits: FetchLimits) -> httpx2.URL:
    if len(text) > limits.url_length:
        raise FetchRefused(f"the URL is longer than {limits.url_length} characters")
    try:
        url = httpx2.URL(text)
        host, port = url.raw_host, url.port
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        raise FetchRefused("it is not a valid URL") from None
    if url.scheme not in ("http", "https"):
        raise FetchRefused("only http:// and https:// URLs are fetched")
    if not host or (port is not None and not 0 < port < 65536):
        raise FetchRefused("it is not a valid URL")
    if url.userinfo:
        raise FetchRefused("a URL with a user name or a password in it is not fetched")
    return url


def _target(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _headers(url: httpx2.URL, user_agent: str) -> list[tuple[str, str]]:
    return [
        ("Host", url.netloc.decode("ascii")),
        ("User-Agent", user_agent),
        ("Accept", "image/*,*/*;q=0.5"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


def _next(url: httpx2.URL, response: httpcore2.Response, limits: FetchLimits) -> httpx2.URL:
    location = _header(response, b"location")
    if not location:
        raise FetchRefused(f"its server answers {response.status}, a redirect to nowhere")
    try:
        joined = str(url.join(location))
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        raise FetchRefused("it redirects to something that is not a valid URL") from None
    following = _checked(joined, limits)
    if url.scheme == "https" and following.scheme == "http":
        raise FetchRefused("it redirects from https to http")
    return following


async def _body(response: httpcore2.Response, limits: FetchLimits, took: Callable[[int], None]) -> bytes:
    if response.status != 200:
        raise FetchRefused(f"its server answers {response.status}")
    encoding = _header(response, b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise FetchRefused("its server sends it compressed, though that was not asked for")
    too_large = FetchRefused(f"it is larger than {limits.bytes_each // MIB} MiB")
    announced = _header(response, b"content-length")
    if announced.isdigit() and int(announced) > limits.bytes_each:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_stream():
        size += len(part)
        if size > limits.bytes_each:
            raise too_large
        took(len(part))
        parts.append(part)
    return b"".join(parts)


def _header(response: httpcore2.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "")


def _reason(error: BaseException) -> str:
    """In a few words of ours: a server's own could be anything."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the certificate of its host is not trusted"
        if isinstance(cause, ssl.SSLError):
            return "its host does not speak TLS as it should"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore2.ConnectError | httpcore2.ConnectTimeout):
        return "its host cannot be connected to"
    if isinstance(error, httpcore2.ProtocolError):
        return "its server does not answer in proper HTTP, or ends the answer too early"
    return "the connection was lost before all of it had arrived"
