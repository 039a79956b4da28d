"""`homing site …`: sites and their keys."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from push_server.embedded.home import Home
from push_server.settings import settings

app = typer.Typer(name="site", help="Sites and their keys.", no_args_is_help=True)


@app.callback()
def site() -> None:
    """Sites and their keys."""


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the shop is called.")],
    origin: Annotated[list[str], typer.Option(help="https://shop.example; may be given several times.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Europe/Budapest.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "EUR",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a site and print its keys, once: the secret key is stored as a hash only."""
    import push_server.tables  # noqa: F401 - foreign keys resolve only once every table is known
    from push_server.db import database
    from push_server.servers import attached
    from push_server.sites.service import create_site

    with attached(Home(settings().home)), database().session() as session:
        made = asdict(create_site(session, name, origin, time_zone, currency))
    if as_json:
        print(json.dumps(made))
        return
    for field, value in made.items():
        print(f"{field:18} {value}")
