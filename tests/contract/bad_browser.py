"""Bad requests to the browser side, and with bad keys."""

from typing import Any

from tests.contract.bad import Bad

ENDPOINT = "https://fcm.googleapis.com/fcm/send/x"
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
OFF_CURVE = "BA" + "A" * 85
NESTED = b"[" * 9000 + b"]" * 9000
RECEIPT = {"delivery": "x", "kind": "shown", "at": "2026-01-01T00:00:00Z"}


def sub(**change: Any) -> dict[str, Any]:
    """A good opt-in with something in it changed; `keys` merge."""
    keys = {"p256dh": POINT, "auth": AUTH, **change.pop("keys", {})}
    subscription = {"endpoint": ENDPOINT, "expirationTime": None, "keys": keys, **change.pop("subscription", {})}
    return {"subscription": subscription, "anonymousId": "a", **change}


def opt_in(code: str, fault: str | None, status: int = 422, **change: Any) -> Bad:
    return Bad("POST", "/v1/subscriptions", status, code, json=sub(**change), key="public", fault=fault)


def prefer(code: str, fault: str | None, status: int = 422, **change: Any) -> Bad:
    body = {"endpoint": ENDPOINT, **change}
    return Bad("PUT", "/v1/preferences", status, code, json=body, key="public", fault=fault)


def browser(path: str, code: str, fault: str | None, status: int = 422, raw: bytes | None = None, **body: Any) -> Bad:
    return Bad("POST", path, status, code, json=None if raw else body, raw=raw, key="public", fault=fault)


def track(code: str, fault: str | None = None, status: int = 422, raw: bytes | None = None, **change: Any) -> Bad:
    return browser("/v1/track", code, fault, status, raw, **{"event": "E", "anonymousId": "a", **change})


def order(fault: str, **properties: Any) -> Bad:
    return track("invalid_event", fault, event="Order Completed", properties={"order_id": "o", **properties})


