"""Sites, keys, and the scoping of rows by site."""

import pytest
from sqlmodel import select

from push_server.db import Database, NoSite
from push_server.sites.models import ApiKey, VapidKey
from push_server.sites.service import create_site


def test_rows_of_another_site_are_invisible(db: Database) -> None:
    with db.session() as session:
        create_site(session, "One", ["https://one.example"])
        first = session.site_id
    with db.session() as session:
        create_site(session, "Two", ["https://two.example"])
    with db.session(site_id=first) as session:
        assert {key.site_id for key in session.exec(select(VapidKey))} == {first}
    with db.session() as session, pytest.raises(NoSite):
        session.exec(select(ApiKey)).all()
