"""Whether a campaign came out right, whatever was done to its shop meanwhile."""

from collections import defaultdict

from tests.integration.sending import Shop


def judge(shop: Shop, campaign: str, title: str, crowd: list[str]) -> None:
    """AssertionError unless each of the crowd's browsers showed the campaign of this title once, and all adds up.

    What came again had the same tag and topic, so it replaced itself.
    """
    states = shop.states(campaign)
    assert states == {"accepted": len(crowd)}, f"{title}: {states} {shop.report(campaign)['reasons']}"
    shown = defaultdict(set)
    for one in list(shop.push.arrived):
        if one.notification["title"] == title:
            shown[one.token].add((one.notification["tag"], one.headers["topic"]))
    assert set(shown) == set(crowd), f"{title}: not everybody got it"
    twice = [token for token, names in shown.items() if len(names) > 1]
    assert not twice, f"{title}: shown more than once by {twice}"
    assert not shop.push.refused, shop.push.refused[:3]


def still_open(shop: Shop, campaigns: list[str]) -> str:
    """Where they hang, for people."""
    with shop.db.connect() as conn:
        dispatches = conn.execute(
            "select id, state, planned_to, due_at from dispatch where site_id = %s and state <> 'done'", [shop.site_id]
        ).fetchall()
        deliveries = conn.execute(
            "select dispatch_id, state, attempts, lapses, min(due_at), max(due_at), count(*) from delivery"
            " where site_id = %s and state in ('queued', 'sending', 'retry') group by 1, 2, 3, 4",
            [shop.site_id],
        ).fetchall()
    states = [(shop.state(campaign), shop.states(campaign)) for campaign in campaigns]
    return f"{states}; dispatches {dispatches}; deliveries {deliveries}"
