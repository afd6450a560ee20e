"""Which proxy the hub is reached through: of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), else on
macOS of System Settings > Network, with the hosts to be bypassed there. Read anew for each connection, for a laptop
changes networks; an automatic configuration (PAC) is not evaluated.
"""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import HubUnreachable


def proxy_for(scheme: str, host: str, port: int) -> SplitResult | None:
    """None: the host is reached directly. Raises HubUnreachable for a proxy of a kind that is not supported."""
    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise HubUnreachable(
            f"a {parts.scheme}:// proxy is not supported",
            hint="set HTTPS_PROXY in the daemon's environment to an http:// address",
        )
    return parts


def credentials(scheme: str, host: str, port: int) -> dict[str, str]:
    """The header for a proxy that needs a user name and a password."""
    proxy = proxy_for(scheme, host, port)
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}
