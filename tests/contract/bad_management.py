"""Bad requests to the management side."""

from typing import Any

from tests.contract.bad import Bad

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
    site("bad_currency", "$.currency", currency="euro"),
    site("bad_contact", "$.contact", contact="me"),
    site("invalid", "$.identity_verification", identity_verification="yes"),
    site("invalid", "$.prompt.title", prompt={"title": "x" * 101}),
    site("invalid", "$.prompt.colour", prompt={"colour": "red"}),
    Bad("POST", "/v1/site/keys", 422, "invalid", json={"name": "k", "scopes": []}, fault="$.scopes"),
    Bad("POST", "/v1/site/keys", 422, "invalid", json={"name": "k", "scopes": ["all"]}, fault="$.scopes[0]"),
    Bad("DELETE", "/v1/site/keys/none", 404, "no_such_key"),
]
