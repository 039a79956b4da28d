"""Which of some customers are in which segments: their facts are loaded once, and all rules judged in memory."""

from collections.abc import Collection
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from push_server.audiences.histories import load
from push_server.audiences.program import Program
from push_server.audiences.rules import Thresholds
from push_server.db import SiteSession
from segments.batch import evaluate
from segments.batch_columns import Batch
from segments.history import World, micros
from segments.needs import needs


def judge(
    session: SiteSession,
    program: Program,
    customers: npt.NDArray[np.int64],
    segments: Collection[int],
    at: datetime,
    zone: str,
    borders: Thresholds,
) -> dict[int, npt.NDArray[np.bool_]]:
    """For each of the segments, whether each of the customers (ascending) is in it; `zone` is the site's.

    Of rules that depend on everyone, `borders` has those of all their leaves.
    """
    if not segments:
        return {}
    nodes = {id: program.rules[id].node for id in segments}
    asked = needs(nodes.values(), program.segment, for_truth=True)
    batch = load(session.raw, session.site_id, customers.tolist(), asked, micros(at))
    world = World(zone, program.segment, thresholds=borders)
    if any(program.rules[id].asks_catalogue for id in segments):
        world.categories, world.lifespans = _catalogue(session, batch)
    return evaluate(nodes, batch, world, micros(at))


def _catalogue(session: SiteSession, batch: Batch) -> tuple[dict[str, str | None], dict[str, int]]:
    """Categories and lifespans of what these customers bought."""
    rows = session.sql(_PRODUCTS, {"site": session.site_id, "ids": list(batch.texts.values())}).all()
    lifespans = {row.product_id: row.lifespan_days for row in rows if row.lifespan_days is not None}
    return {row.product_id: row.category for row in rows}, lifespans


_PRODUCTS = text(
    "select product_id, category, lifespan_days from product where site_id = :site and product_id = any(:ids)"
)
