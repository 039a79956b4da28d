"""Bad requests to the management side."""

from typing import Any

from tests.contract.bad import Bad

FORM = "application/x-www-form-urlencoded"
"""What `curl -d` says of a body unless it is told otherwise."""
NO_ID = "0198c0de-0000-7000-8000-000000000000"
HUGE = b'{"products":[{"product_id":"p","price":1' + b"0" * 5000 + b"}]}"
DEEP = b'{"attributes":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def product(fault: str, code: str = "invalid", **change: Any) -> Bad:
    row = {"product_id": "p", **change}
    return Bad("PUT", "/v1/products", 422, code, json={"products": [row]}, fault=fault)


def site(code: str, fault: str, **change: Any) -> Bad:
    return Bad("PATCH", "/v1/site", 422, code, json=change, fault=fault)


def customer(code: str, fault: str | None, raw: bytes | None = None, **body: Any) -> Bad:
    return Bad("PUT", "/v1/customers/u", 422, code, json=None if raw else body, raw=raw, fault=fault)


CUSTOMERS = [
    customer("invalid", "$.attributes", attributes=[1]),
    customer("invalid", "$.attribute", attribute={"a": 1}),
    customer("bad_time_zone", "$.time_zone", time_zone="Mars/Olympus"),
    customer("invalid", "$.time_zone", time_zone=7),
    customer("invalid", "$.attributes", attributes={"": 1}),
    customer("invalid", "$.attributes", attributes={"x" * 256: 1}),
    customer("invalid", "$.attributes.a", attributes={"a": "\0"}),
    customer("invalid", "$.attributes.a[0]", attributes={"a": ["\ud800"]}),
    customer("invalid", "$.attributes", attributes={"\ud800": 1}),
    customer("too_many_attributes", "$.attributes", attributes={f"a{number}": 1 for number in range(301)}),
    customer("invalid", "$.attributes.a", raw=b'{"attributes":{"a":NaN}}'),
    customer("invalid", "$.attributes.a", raw=b'{"attributes":{"a":1e999}}'),
    customer("invalid", "$.attributes.a", raw=b'{"attributes":{"a":' + b"9" * 100 + b"}}"),
    Bad("PUT", "/v1/customers/u", 400, "bad_request", raw=DEEP),
    Bad("PUT", "/v1/customers/" + "u" * 256, 422, "invalid", json={}, fault="path:external_id"),
    Bad("PUT", "/v1/customers/%00", 422, "invalid", json={}, fault="path:external_id"),
    Bad("GET", "/v1/customers/nobody", 404, "no_such_customer"),
    Bad("GET", "/v1/customers/nobody/timeline", 404, "no_such_customer"),
    Bad("GET", "/v1/customers/nobody/export", 404, "no_such_customer"),
    Bad("DELETE", "/v1/customers/nobody", 404, "no_such_customer"),
    Bad("DELETE", "/v1/customers?anonymous_id=nobody", 404, "no_such_customer"),
    Bad("DELETE", "/v1/customers?anonymous_id=%00", 422, "invalid", fault="query:anonymous_id"),
    Bad("DELETE", "/v1/customers", 422, "invalid", fault="query:anonymous_id"),
    Bad("GET", "/v1/customers?cursor=WyJhIl0", 400, "bad_cursor"),
    Bad("GET", "/v1/customers?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", 400, "bad_cursor"),
    Bad("GET", "/v1/customers?cursor=ő", 400, "bad_cursor"),
    Bad("GET", "/v1/events?cursor=WyIyMDI2LTAxLTAxIiwxXQ", 400, "bad_cursor"),
    Bad("GET", "/v1/events?cursor=" + "Ww" * 999, 400, "bad_cursor"),
    Bad("GET", "/v1/events?limit=501", 422, "invalid", fault="query:limit"),
    Bad("GET", "/v1/events?external_id=nobody", 404, "no_such_customer"),
]
PRODUCTS = [
    Bad("PUT", "/v1/products", 422, "invalid", json={"products": []}, fault="$.products"),
    Bad("PUT", "/v1/products", 422, "invalid", json={"products": {"product_id": "p"}}, fault="$.products"),
    Bad("PUT", "/v1/products", 422, "invalid", json={"products": [{"name": "x"}]}, fault="$.products[0].product_id"),
    Bad(
        "PUT",
        "/v1/products",
        422,
        "duplicate_product",
        json={"products": [{"product_id": "p"}] * 2},
        fault="$.products[1].product_id",
    ),
    Bad(
        "PUT",
        "/v1/products",
        422,
        "invalid",
        json={"products": [{"product_id": str(n)} for n in range(1001)]},
        fault="$.products",
    ),
    Bad("PUT", "/v1/products", 400, "bad_request", raw=HUGE),
    Bad("PUT", "/v1/products", 413, "too_large", raw=b" " * (8 * 1024 * 1024 + 1)),
    product("$.products[0].price", price="9.99"),
    product("$.products[0].price", price=-1),
    product("$.products[0].price", price=True),
    product("$.products[0].price", price=1e300),
    product("$.products[0].price", price=0.1234567),
    product("$.products[0].price", price=123456789012.1234),
    Bad(
        "PUT",
        "/v1/products",
        422,
        "invalid",
        raw=b'{"products":[{"product_id":"p","price":NaN}]}',
        fault="$.products[0].price",
    ),
    product("$.products[0].stock", stock=-1),
    product("$.products[0].stock", stock=2**31),
    product("$.products[0].stock", stock=1.5),
    product("$.products[0].lifespan_days", lifespan_days=0),
    product("$.products[0].product_id", product_id=7),
    product("$.products[0].product_id", product_id=""),
    product("$.products[0].name", name="a\0b"),
    product("$.products[0].name", name="x" * 501),
    product("$.products[0].url", url="javascript:alert(1)"),
    product("$.products[0].url", url="/p/1"),
    product("$.products[0].colour", colour="red"),
    Bad("GET", "/v1/products/none", 404, "no_such_product"),
    Bad("GET", "/v1/products/none?history=-1", 422, "invalid", fault="query:history"),
    Bad("GET", "/v1/products/%00", 422, "unstorable_value"),
]
SITES = [
    site("bad_origin", "$.origins[1]", origins=["https://a.example", "https://a.example/path"]),
    site("bad_origin", "$.origins[0]", origins=["http://shop.example"]),
    site("bad_origin", "$.origins[0]", origins=["https://a:99999999"]),
    site("bad_origin", "$.origins[0]", origins=["https://["]),
    site("invalid", "$.origins", origins=[]),
    site("invalid", "$.name", name=" "),
    site("invalid", "$.name", name=None),
    site("bad_time_zone", "$.time_zone", time_zone="../../etc/passwd"),
    site("bad_retention", "$.retention.default", retention={"default": "soon"}),
    site("bad_retention", "$.retention.default", retention={"default": "1h"}),
    site("bad_retention", "$.retention.default", retention={"default": "99999999d"}),
    site("bad_retention", '$.retention.events["Completed Order"]', retention={"events": {"Completed Order": "30d"}}),
    site("invalid", "$.retention.events.A", retention={"events": {"A": 30}}),
    site("invalid", "$.retention.days", retention={"days": 3}),
    site("invalid", "$.retention", retention="30d"),
    site("bad_currency", "$.currency", currency="euro"),
    site("bad_contact", "$.contact", contact="me"),
    site("invalid", "$.identity_verification", identity_verification="yes"),
    site("invalid", "$.prompt.title", prompt={"title": "x" * 101}),
    site("invalid", "$.prompt.colour", prompt={"colour": "red"}),
    Bad("POST", "/v1/site/keys", 422, "invalid", json={"name": "k", "scopes": []}, fault="$.scopes"),
    Bad("POST", "/v1/site/keys", 422, "invalid", json={"name": "k", "scopes": ["all"]}, fault="$.scopes[0]"),
    Bad("DELETE", "/v1/site/keys/none", 404, "no_such_key"),
    Bad("DELETE", "/v1/site/vapid-keys/none", 404, "no_such_vapid_key"),
    Bad("DELETE", "/v1/site/vapid-keys/ő", 404, "no_such_vapid_key"),
    Bad("DELETE", "/v1/site/vapid-keys/AAAA?lose_subscriptions=-1", 422, "invalid", fault="query:lose_subscriptions"),
]


