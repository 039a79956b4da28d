"""Creating sites and their keys."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from sqlmodel import select

from push_server import clock, security
from push_server.db import SiteSession
from push_server.errors import Conflict, Fault, Invalid, NotFound
from push_server.sites.models import ApiKey, Scope, Site, VapidKey
from push_server.webpush.vapid import KeyPair

_CONTACT = re.compile(r"mailto:[^\s@<>?]+@[a-zA-Z0-9._-]+|https://[a-zA-Z0-9._-]+(:\d+)?(/[!-~]*)?")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")


@dataclass(frozen=True, slots=True)
class NewSite:
    """What is shown once, when a site is made."""

    site_id: str
    public_key: str
    secret_key: str
    vapid_public_key: str


def create_site(
    session: SiteSession,
    name: str,
    origins: list[str],
    time_zone: str = "UTC",
    currency: str = "EUR",
    contact: str | None = None,
) -> NewSite:
    """Make a site with its keys. The session must not be bound to a site yet."""
    if not name.strip():
        raise Invalid("A site needs a name.", faults=[Fault("$.name", "must not be empty")])
    clean = normal_origins(origins)
    check_time_zone(time_zone)
    check_currency(currency)
    contact = contact or default_contact(clean[0])
    check_contact(contact)
    site = Site(
        name=name,
        origins=clean,
        time_zone=time_zone,
        currency=currency,
        contact=contact,
        public_key=security.new_key("pk_"),
        identity_secret=security.seal(secrets.token_hex(32).encode(), "site.identity_secret"),
    )
    session.add(site)
    session.flush()
    assert site.id is not None
    session.bind_site(site.id)
    secret_key, _ = add_secret_key(session, "default", [Scope.ALL])
    pair = rotate_vapid_key(session)
    return NewSite(str(site.public_id), site.public_key, secret_key, security.b64url(pair.public_key))


ZoneCheck = Callable[[SiteSession, str], None]
_zone_checks: list[ZoneCheck] = []


def before_zone_change(check: ZoneCheck) -> None:
    """From now on call this before a site's time zone changes, to refuse what contradicts something else (409).

    It may take the locks that a check of its retention takes, and no others.
    """
    _zone_checks.append(check)


def check_zone_change(session: SiteSession, zone: str) -> None:
    """422 unless it is a time zone, 409 where something of the session's site contradicts it."""
    check_time_zone(zone)
    for check in _zone_checks:
        check(session, zone)


def change_site(site: Site, changes: dict[str, Any]) -> None:
    """Set columns of a site, each checked first."""
    checks = {"time_zone": check_time_zone, "currency": check_currency, "contact": check_contact}
    for name, value in changes.items():
        if name in checks:
            checks[name](value)
        setattr(site, name, normal_origins(value) if name == "origins" else value)


def add_secret_key(session: SiteSession, name: str, scopes: list[Scope]) -> tuple[str, ApiKey]:
    """A new secret key of the session's site: its text, known only now, and the row that keeps its hash."""
    key = security.new_key("sk_")
    row = ApiKey(name=name, hash=security.key_hash(key), hint=key[:7], scopes=[str(scope) for scope in scopes])
    session.add(row)
    session.flush()
    return key, row


def rotate_vapid_key(session: SiteSession) -> KeyPair:
    """Make a new active key; older ones stay for the subscriptions that were made with them."""
    # Two at once take turns. Not `for update`: the rows of a site refer to it, and would wait.
    session.exec(select(Site).where(Site.id == session.site_id).with_for_update(key_share=True)).one()
    for key in session.exec(select(VapidKey).where(VapidKey.active)):
        key.active = False
    session.flush()
    pair = KeyPair.generate()
    session.add(VapidKey(public_key=pair.public_key, private_key=security.seal(pair.private_key, "vapid.private_key")))
    session.flush()
    return pair


def active_vapid_key(session: SiteSession) -> VapidKey:
    """The key that new subscriptions of the session's site are made with."""
    return session.exec(select(VapidKey).where(VapidKey.active)).one()


