"""Which proxy a server is asked through: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in small or capital letters, as curl reads them.

    proxy_of("https://api.example.com/v1")      → "http://proxy:3128", or None for a direct connection

NO_PROXY is a list of hosts (`gpu1`, `.cluster`, `10.0.0.0/8`, `*`). The address may hold a password: no message shows it.
"""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from factory.errors import EngineError


def proxy_of(url: str) -> str | None:
    """Raises EngineError for a proxy that is none of HTTP's."""
    parts, found = urlsplit(url), getproxies_environment()
    proxy = found.get(parts.scheme) or found.get("all")
    host = parts.hostname or ""
    if not proxy or proxy_bypass_environment(host, found) or _in_network(host, found.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        named = urlsplit(proxy)
        sound = named.scheme in ("http", "https") and bool(named.hostname) and named.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise EngineError(
            f"the proxy in {parts.scheme.upper()}_PROXY (or ALL_PROXY) is no address like http://host:3128 (SOCKS is not supported):"
            f" correct it, or write {host} into NO_PROXY"
        )
    return proxy


def _in_network(host: str, listed: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(_holds(entry.strip(), address) for entry in listed.split(",") if "/" in entry)


def _holds(network: str, address: object) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False
