"""The calendar: instants, months and days in attributes that rules compare with the current time."""

from collections.abc import Iterable

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Select,
    SmallInteger,
    any_,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from push_server.audiences.models import calendar, calendar_attribute
from push_server.customers.models import Customer
from push_server.db import SiteSession
from segments.sql_dates import as_instant, as_text, is_day, month_and_day


def keep_dates(session: SiteSession, attributes: Iterable[str], zone: str) -> None:
    """From now on the calendar holds these attributes; it is filled for those that are new to it.

    `zone` is the site's, which dates without one are of. The caller holds the site's membership lock.
    """
    known = select(calendar_attribute.c.attribute).where(calendar_attribute.c.site_id == session.site_id)
    for attribute in sorted(set(attributes) - set(session.sql(known).scalars())):
        session.sql(insert(calendar_attribute).values(site_id=session.site_id, attribute=attribute))
        _write(session, attribute, zone, None)


def change_dates(session: SiteSession, customers: list[int], zone: str) -> None:
    """What the attributes of these customers say now; of those who are no more, nothing."""
    known = select(calendar_attribute.c.attribute).where(calendar_attribute.c.site_id == session.site_id)
    for attribute in session.sql(known).scalars().all():
        _write(session, attribute, zone, customers)


def forget_dates(session: SiteSession) -> None:
    """Nothing is held any more: the site's zone is another one, and so are its dates' instants."""
    for table in (calendar, calendar_attribute):
        session.sql(delete(table).where(table.c.site_id == session.site_id))


def _write(session: SiteSession, attribute: str, zone: str, customers: list[int] | None) -> None:
    mine = [calendar.c.site_id == session.site_id, calendar.c.attribute == attribute]
    if customers is not None:
        session.sql(delete(calendar).where(*mine, calendar.c.customer_id == any_(literal(customers, ARRAY(Integer)))))
    session.sql(insert(calendar).from_select(list(calendar.c.keys()), _found(session, attribute, zone, customers)))


def _found(session: SiteSession, attribute: str, zone: str, customers: list[int] | None) -> Select[tuple[object, ...]]:
    value = col(Customer.attributes).op("->")(attribute)
    day = func.replace(month_and_day(as_text(value)), "-", "")
    at, month_day = as_instant(value, zone), case((is_day(value), cast(day, SmallInteger)))
    found = select(
        literal(session.site_id, BigInteger), literal(attribute), col(Customer.id), at.label("at"), month_day
    ).where(
        col(Customer.site_id) == session.site_id,
        col(Customer.attributes).op("?")(attribute),
        or_(at.is_not(None), month_day.is_not(None)),
    )
    return found if customers is None else found.where(col(Customer.id) == any_(literal(customers, ARRAY(Integer))))