def normal_origins(origins: list[str]) -> list[str]:
    """Each origin in its normal form, once; 422 without any."""
    if not origins:
        raise Invalid("A site needs at least one origin.", faults=[Fault("$.origins", "must not be empty")])
    return list(dict.fromkeys(normal_origin(origin, f"$.origins[{at}]") for at, origin in enumerate(origins)))


def normal_origin(origin: str, path: str = "$.origin") -> str:
    """`https://Shop.example:443/` → `https://shop.example`, as browsers send it (RFC 6454 §6.2).

    http only for localhost, which browsers treat as secure.
    """
    fault = "must look like https://shop.example"
    try:
        parts = urlsplit(origin.strip())
        host, port = parts.hostname, parts.port
        ascii_host = host.encode("idna").decode() if host and ":" not in host else host
    except ValueError:  # a port that is none, brackets that do not close, a label that IDNA refuses
        ascii_host = None
    if ascii_host is None or not _HOST.fullmatch(ascii_host) or parts.scheme not in ("https", "http"):
        pass
    elif parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        fault = "is scheme, host and port only, without a path"
    elif parts.scheme == "http" and ascii_host not in ("localhost", "127.0.0.1", "::1"):
        fault = "must be https (http works for localhost only: browsers refuse push elsewhere)"
    else:
        shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
        default = {"https": 443, "http": 80}[parts.scheme]
        return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")
    raise Invalid(f"Origin {origin!r} {fault}.", code="bad_origin", faults=[Fault(path, fault, "bad_origin")])


@lru_cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})  # the machine's own, which PostgreSQL does not know


def is_time_zone(name: str) -> bool:
    """Whether the name is in the IANA data base."""
    return name in _time_zones()


def check_time_zone(name: str) -> None:
    """422 unless the name is in the IANA data base."""
    if not is_time_zone(name):
        raise Invalid(
            f"{name!r} is not an IANA time zone such as Europe/Budapest.",
            code="bad_time_zone",
            faults=[Fault("$.time_zone", "unknown time zone", "bad_time_zone")],
        )


def check_currency(code: str) -> None:
    """422 unless it has ISO 4217's form."""
    if not (len(code) == 3 and code.isascii() and code.isupper() and code.isalpha()):
        raise Invalid(
            f"{code!r} is not an ISO 4217 code such as EUR.",
            code="bad_currency",
            faults=[Fault("$.currency", "three capital letters", "bad_currency")],
        )


def default_contact(origin: str) -> str:
    """The VAPID `sub` when none was given: the shop's own address (RFC 8292 §2.1 takes https: URLs)."""
    return origin if origin.startswith("https://") else f"mailto:webpush@{urlsplit(origin).hostname}"


def check_contact(contact: str) -> None:
    """422 unless push services take it as a VAPID `sub` (RFC 8292 §2.1; Apple refuses anything else)."""
    if not _CONTACT.fullmatch(contact):
        raise Invalid(
            f"{contact!r} is no contact address. Write mailto:you@shop.example or https://shop.example/contact.",
            code="bad_contact",
            faults=[Fault("$.contact", "a mailto: or https: address", "bad_contact")],
        )


def identity_secret(site: Site) -> str:
    """The secret under which the shop's server makes `userHash`; its text, as UTF-8, is the HMAC's key."""
    return security.unseal(site.identity_secret, "site.identity_secret").decode()


def renew_identity_secret(site: Site) -> str:
    """Replace the identity secret; hashes made under the former one are refused from now on."""
    secret = secrets.token_hex(32)
    site.identity_secret = security.seal(secret.encode(), "site.identity_secret")
    return secret


def key_id(key: ApiKey) -> str:
    """How the API names a secret key: the start of its hash, which tells nothing of the key."""
    return key.hash.hex()[:24]


def revoke_key(session: SiteSession, public_id: str, own_key: int | None) -> None:
    """End a secret key now. 404 when unknown; 409 for the key that asks, so that nobody locks himself out."""
    for key in session.exec(select(ApiKey).with_for_update()):
        if key_id(key) == public_id:
            break
    else:
        raise NotFound("There is no secret key with this id.", code="no_such_key")
    if key.id == own_key:
        raise Conflict("A key cannot revoke itself. Make the call with another key.", code="key_in_use")
    key.revoked_at = key.revoked_at or clock.now()
