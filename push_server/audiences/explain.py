"""Why a customer is in a segment or not, as of the instant that the segment's members are those of."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import select

from push_server import clock
from push_server.audiences import service
from push_server.audiences.borders import stored_borders
from push_server.audiences.histories import load
from push_server.audiences.rules import SiteRules, evaluation
from push_server.catalog.models import Product
from push_server.customers.models import Customer
from push_server.db import SiteSession
from segments.core import Node, Rank, Rfm
from segments.explain import explain as explain_rule
from segments.history import History, World, micros
from segments.language import ENGLISH, Language
from segments.needs import everything, needs
from segments.sql_thresholds import read_threshold, threshold


class Explanation(NamedTuple):
    """`tree` as `segments.explain` makes it; `member` is its root's truth."""

    member: bool
    at: datetime
    sentence: str
    tree: dict[str, Any]


def explain(session: SiteSession, segment_id: str, customer: Customer, language: Language = ENGLISH) -> Explanation:
    """The rule's tree for one customer; 404 without the segment, 422 when the rule takes too long over everyone."""
    segment = service.fresh_segment(session, segment_id)
    at = max(filter(None, (service.fresh_at(session), segment.fresh_at)), default=clock.now())
    rules = SiteRules(session, language=language)
    rule = rules.parse(segment.rule)
    node = rule.lower()
    history = _history(session, rules, node, customer, at)
    tree = explain_rule(rule, history, _world(session, rules, node, at), at, rules.context)
    return Explanation(tree["truth"], at, rules.sentence(rule), tree)


def _history(session: SiteSession, rules: SiteRules, node: Node, customer: Customer, at: datetime) -> History:
    assert customer.id is not None
    return load(session.raw, session.site_id, [customer.id], needs([node], rules.node), micros(at)).history(0)


def _world(session: SiteSession, rules: SiteRules, node: Node, at: datetime) -> World:
    """What the rule asks of the site: the catalogue only for conditions on order lines."""
    world = World(rules.zone, rules.node)
    borders = [leaf for leaf in everything([node], rules.node) if isinstance(leaf, Rank | Rfm)]
    if borders:
        stored, binding = stored_borders(session, borders), rules.binding()
        with evaluation(session):
            rows = {leaf: session.sql(threshold(leaf, binding, at)).one() for leaf in set(borders) - stored.keys()}
        world.thresholds = {**stored, **{leaf: read_threshold(leaf, row) for leaf, row in rows.items()}}
    if needs([node], rules.node).lines is not None:
        products = session.exec(select(Product.product_id, Product.category, Product.lifespan_days)).all()
        world.categories = {id: category for id, category, _days in products}
        world.lifespans = {id: days for id, _category, days in products if days is not None}
    return world
