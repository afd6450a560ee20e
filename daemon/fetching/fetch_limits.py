"""How much, how long and how many of the pictures that requests name by URL are fetched."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
PICTURE_BYTES = 20 * MIB
"""The largest file of one picture, fetched or sent along."""


@dataclass(frozen=True)
class FetchLimits:
    """Bytes and seconds. `each`: of one picture, with its redirects; `request`: of all pictures of one request;
    `total`: of all requests at once. `connect_seconds` is for one of several addresses of a host, `wait_seconds` for a
    place among all that are fetched; `url_length` in characters. `seconds_each` is less than a stream's
    client waits for its first sign of life, so that a picture that does not come can still be a 400."""

    bytes_each: int = PICTURE_BYTES
    seconds_each: float = 8.0
    seconds_request: float = 30.0
    connect_seconds: float = 4.0
    wait_seconds: float = 10.0
    redirects: int = 5
    url_length: int = 8192
    at_once_request: int = 4
    at_once_total: int = 32
    bytes_total: int = 512 * MIB
