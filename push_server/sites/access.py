"""Who is calling: the one place where a key becomes a site, and a session is bound to it."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from sqlalchemy import bindparam, text
from sqlmodel import select

from push_server import clock, security
from push_server.db import SiteSession
from push_server.errors import Forbidden, Unauthorized
from push_server.http import claim_idempotency_key, session_of
from push_server.sites.models import ApiKey, Scope, Site


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller of one site: `secret` tells whether by a secret key, `scopes` what that key may do.

    `key_id` is the secret key's row; None for a public key.
    """

    site: Site
    secret: bool
    scopes: frozenset[str]
    key_id: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the scope is among the key's."""
        return Scope.ALL in self.scopes or scope in self.scopes


# For the OpenAPI document alone: it refuses nobody.
_BEARER = HTTPBearer(auto_error=False, scheme_name="secretKey", description="the site's secret key, sk_…")


_BY_PUBLIC_KEY = select(Site).where(Site.public_key == bindparam("key"))  # built once: every page's call asks it


def find_site_by_public_key(session: SiteSession, key: str) -> Site | None:
    """The site of a pk_… key."""
    return session.exec(_BY_PUBLIC_KEY, params={"key": key}).first()


def find_secret(session: SiteSession, key: str) -> Principal | None:
    """The principal of an sk_… key that is not revoked."""
    statement = select(ApiKey, Site).join(Site, Site.id == ApiKey.site_id)  # type: ignore[arg-type]
    statement = statement.where(ApiKey.hash == security.key_hash(key), ApiKey.revoked_at == None)  # noqa: E711
    row = session.exec(statement.execution_options(all_sites=True)).first()
    if row is None:
        return None
    stored, site = row
    return Principal(site, secret=True, scopes=frozenset(stored.scopes), key_id=stored.id)


def credentials(request: Request) -> str | None:
    """The key in the Authorization header: a bearer token, or the Basic user name."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized("The Basic credentials are not base64 of `key:`.", code="bad_credentials") from None
    return None


def resolve(session: SiteSession, key: str | None) -> Principal:
    """The principal of either kind of key; 401 when there is none."""
    if not key:
        raise Unauthorized("Send the site's key: `Authorization: Bearer sk_…`, or Basic `pk_…:`.", code="no_key")
    if key.startswith("sk_"):
        principal = find_secret(session, key)
    else:
        site = find_site_by_public_key(session, key)
        principal = Principal(site, secret=False, scopes=frozenset()) if site else None
    if principal is None:
        raise Unauthorized("This key is not known, or was revoked.", code="unknown_key")
    return principal


def check_origin(request: Request, site: Site) -> None:
    """403 when a browser calls from an origin that is not the site's. No Origin header: no browser page."""
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() not in site.origins:
        raise Forbidden(
            f"Origin {origin} is not one of this site's. Add it to the site's origins.", code="origin_not_allowed"
        )


def require(scope: Scope) -> Callable[..., Principal]:
    """A dependency: the management caller, who must hold `scope`; binds the session to his site."""

    def dependency(request: Request, _documented: Annotated[object, Security(_BEARER)]) -> Principal:
        session = session_of(request)
        key = credentials(request)
        principal = resolve(session, key)
        if not principal.secret:
            raise Unauthorized("This path takes the secret key (sk_…), not the public one.", code="secret_key_needed")
        if not principal.allows(scope):
            raise Forbidden(f"This key lacks the scope {scope}.", code="scope_missing")
        _note_use(session, principal)
        _bind(request, session, principal)
        return principal

    return dependency


def _note_use(session: SiteSession, principal: Principal) -> None:
    """Keep `last_used_at` true to the minute; a row that another request is writing is left to that one."""
    session.sql(
        text(
            "update api_key set last_used_at = :now where id = (select id from api_key where id = :id"
            " and (last_used_at is null or last_used_at < :now - interval '1 minute') for update skip locked)"
        ),
        {"id": principal.key_id, "now": clock.now()},
    )


def browser_caller(request: Request, body_key: str | None) -> Principal:
    """The caller of a browser-side path: either key, from the header or the body's writeKey; origin checked."""
    session = session_of(request)
    principal = resolve(session, credentials(request) or body_key)
    request.state.site_origins = principal.site.origins  # before the check: a refusal, too, is answered for this site
    check_origin(request, principal.site)
    _bind(request, session, principal)
    return principal


def _bind(request: Request, session: SiteSession, principal: Principal) -> None:
    assert principal.site.id is not None
    session.bind_site(principal.site.id)
    claim_idempotency_key(request)


def verify_user(principal: Principal, user_id: str | None, user_hash: str | None) -> None:
    """403 when the site verifies identities and a public-key caller's user id is not vouched for."""
    if user_id is None or principal.secret or not principal.site.identity_verification:
        return
    secret = security.unseal(principal.site.identity_secret, "site.identity_secret")
    if user_hash is None or not security.same(security.user_hash(secret, user_id), user_hash.lower()):
        raise Forbidden(
            "userHash is missing or wrong. It is the hex HMAC-SHA256 of userId under the site's identity secret, "
            "made on the shop's server.",
            code="user_hash_invalid",
        )
