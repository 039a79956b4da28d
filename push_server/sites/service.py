"""Creating sites and their keys."""

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlmodel import select

from push_server import security
from push_server.db import SiteSession
from push_server.errors import Fault, Invalid
from push_server.sites.models import ApiKey, Scope, Site, VapidKey
from push_server.webpush.vapid import KeyPair


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
    clean = [normal_origin(origin, f"$.origins[{index}]") for index, origin in enumerate(origins)]
    if not name.strip():
        raise Invalid("A site needs a name.", faults=[Fault("$.name", "must not be empty")])
    if not clean:
        raise Invalid("A site needs at least one origin.", faults=[Fault("$.origins", "must not be empty")])
    check_time_zone(time_zone)
    check_currency(currency)
    site = Site(
        name=name,
        origins=list(dict.fromkeys(clean)),
        time_zone=time_zone,
        currency=currency,
        contact=contact or default_contact(clean[0]),
        public_key=security.new_key("pk_"),
        identity_secret=security.seal(secrets.token_hex(32).encode(), "site.identity_secret"),
    )
    session.add(site)
    session.flush()
    assert site.id is not None
    session.bind_site(site.id)
    secret_key = add_secret_key(session, "default", [Scope.ALL])
    pair = rotate_vapid_key(session)
    return NewSite(str(site.public_id), site.public_key, secret_key, security.b64url(pair.public_key))


def add_secret_key(session: SiteSession, name: str, scopes: list[Scope]) -> str:
    """A new secret key of the session's site; its text is returned once and only its hash stored."""
    key = security.new_key("sk_")
    session.add(ApiKey(name=name, hash=security.key_hash(key), hint=key[:7], scopes=[str(scope) for scope in scopes]))
    session.flush()
    return key


def rotate_vapid_key(session: SiteSession) -> KeyPair:
    """Make a new active key; older ones stay for the subscriptions that were made with them."""
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


def normal_origin(origin: str, path: str = "$.origin") -> str:
    """`https://Shop.example/` → `https://shop.example`. http only for localhost, which browsers treat as secure."""
    parts = urlsplit(origin.strip())
    fault = None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        fault = "must look like https://shop.example"
    elif parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        fault = "is scheme, host and port only, without a path"
    elif parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        fault = "must be https (http works for localhost only: browsers refuse push elsewhere)"
    if fault:
        raise Invalid(f"Origin {origin!r} {fault}.", code="bad_origin", faults=[Fault(path, fault)])
    return f"{parts.scheme}://{parts.netloc.lower()}"


def check_time_zone(name: str) -> None:
    """422 unless the name is in the IANA data base."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"{name!r} is not an IANA time zone such as Europe/Budapest.",
            code="bad_time_zone",
            faults=[Fault("$.time_zone", "unknown time zone")],
        ) from None


def check_currency(code: str) -> None:
    """422 unless it has ISO 4217's form."""
    if not (len(code) == 3 and code.isascii() and code.isupper() and code.isalpha()):
        raise Invalid(
            f"{code!r} is not an ISO 4217 code such as EUR.",
            code="bad_currency",
            faults=[Fault("$.currency", "three capital letters")],
        )


def default_contact(origin: str) -> str:
    """The VAPID `sub` when none was given: the shop's own address (RFC 8292 §2.1 takes https: URLs)."""
    return origin if origin.startswith("https://") else f"mailto:webpush@{urlsplit(origin).hostname}"
