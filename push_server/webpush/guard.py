"""Which addresses we post to. An endpoint comes from a browser, so anybody can write it: it may name only a known
push service, over https on port 443, and at connect time that name may not lead into a private network.

Origins in HOMING_PUSH_HOSTS are the operator's own choice: allowed exactly as written, plain http, other ports and
private addresses included.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from push_server.errors import Invalid
from push_server.settings import settings

MAX_ENDPOINT: Final = 2048
"""Characters. The longest seen in the wild (Windows) stay under 1,000."""

HOSTS: Final = (
    "fcm.googleapis.com",
    "*.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
"""The push services of the browsers; `*` stands for one label or more. Apple names `*.push.apple.com` itself."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_BUILT_IN = re.compile(
    "|".join(rf"(?:{_LABEL}\.)+" + re.escape(host[2:]) if host.startswith("*.") else re.escape(host) for host in HOSTS),
    re.ASCII,
)
# Stricter than any URL parser: what passes reads the same to every one of them, libcurl's included. No user info, no
# fragment, no backslash, no space, nothing outside ASCII.
_URL = re.compile(
    r"(?P<base>https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)"
    r"/[a-z0-9\-._~%!$&'()*+,;=:@/?]*",
    re.ASCII | re.IGNORECASE,
)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def check_endpoint(url: str) -> str:
    """The origin of a push service that we may post to, in lower case and without its default port.

    Raises `Invalid` (`endpoint_not_allowed`) for everything else.
    """
    match = _URL.fullmatch(url) if len(url) <= MAX_ENDPOINT else None
    if match is None:
        raise _refused(f"The endpoint is not a push service's URL of at most {MAX_ENDPOINT} plain characters.")
    return _known(match["base"], tuple(settings().push_hosts))


@lru_cache(maxsize=1024)
def _known(base: str, push_hosts: tuple[str, ...]) -> str:
    origin = _origin(base)
    if origin in _operator_origins(push_hosts):
        return origin
    if not origin.startswith("https://") or not _BUILT_IN.fullmatch(origin, len("https://")):
        raise _refused(
            "The endpoint's origin is no known push service. Send what PushManager.subscribe() returned; "
            "an operator can allow further origins in HOMING_PUSH_HOSTS."
        )
    return origin


def is_operator_origin(origin: str) -> bool:
    """Whether the operator allowed this origin himself, so that private addresses are his choice."""
    return origin in _operator_origins(tuple(settings().push_hosts))


def is_public_address(address: str) -> bool:
    """Whether an IP address lies in the public internet: no private, loopback, link-local, unique-local, shared,
    reserved or multicast address, nor one of those wrapped into IPv6.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            return is_public_address(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address carries: mapped, 6to4, Teredo, NAT64, or the old compatible form."""
    if ip in _NAT64 or int(ip) >> 32 == 0:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def _origin(base: str) -> str:
    base = base.lower()
    return base.removesuffix(":443" if base.startswith("https:") else ":80")


@lru_cache(maxsize=8)
def _operator_origins(entries: tuple[str, ...]) -> frozenset[str]:
    matches = (_URL.fullmatch(entry.rstrip("/") + "/") for entry in entries)
    return frozenset(_origin(match["base"]) for match in matches if match)


def _refused(detail: str) -> Invalid:
    return Invalid(detail, code="endpoint_not_allowed")