KEYS = [
    Bad("GET", "/v1/site", 401, "no_key", key=None),
    Bad("GET", "/v1/site", 401, "unknown_key", key="Bearer sk_nothing"),
    Bad("GET", "/v1/site", 401, "secret_key_needed", key="public"),
    Bad("GET", "/v1/site", 401, "bad_credentials", key="Basic ***"),
    Bad("GET", "/v1/site", 401, "no_key", key="Digest abc"),
    Bad("GET", "/v1/site", 401, "unknown_key", key="Bearer pk_ő".encode().decode("latin-1")),
    Bad("POST", "/v1/subscriptions", 401, "no_key", json=sub(), key=None),
    Bad("POST", "/v1/subscriptions", 401, "unknown_key", json=sub(writeKey="pk_no"), key=None),
    Bad("POST", "/v1/subscriptions", 401, "unknown_key", json=sub(writeKey="sk_no"), key=None),
    Bad("POST", "/v1/track", 401, "no_key", json={"event": "E", "anonymousId": "a"}, key=None),
    Bad("GET", "/v1/sdk/config?key=pk_no", 401, "unknown_key", key=None),
    Bad(
        "POST",
        "/v1/subscriptions",
        403,
        "origin_not_allowed",
        json=sub(),
        key="public",
        headers={"Origin": "https://x.example"},
    ),
    Bad("POST", "/v1/subscriptions", 403, "origin_not_allowed", json=sub(), key="public", headers={"Origin": "null"}),
    Bad("GET", "/v1/nothing", 404, "no_such_path"),
    Bad("GET", "/v1/track", 405, "method_not_allowed", key="public"),
    Bad("PATCH", "/v1/customers/u", 405, "method_not_allowed"),
    Bad(
        "POST",
        "/v1/site/keys",
        400,
        "bad_idempotency_key",
        json={"name": "k", "scopes": ["*"]},
        headers={"Idempotency-Key": "x" * 256},
    ),
]
SUBSCRIPTIONS = [
    Bad("POST", "/v1/subscriptions", 422, "invalid", key="public", fault="$"),
    Bad("POST", "/v1/subscriptions", 400, "malformed_json", raw=b'{"subscription":', key="public"),
    Bad("POST", "/v1/subscriptions", 400, "malformed_json", raw=b"\xff\xfe", key="public"),
    Bad("POST", "/v1/subscriptions", 422, "invalid", json=[1], key="public", fault="$"),
    Bad("POST", "/v1/subscriptions", 422, "invalid", json={}, key="public", fault="$.subscription"),
    Bad("POST", "/v1/subscriptions", 413, "too_large", json=sub(context={"x": "y" * 40_000}), key="public"),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": "https://evil.example/x"}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": "http://fcm.googleapis.com/x"}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": "https://169.254.169.254/latest"}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": "https://fcm.googleapis.com@evil.example/"}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": ENDPOINT + "\ud800"}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": None}),
    opt_in("invalid", "$.subscription.endpoint", subscription={"endpoint": ENDPOINT + "x" * 5000}),
    opt_in("invalid", "$.subscription.expirationTime", subscription={"expirationTime": "soon"}),
    opt_in("invalid", "$.subscription.keys.p256dh", keys={"p256dh": POINT[:-4]}),
    opt_in("invalid", "$.subscription.keys.p256dh", keys={"p256dh": OFF_CURVE}),
    opt_in("invalid", "$.subscription.keys.p256dh", keys={"p256dh": "ő"}),
    opt_in("invalid", "$.subscription.keys.p256dh", keys={"p256dh": 7}),
    opt_in("invalid", "$.subscription.keys.auth", keys={"auth": "AAAA"}),
    opt_in("invalid", "$.subscription.keys.auth", keys={"auth": None}),
    opt_in("invalid", "$.anonymousId", anonymousId=""),
    opt_in("invalid", "$.anonymousId", anonymousId=7),
    opt_in("invalid", "$.anonymousId", anonymousId="a\0"),
    opt_in("invalid", "$.userId", userId="u" * 256),
    opt_in("invalid", "$.topics", topics="sales"),
    opt_in("invalid", "$.topics[1]", topics=["sales", ""]),
    opt_in("invalid", "$.topics", topics=["t"] * 51),
    opt_in("invalid", "$.context", context="hu"),
    opt_in("no_identity", "$.anonymousId", anonymousId=None),
    opt_in("unknown_application_server_key", "$.applicationServerKey", applicationServerKey=POINT),
    opt_in("invalid", "$.previousEndpoint", previousEndpoint="\ud800"),
    Bad("DELETE", "/v1/subscriptions", 422, "invalid", json={}, key="public", fault="$.endpoint"),
    Bad("DELETE", "/v1/subscriptions", 422, "invalid", json={"endpoint": 1}, key="public", fault="$.endpoint"),
    prefer("invalid", "$.endpoint", endpoint=None),
    prefer("invalid", "$.endpoint", endpoint="x" * 5000),
    prefer("invalid", "$.endpoint", endpoint="\ud800"),
    prefer("invalid", "$.topics", topics="sales"),
    prefer("invalid", "$.topics[1]", topics=["sales", 5]),
    prefer("invalid", "$.topics[0]", topics=["a\0"]),
    prefer("invalid", "$.topics", topics=["t"] * 51),
    prefer("invalid", "$.snoozeUntil", snoozeUntil=1800000000),
    prefer("invalid", "$.snoozeUntil", snoozeUntil="tomorrow"),
    prefer("invalid", "$.snoozeUntil", snoozeUntil="2026-01-31T09:00:00"),
    prefer("invalid", "$.snoozeUntil", snoozeUntil="9999-12-31T23:59:59-12:00"),
    prefer("invalid", "$.snoozeUntil", snoozeUntil="0001-01-01T00:00:00+12:00"),
    prefer("no_such_subscription", None, 404),
    prefer("no_such_subscription", None, 404, endpoint="\0"),
    Bad("PUT", "/v1/preferences", 422, "invalid", json=[], key="public", fault="$"),
    Bad("PUT", "/v1/preferences", 400, "malformed_json", raw=b"{", key="public"),
    Bad("PUT", "/v1/preferences", 401, "no_key", json={"endpoint": ENDPOINT}, key=None),
    Bad("PUT", "/v1/preferences", 401, "unknown_key", json={"endpoint": ENDPOINT, "writeKey": "pk_no"}, key=None),
    Bad("GET", "/v1/preferences", 422, "invalid", key="public", fault="query:endpoint"),
    Bad("GET", f"/v1/preferences?endpoint={ENDPOINT}", 404, "no_such_subscription", key="public"),
    Bad("GET", f"/v1/preferences?endpoint={ENDPOINT}", 401, "no_key", key=None),
    Bad("GET", f"/v1/preferences?endpoint={ENDPOINT}&key=pk_no", 401, "unknown_key", key=None),
    Bad("GET", "/v1/preferences?endpoint=%00", 404, "no_such_subscription", key="public"),
    Bad("GET", f"/v1/preferences?endpoint={'x' * 5000}", 422, "invalid", key="public", fault="query:endpoint"),
    Bad("GET", "/v1/subscriptions", 401, "secret_key_needed", key="public"),
    Bad("GET", "/v1/subscriptions?state=asleep", 422, "invalid", fault="query:state"),
    Bad("GET", "/v1/subscriptions?limit=0", 422, "invalid", fault="query:limit"),
    Bad("GET", "/v1/subscriptions?limit=1e9", 422, "invalid", fault="query:limit"),
    Bad("GET", "/v1/subscriptions?cursor=zzz", 400, "bad_cursor"),
    Bad("GET", "/v1/subscriptions?external_id=%00", 422, "unstorable_value"),
]
EVENTS = [
    track("malformed_json", status=400, raw=b"{"),
    track("malformed_json", status=400, raw=b"\xff"),
    track("malformed_json", status=400, raw=b'{"event":"E","anonymousId":"a","properties":{"a":"\\ud800"}}'),
    track("malformed_json", status=400, raw=b'{"event":"E","anonymousId":"a","properties":{"a":NaN}}'),
    track("invalid", "$", raw=b"[]"),
    track("invalid", "$.event", event=""),
    track("invalid", "$.anonymousId", anonymousId=1),
    track("invalid", "$.timestamp", timestamp="yesterday"),
    track("invalid", "$.timestamp", timestamp="9999-99-99T00:00:00Z"),
    track("invalid_event", "$", anonymousId=None),
    track("invalid_event", "$.event", event=None),
    track("invalid_event", "$.anonymousId", anonymousId="a\0"),
    track("invalid_event", "$.properties", properties=[1]),
    track("invalid_event", "$.properties.a", properties={"a": "\0"}),
    track("invalid_event", "$.properties", raw=b'{"event":"E","anonymousId":"a","properties":{"a":1e999}}'),
    track("malformed_json", None, 400, raw=b'{"event":"E","anonymousId":"a","properties":{"a":' + NESTED + b"}}"),
    track("body_too_large", None, 413, properties={"a": "x" * 33_000}),
    order("$.properties.revenue", revenue="9"),
    order("$.properties.revenue", revenue=1e300),
    order("$.properties.products", products=1),
    browser("/v1/identify", "invalid_event", "$", traits={}),
    browser("/v1/identify", "invalid_event", "$.traits", userId="u", traits="tall"),
    browser("/v1/alias", "invalid_event", "$.previousId", userId="u"),
    browser("/v1/page", "invalid", "$.name", name=7, anonymousId="a"),
    browser("/v1/batch", "invalid", "$.batch", batch={}),
    browser("/v1/batch", "invalid", "$"),
    browser("/v1/batch", "invalid_event", "$.batch[0].type", batch=[{"type": "dance", "anonymousId": "a"}]),
    browser("/v1/receipts", "invalid", "$.receipts", receipts=[]),
    browser("/v1/receipts", "bad_receipts", "$.receipts[0].delivery", receipts=[RECEIPT]),
    browser("/v1/receipts", "invalid", "$.receipts[0].kind", receipts=[RECEIPT | {"kind": "eaten"}]),
    browser("/v1/receipts", "invalid", "$.receipts[0].delivery", receipts=[RECEIPT | {"delivery": "\ud800"}]),
    browser("/v1/receipts", "invalid", "$.receipts[0].at", receipts=[RECEIPT | {"at": 1}]),
    browser("/v1/receipts", "invalid", "$.receipts[0].at", receipts=[RECEIPT | {"at": "2026-01-01T00:00:00"}]),
    Bad("GET", "/v1/sdk/config", 422, "invalid", key=None, fault="query:key"),
    Bad("GET", "/v1/sdk/config?key=pk_no", 401, "unknown_key", key=None),
]
