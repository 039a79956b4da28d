"""`homing site …`: sites and their keys."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from push_server.embedded.home import Home
from push_server.errors import Invalid, NotFound
from push_server.settings import settings

if TYPE_CHECKING:  # imported when needed, so that `homing --help` answers at once
    from push_server.db import SiteSession

app = typer.Typer(name="site", help="Sites and their keys.", no_args_is_help=True)
key = typer.Typer(name="key", help="Secret keys of a site.", no_args_is_help=True)
app.add_typer(key)
vapid = typer.Typer(name="vapid-key", help="The VAPID key ring of a site.", no_args_is_help=True)
app.add_typer(vapid)

Site = Annotated[str, typer.Option("--site", help="The site's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the shop is called.")],
    origin: Annotated[list[str], typer.Option(help="https://shop.example; may be given several times.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Europe/Budapest.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "EUR",
    as_json: Json = False,
) -> None:
    """Make a site and print its keys, once: the secret key is stored as a hash only."""
    import push_server.tables  # noqa: F401 - foreign keys resolve only once every table is known
    from push_server.db import database
    from push_server.servers import attached
    from push_server.sites.service import create_site

    with attached(Home(settings().home)), database().session() as session:
        made = asdict(create_site(session, name, origin, time_zone, currency))
    _show(made, as_json)


@key.command("create")
def create_key(
    site_id: Site,
    scope: Annotated[list[str], typer.Option(help="What it may do, such as events:write; * is everything. Several.")],
    name: Annotated[str, typer.Option(help="What it is for, to tell keys apart.")] = "key",
    as_json: Json = False,
) -> None:
    """Make a secret key with these scopes and print it, once."""
    from push_server.sites.models import Scope
    from push_server.sites.service import add_secret_key

    unknown = sorted(set(scope) - set(Scope))
    if unknown:
        raise Invalid(f"There is no scope {', '.join(unknown)}. There are: {', '.join(Scope)}.", code="unknown_scope")
    with _of_site(site_id) as session:
        text, _stored = add_secret_key(session, name, [Scope(each) for each in scope])
    _show({"secret_key": text}, as_json)


@vapid.command("list")
def list_vapid_keys(site_id: Site, as_json: Json = False) -> None:
    """The VAPID key ring, newest first, and how many active subscriptions each key has."""
    from push_server.subscriptions.vapid_keys_api import describe_ring

    with _of_site(site_id) as session:
        keys = [key.model_dump() for key in describe_ring(session)]
    if as_json:
        print(json.dumps(keys))
        return
    for each in keys:
        state = "active" if each["active"] else "retired" if each["retired_at"] else "former"
        print(f"{each['public_key']}  {state:8} {each['subscriptions']:>10,} subscriptions  {each['created_at']}")


@vapid.command("rotate")
def rotate_vapid_key(site_id: Site, as_json: Json = False) -> None:
    """Make a new VAPID key for new subscriptions; those made with older keys keep theirs until the next visit."""
    from push_server.security import b64url
    from push_server.sites.service import rotate_vapid_key

    with _of_site(site_id) as session:
        pair = rotate_vapid_key(session)
    _show({"vapid_public_key": b64url(pair.public_key)}, as_json)


@vapid.command("retire")
def retire_vapid_key(
    site_id: Site,
    public_key: Annotated[str, typer.Argument(help="As `homing site vapid-key list` shows it.")],
    lose: Annotated[int, typer.Option(min=0, help="How many active subscriptions it may cost at most.")] = 0,
    as_json: Json = False,
) -> None:
    """Destroy a former VAPID key. Refused while active subscriptions need it, unless --lose allows for so many."""
    from push_server.subscriptions.vapid_keys import retire

    with _of_site(site_id) as session:
        lost = retire(session, public_key, lose)
    _show({"lost_subscriptions": str(lost)}, as_json)


@contextmanager
def _of_site(public_id: str) -> Iterator["SiteSession"]:
    """A session bound to the site of that id."""
    from sqlmodel import select

    import push_server.tables  # noqa: F401 - as above
    from push_server.db import database
    from push_server.ids import parse_id
    from push_server.servers import attached
    from push_server.sites import models

    with attached(Home(settings().home)), database().session() as session:
        site = session.exec(select(models.Site).where(models.Site.public_id == parse_id(public_id, "site"))).first()
        if site is None or site.id is None:
            raise NotFound("There is no site with this id.", code="no_such_site")
        session.bind_site(site.id)
        yield session


def _show(fields: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(fields))
        return
    for field, value in fields.items():
        print(f"{field:18} {value}")