def rule(fault: str, where: Any, **more: Any) -> Bad:
    body = {"name": "s", "rule": {"version": 1, "where": where, **more}}
    return Bad("POST", "/v1/segments", 422, "invalid_rule", json=body, fault=fault)


def campaign(fault: str, code: str = "invalid", **change: Any) -> Bad:
    notification = {"title": "Hi", "url": "https://shop.example", **change.pop("notification", {})}
    body = {"name": "c", "audience": {"include": [NO_ID]}, "variants": [{"notification": notification}], **change}
    return Bad("POST", "/v1/campaigns", 422, code, json=body, fault=fault)


BOUGHT = {"event": "Order Completed"}
AT = "$.rule.where"
SEGMENTS = [
    rule(AT, 7),
    rule(AT, {}),
    rule(AT, {"some": []}),
    rule(f"{AT}.all", {"all": {}}),
    rule(f"{AT}.all[1]", {"all": [BOUGHT, "x"]}),
    rule(f"{AT}.all[0].event", {"all": [{"event": 7}]}),
    rule(f"{AT}.not.not.event", {"not": {"not": {"event": None}}}),
    rule(f"{AT}.count.gte", BOUGHT | {"count": {"gte": "3"}}),
    rule(f"{AT}.count", BOUGHT | {"count": {}}),
    rule(f"{AT}.sum", BOUGHT | {"count": {"gte": 1}, "sum": {"of": "revenue", "gte": 1}}),
    rule(f"{AT}.within", BOUGHT | {"within": "a while"}),
    rule(f"{AT}.within", BOUGHT | {"within": "-3d"}),
    rule(f"{AT}.within", BOUGHT | {"within": "999999999999999w"}),
    rule(f"{AT}.from", BOUGHT | {"from": "yesterday"}),
    rule(f"{AT}.colour", BOUGHT | {"colour": "red"}),
    rule(f"{AT}.where.category.like", BOUGHT | {"where": {"category": {"like": "dog"}}}),
    rule(f"{AT}.sum.of", BOUGHT | {"sum": {"gte": 1}}),
    rule(f"{AT}.last.before", BOUGHT | {"last": {"before": 30}}),
    rule(AT, {"attribute": "country"}),
    rule(f"{AT}.ne", {"attribute": "country", "eq": "HU", "ne": "NO"}),
    rule(f"{AT}.in", {"attribute": "country", "in": "HU"}),
    rule(f"{AT}.between", {"attribute": "age", "between": [1]}),
    rule(f"{AT}.eq", {"attribute": "country", "eq": "\0"}),
    rule(f"{AT}.eq", {"attribute": "country", "eq": "\ud800"}),
    rule(f"{AT}.gte", {"attribute": "age", "gte": 1e308 * 10}),
    rule(f"{AT}.segment", {"segment": NO_ID}),
    rule(f"{AT}.segment", {"segment": "none"}),
    rule(f"{AT}.message.campaign", {"message": {"campaign": NO_ID, "outcome": "shown"}}),
    rule(f"{AT}.message.campaign", {"message": {"campaign": {}, "outcome": "shown"}}),
    rule(f"{AT}.message.outcome", {"message": {"outcome": {}}}),
    rule(f"{AT}.subscription.browser.eq", {"subscription": {"browser": {"eq": "\0"}}}),
    rule(f"{AT}.topic", {"topic": 5}),
    rule(f"{AT}.sample.percent", {"sample": {"percent": 101, "salt": "x"}}),
    rule("$.rule.colour", {"all": []}, colour="red"),
    rule(f"{AT}.rank.top_percent", {"rank": {"by": BOUGHT}}),
    Bad(
        "POST",
        "/v1/segments",
        422,
        "invalid_rule",
        json={"name": "s", "rule": {"version": 2, "where": {"all": []}}},
        fault="$.rule.version",
    ),
    Bad(
        "POST",
        "/v1/segments",
        422,
        "invalid_rule",
        json={"name": "s", "rule": {"where": {"all": []}}},
        fault="$.rule.version",
    ),
    Bad("POST", "/v1/segments", 422, "invalid_rule", json={"name": "s", "rule": None}, fault="$.rule"),
    Bad(
        "POST",
        "/v1/segments",
        422,
        "invalid",
        json={"name": "", "rule": {"version": 1, "where": {"all": []}}},
        fault="$.name",
    ),
    Bad(
        "POST",
        "/v1/segments",
        422,
        "invalid",
        json={"name": "\ud800", "rule": {"version": 1, "where": {"all": []}}},
        fault="$.name",
    ),
    Bad(
        "POST",
        "/v1/segments/estimate",
        422,
        "invalid_rule",
        json={"rule": {"version": 1, "where": {"all": 1}}},
        fault="$.rule.where.all",
    ),
    Bad(
        "POST",
        "/v1/segments/estimate",
        422,
        "invalid",
        json={"rule": {"version": 1, "where": {"all": []}}, "at": "noon"},
        fault="$.at",
    ),
    Bad(
        "POST",
        "/v1/segments/estimate",
        400,
        "bad_request",
        raw=b'{"rule":{"version":1,"where":' + b'{"not":' * 5000 + b"{}" + b"}" * 5002,
    ),
    Bad(
        "POST",
        "/v1/segments/estimate",
        422,
        "invalid",
        raw=b'{"rule":{"version":1,"where":' + b'{"not":' * 500 + b'{"all":[]}' + b"}" * 502,
    ),
    Bad("GET", f"/v1/segments/{NO_ID}", 404, "no_such_segment"),
    Bad("GET", "/v1/segments/none", 404, "no_such_segment"),
    Bad("GET", f"/v1/segments/{NO_ID}/members", 404, "no_such_segment"),
    Bad("GET", f"/v1/segments/{NO_ID}/explain/u1", 404, "no_such_segment"),
    Bad("GET", "/v1/segments/none/explain/a/b", 404, "no_such_segment"),
    Bad("PATCH", f"/v1/segments/{NO_ID}", 404, "no_such_segment", json={"name": "x"}),
    Bad("DELETE", f"/v1/segments/{NO_ID}", 404, "no_such_segment"),
    Bad("GET", "/v1/segments?cursor=x", 400, "bad_cursor"),
    Bad("GET", "/v1/customers/nobody/segments", 404, "no_such_customer"),
]
PUSH_SERVICES = [
    Bad("GET", "/v1/push-services", 401, "secret_key_needed", key="public"),
    Bad("POST", "/v1/push-services/resume", 422, "invalid", json={"origin": 7}, fault="$.origin"),
    Bad("POST", "/v1/push-services/resume", 422, "invalid", json={"origins": []}, fault="$.origins"),
]
CAMPAIGNS = [
    campaign("$.audience.include[0]", "unknown_segment"),
    campaign("$.audience.include[0]", "unknown_segment", audience={"include": ["none"]}),
    campaign("$.audience.include", audience={"include": []}),
    campaign("$.variants", variants=[]),
    campaign(
        "$.variants[0].weight", variants=[{"weight": -1, "notification": {"title": "t", "url": "https://a.example"}}]
    ),
    campaign("$.variants[0].notification.title", notification={"title": ""}),
    campaign("$.variants[0].notification.title", notification={"title": "{{ customer.name"}),
    campaign("$.variants[0].notification.title", notification={"title": "{% include 'x' %}"}),
    campaign("$.variants[0].notification.url", notification={"url": "javascript:1"}),
    campaign("$.variants[0].notification.colour", notification={"colour": "red"}),
    campaign("$.variants[0].notification.data", notification={"data": [1]}),
    campaign("$.ttl", ttl=-1),
    campaign("$.ttl", ttl=10**12),
    campaign("$.ttl", ttl="60"),
    campaign("$.urgency", urgency="urgent"),
    campaign("$.topic", topic="ő"),
    campaign("$.holdout_percent", holdout_percent=101),
    campaign("$.schedule", schedule={}),
    campaign("$.schedule", schedule="tomorrow"),
    campaign("$.schedule.at", schedule={"at": "tomorrow"}),
    campaign("$.schedule.local_time", schedule={"local_time": "9 o'clock"}),
    campaign("$.schedule.best_time", schedule={"best_time": "yes"}),
    campaign("$.schedule.rrule", schedule={"rrule": "FREQ=SECONDLY"}),
    campaign("$.name", name=" "),
    campaign("$.guards.not_bought", guards={"not_bought": False}),
    campaign("$.guards.not_bought", guards={"not_bought": 1}),
    campaign("$.guards.not_bought", guards={"not_bought": []}),
    campaign("$.guards.not_bought[1]", guards={"not_bought": ["p1", 1]}),
    campaign("$.experiment.test_percent", experiment={"test_percent": "20"}),
    campaign("$.experiment.test_percent", experiment={"test_percent": True}),
    campaign("$.experiment.confidence", experiment={"confidence": "0.9"}),
    Bad("POST", "/v1/campaigns", 400, "not_json", raw=b'{"name":"c"}', headers={"Content-Type": FORM}),
    Bad("POST", "/v1/campaigns", 400, "not_json", raw=b'{"name":"c"}', headers={"Content-Type": ""}),
    Bad("POST", "/v1/campaigns", 422, "invalid", headers={"Content-Type": FORM}, fault="$"),
    Bad("GET", f"/v1/campaigns/{NO_ID}", 404, "no_such_campaign"),
    Bad("GET", "/v1/campaigns/none", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/preview", 404, "no_such_campaign", json={}),
    Bad("POST", f"/v1/campaigns/{NO_ID}/send", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/send", 422, "invalid", json={"at": "2030-01-01T09:00:00Z"}, fault="$.at"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/schedule", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/schedule", 422, "invalid", json={"at": 7}, fault="$.at"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/pause", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/resume", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/cancel", 404, "no_such_campaign"),
    Bad("PATCH", f"/v1/campaigns/{NO_ID}", 404, "no_such_campaign", json={"name": "x"}),
    Bad("PATCH", f"/v1/campaigns/{NO_ID}", 422, "invalid", json=[1], fault="$"),
    Bad("DELETE", f"/v1/campaigns/{NO_ID}", 404, "no_such_campaign"),
    Bad("POST", f"/v1/campaigns/{NO_ID}/test", 404, "no_such_campaign", json={"customer": "u"}),
    Bad("POST", f"/v1/campaigns/{NO_ID}/test", 422, "invalid", json={"customer": 7}, fault="$.customer"),
    Bad("GET", f"/v1/campaigns/{NO_ID}/report", 404, "no_such_campaign"),
    Bad("GET", f"/v1/campaigns/{NO_ID}/deliveries", 404, "no_such_campaign"),
    Bad("GET", f"/v1/campaigns/{NO_ID}/deliveries?state=lost", 422, "invalid", fault="query:state"),
    Bad("GET", "/v1/campaigns?cursor=W10", 400, "bad_cursor"),
]
