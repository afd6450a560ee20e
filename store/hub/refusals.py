"""What a hub means by a status, as an error that says what to do; the same for listing and for fetching."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import AccessDenied, HubChanged, HubError, HubUnreachable, RateLimited, RepositoryNotFound
from .remote import DEFAULT_URL, Endpoint

TRANSIENT = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that may be over in a moment."""

_RATE = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d{1,12})\s*;\s*t\s*=\s*(\d{1,12})')
_LONGEST_PAUSE = 10 * 365 * 86400.0


def refusal(
    endpoint: Endpoint,
    repository: str,
    revision: str | None,
    status: int,
    headers: Mapping[str, str],
    path: str | None = None,
) -> HubError:
    """The error for an answer that is none. `headers` by lower-case name; `path`: the file that was asked for."""
    code = headers.get("x-error-code", "")
    message = headers.get("x-error-message", "")
    page = f"{endpoint.url}/{repository}"
    if code == "GatedRepo":
        return _gated(endpoint, repository, page)
    if message == "Access to this resource is disabled.":
        return AccessDenied(f"the hub has disabled {repository}", hint=f"{page} says more")
    if status == 401 and ("invalid" in message.lower() and "credentials" in message.lower()):
        return AccessDenied(
            f"{name_of(endpoint)} does not accept the token",
            hint=f"it may have expired; make a new one at {endpoint.url}/settings/tokens and set HF_TOKEN to it",
        )
    if code == "RevisionNotFound":
        return RepositoryNotFound(
            f"{repository} has no revision {revision or 'main'!r}",
            hint=f"{page}/refs lists its branches and tags; a commit needs all 40 digits",
        )
    if code == "EntryNotFound" or (path is not None and status == 404):
        return HubChanged(
            f"{path or 'a file'} is not in {repository} any more", hint="pull again; somebody may just have changed it"
        )
    if code == "RepoNotFound" or status in (401, 404, 410):
        return _unknown(endpoint, repository)
    if status == 403:
        return AccessDenied(
            f"{name_of(endpoint)} does not let you have {repository}",
            hint=f"check at {page} that your account may read it, and that HF_TOKEN is a token with read permission",
        )
    if status == 429:
        until = resume_at(headers)
        when = "" if until is None else f" for another {span(until - time.time())}"
        return RateLimited(
            f"{name_of(endpoint)} limits the rate of requests{when}",
            hint="pull again then; what is here is kept"
            + ("" if endpoint.token else "; with HF_TOKEN set the limits are higher"),
            until=until,
        )
    if status == 451:
        return AccessDenied(f"the hub may not offer {repository} for legal reasons", hint=f"{page} says more")
    if 300 <= status < 400:
        return HubUnreachable(f"{name_of(endpoint)} sends to another address that is not followed ({status})")
    return HubUnreachable(
        f"{name_of(endpoint)} answered with status {status}", hint="pull again later; what is here is kept"
    )


def offline(what: str) -> HubUnreachable:
    """Told not to use the network. `what` completes "… while HF_HUB_OFFLINE is set"."""
    return HubUnreachable(
        f"{what} while HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE in the daemon and pull again"
    )


def unreachable(endpoint: Endpoint, reason: str) -> HubUnreachable:
    """No answer at all. `reason` in a few words."""
    hint = "check the network; what is here is kept, and the next pull goes on from there"
    if endpoint.url != DEFAULT_URL:
        hint = f"check the network and HF_ENDPOINT ({endpoint.url}); what is here is kept"
    return HubUnreachable(f"{name_of(endpoint)} cannot be reached: {reason}", hint=hint)


def resume_at(headers: Mapping[str, str]) -> float | None:
    """When a rate limit ends (unix seconds), as `RateLimit` or `Retry-After` says; None when neither can be read."""
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


def span(seconds: float) -> str:
    """Seconds as people say them: 12 s, 5 min, 28 h."""
    whole = max(1, math.ceil(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{math.ceil(whole / 60)} min" if whole < 7200 else f"{math.ceil(whole / 3600)} h"


def name_of(endpoint: Endpoint) -> str:
    """What users call this hub."""
    return "the hub" if endpoint.url == DEFAULT_URL else f"the hub at {urlsplit(endpoint.url).netloc}"


def _gated(endpoint: Endpoint, repository: str, page: str) -> AccessDenied:
    if endpoint.token is None:
        hint = (
            f"log in and accept the terms at {page}, make a token at {endpoint.url}/settings/tokens, "
            f"then run `HF_TOKEN=hf_… mlx-serve pull {repository}`"
        )
    else:
        hint = f"accept the terms at {page} with the account that HF_TOKEN belongs to, then pull again"
    return AccessDenied(f"{repository} is gated: its owner asks everybody to accept terms first", hint=hint)


def _unknown(endpoint: Endpoint, repository: str) -> RepositoryNotFound:
    private = (
        "or it is private and HF_TOKEN is not set (`hf auth login` or HF_TOKEN=hf_… lets you in)"
        if endpoint.token is None
        else "or it is private and HF_TOKEN's account may not see it"
    )
    return RepositoryNotFound(
        f"{name_of(endpoint)} has no model {repository}, {private}", hint=f"look at {endpoint.url}/{repository}"
    )
