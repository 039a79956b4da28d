"""`/v1/site/keys`: secret API keys."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select

from push_server import clock, http
from push_server.errors import Fault, Forbidden
from push_server.fields import Body, Name
from push_server.http import session_of
from push_server.sites import service
from push_server.sites.access import Principal, require
from push_server.sites.models import ApiKey, Scope

router = http.router("site")

Reader = Annotated[Principal, Depends(require(Scope.SITE_READ))]
Writer = Annotated[Principal, Depends(require(Scope.SITE_WRITE))]


class NewKey(Body):
    """A secret key to make."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "warehouse", "scopes": ["products:read", "products:write"]}}
    )

    name: Name
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(min_length=1, max_length=len(Scope))


class KeyOut(BaseModel):
    """A secret key; of its text only the first characters are known."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    created_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class CreatedKey(KeyOut):
    """A key just made: `key` is shown this once."""

    key: str


class KeyList(BaseModel):
    """Every secret key of the site, those revoked too."""

    data: list[KeyOut]


@router.post("/v1/site/keys", status_code=201)
def create_key(body: NewKey, request: Request, principal: Writer) -> CreatedKey:
    """Make a secret key with some of the caller's own scopes."""
    for at, scope in enumerate(body.scopes):
        if not principal.allows(scope):
            raise Forbidden(
                "A key can only hand on scopes that it has.",
                code="scope_missing",
                faults=[Fault(f"$.scopes[{at}]", f"the calling key lacks {scope}", "scope_missing")],
            )
    text, key = service.add_secret_key(session_of(request), body.name, list(dict.fromkeys(body.scopes)))
    session_of(request).refresh(key)
    return CreatedKey(key=text, **_key(key).model_dump())


@router.get("/v1/site/keys")
def get_keys(request: Request, _principal: Reader) -> KeyList:
    """The secret keys, oldest first."""
    keys = session_of(request).exec(select(ApiKey).order_by(ApiKey.id))  # type: ignore[arg-type]
    return KeyList(data=[_key(key) for key in keys])


@router.delete("/v1/site/keys/{key_id}", status_code=204)
def delete_key(key_id: str, request: Request, principal: Writer) -> None:
    """Revoke a secret key: it stops working at once. Again is fine."""
    service.revoke_key(session_of(request), key_id, principal.key_id)


def _key(key: ApiKey) -> KeyOut:
    times = {name: getattr(key, name) for name in ("created_at", "last_used_at", "revoked_at")}
    return KeyOut(
        id=service.key_id(key),
        **key.model_dump(include={"name", "hint", "scopes"}),
        **{name: clock.rfc3339(at) if at else None for name, at in times.items()},
    )
