"""The errors of a hub, from its statuses and headers, with what to do; for listing and for downloading."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import AccessDenied, HubChanged, HubError, HubUnreachable, RateLimited, RepositoryNotFound
from .hub_endpoint import DEFAULT_URL, HubEndpoint

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that a retry may get past."""

_PROXY = ", where there is a proxy HTTPS_PROXY in the daemon's environment"
_RATE = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d{1,12})\s*;\s*t\s*=\s*(\d{1,12})')
_LONGEST_PAUSE = 10 * 365 * 86400.0


def status_error(
    endpoint: HubEndpoint,
    repository: str,
    revision: str | None,
    status: int,
    headers: Mapping[str, str],
    path: str | None = None,
) -> HubError:
    """The error for a response other than success. `headers` by lower-case name; `path`: the requested file."""
    code = headers.get("x-error-code", "")
    message = headers.get("x-error-message", "")
    page = f"{endpoint.url}/{repository}"
    if code == "GatedRepo":
        return _gated(endpoint, repository, page)
    if message == "Access to this resource is disabled.":
        return AccessDenied(f"the hub has disabled {repository}", hint=f"see {page}")
    if status == 401 and ("invalid" in message.lower() and "credentials" in message.lower()):
        return AccessDenied(
            f"{hub_name(endpoint)} does not accept the token",
            hint=f"it may have expired; create a new one at {endpoint.url}/settings/tokens and set HF_TOKEN to it",
        )
    if code == "RevisionNotFound":
        return RepositoryNotFound(
            f"{repository} has no revision {revision or 'main'!r}",
            hint=f"{page}/refs lists its branches and tags; a commit needs all 40 digits",
        )
    if code == "EntryNotFound" or (path is not None and status == 404):
        return HubChanged(
            f"{path or 'a file'} is no longer in {repository}",
            hint="pull again; the repository may just have been updated",
        )
    if code == "RepoNotFound" or status in (401, 404, 410):
        return _not_found(endpoint, repository)
    if status == 403:
        return AccessDenied(
            f"{hub_name(endpoint)} denies access to {repository}",
            hint=f"check at {page} that your account may read it, and that HF_TOKEN is a token with read permission",
        )
    if status == 429:
        until = resume_at(headers)
        when = "" if until is None else f" for another {duration_text(until - time.time())}"
        return RateLimited(
            f"{hub_name(endpoint)} limits the rate of requests{when}",
            hint="pull again after that; the bytes fetched so far are kept"
            + ("" if endpoint.token else "; with HF_TOKEN set the limits are higher"),
            until=until,
        )
    if status == 451:
        return AccessDenied(f"{repository} is unavailable for legal reasons", hint=f"see {page}")
    if 300 <= status < 400:
        return HubUnreachable(f"{hub_name(endpoint)} answered with a redirect that is not followed (status {status})")
    return HubUnreachable(
        f"{hub_name(endpoint)} answered with status {status}",
        hint="pull again later; the bytes fetched so far are kept",
    )


def offline_error(what: str) -> HubUnreachable:
    """The network must not be used. `what` completes "… while HF_HUB_OFFLINE is set"."""
    return HubUnreachable(
        f"{what} while HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE in the daemon's environment and pull again"
    )


def unreachable_error(endpoint: HubEndpoint, reason: str) -> HubUnreachable:
    """No response. `reason` in a few words."""
    hint = f"check the network{_PROXY}; the bytes fetched so far are kept, and the next pull resumes"
    if endpoint.url != DEFAULT_URL:
        hint = f"check the network{_PROXY} and HF_ENDPOINT ({endpoint.url}); the bytes fetched so far are kept"
    return HubUnreachable(f"{hub_name(endpoint)} cannot be reached: {reason}", hint=hint)


def resume_at(headers: Mapping[str, str]) -> float | None:
    """When a rate limit ends (Unix seconds), from `RateLimit` or `Retry-After`; None without a valid one."""
    limit = _RATE.search(headers.get("ratelimit", ""))
    if limit is not None and int(limit[1]) == 0:
        return time.time() + min(float(limit[2]), _LONGEST_PAUSE)
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", value):
        return time.time() + min(float(value), _LONGEST_PAUSE)
    try:
        when = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(time.time(), when)


def duration_text(seconds: float) -> str:
    """Seconds in a readable unit: 12 s, 5 min, 28 h."""
    whole = max(1, math.ceil(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{math.ceil(whole / 60)} min" if whole < 7200 else f"{math.ceil(whole / 3600)} h"


def hub_name(endpoint: HubEndpoint) -> str:
    """The hub in error sentences."""
    return "the hub" if endpoint.url == DEFAULT_URL else f"the hub at {urlsplit(endpoint.url).netloc}"


def _gated(endpoint: HubEndpoint, repository: str, page: str) -> AccessDenied:
    if endpoint.token is None:
        hint = (
            f"log in and accept the terms at {page}, create a token at {endpoint.url}/settings/tokens, "
            f"then run `HF_TOKEN=hf_… mlx-serve pull {repository}`"
        )
    else:
        hint = f"accept the terms at {page} with the account that HF_TOKEN belongs to, then pull again"
    return AccessDenied(f"{repository} is gated: its terms must be accepted before downloading", hint=hint)


def _not_found(endpoint: HubEndpoint, repository: str) -> RepositoryNotFound:
    private = (
        "or it is private and needs a token (set HF_TOKEN or run `hf auth login`)"
        if endpoint.token is None
        else "or it is private and the account of HF_TOKEN has no access to it"
    )
    return RepositoryNotFound(
        f"{hub_name(endpoint)} has no model {repository}, {private}", hint=f"see {endpoint.url}/{repository}"
    )
