"""What the OpenAPI document says of the ingest paths, whose bodies are read without pydantic."""

from typing import Any

from push_server.http import FAULTS

KINDS = ("track", "identify", "page", "alias", "batch")

_ID = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000]+$"}
_TIME = {"type": "string", "format": "date-time"}
_COMMON: dict[str, Any] = {
    "userId": {**_ID, "description": "the shop's own id of the customer"},
    "anonymousId": {**_ID, "description": "the browser's id"},
    "messageId": {**_ID, "description": "a message that comes again under its id is dropped"},
    "timestamp": {**_TIME, "description": "when it happened; without it, when it arrived"},
    "sentAt": {
        **_TIME,
        "description": "the sender's clock on sending: the time is corrected to receivedAt − (sentAt − timestamp)",
    },
    "context": {"type": "object", "description": "`timezone` becomes the customer's; `userHash` vouches for userId"},
    "userHash": {"type": "string", "description": "hex HMAC-SHA256 of userId under the site's identity secret"},
    "writeKey": {"type": "string", "description": "the site's key, when no Authorization header carries it"},
}
_OWN: dict[str, dict[str, Any]] = {
    "track": {"event": {**_ID, "description": "such as Product Viewed; old names are taken for the new ones"}},
    "identify": {"traits": {"type": "object", "description": "merged into the attributes; null takes one away"}},
    "page": {"name": {"type": "string", "maxLength": 1000}},
    "alias": {"previousId": {**_ID, "description": "an anonymous id; its past becomes userId's"}},
}
_OWN["track"]["properties"] = _OWN["page"]["properties"] = {"type": "object"}
_REQUIRED = {"track": ["event"], "alias": ["previousId", "userId"]}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {
        "userId": "u1",
        "event": "Order Completed",
        "messageId": "m-1001",
        "properties": {
            "order_id": "1001",
            "revenue": 25.5,
            "currency": "EUR",
            "products": [{"product_id": "p1", "category": "dog", "price": 12.75, "quantity": 2}],
        },
    },
    "identify": {"userId": "u1", "anonymousId": "b-7f3", "traits": {"country": "HU", "birthday": "1980-02-29"}},
    "page": {"anonymousId": "b-7f3", "name": "Home", "properties": {"url": "https://shop.example/"}},
    "alias": {"previousId": "b-7f3", "userId": "u1"},
}
_WORDS = {
    "track": (
        "Track an event",
        "Orders come from `Order Completed` (value: `revenue`, else `total`, else `value`; lines: `products`), less "
        "`Order Cancelled` and `Order Refunded`; `Order Updated` replaces what it names. An order is taken once: the "
        "same `order_id` again changes nothing. Amounts are numbers, not text.",
    ),
    "identify": (
        "Identify a customer",
        "Traits are merged into the customer's attributes. With both ids, the anonymous customer's past becomes the "
        "known one's, unless the browser's id already stands for another known customer: then it stands for this one "
        "from now on, and nothing moves.",
    ),
    "page": ("Track a page view", "Kept as the event `Page Viewed`, with `name` among its properties."),
    "alias": (
        "Link an anonymous id to a customer",
        "`previousId`'s past becomes `userId`'s, as with identify. Two known customers are never merged.",
    ),
    "batch": ("Several calls at once", "Taken whole or not at all: one fault, and nothing is stored."),
}


def operation(kind: str) -> dict[str, Any]:
    """Keyword arguments of the route of one kind."""
    summary, description = _WORDS[kind]
    body = {"schema": _batch() if kind == "batch" else _message(kind), "example": _example(kind)}
    return {
        "summary": summary,
        "description": description + " 200 means committed to the database.",
        "responses": {
            200: {
                "description": "committed",
                "content": {
                    "application/json": {
                        "schema": {"type": "object", "properties": {"success": {"const": True}}},
                        "example": {"success": True},
                    }
                },
            },
            **FAULTS,
        },
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": body, "text/plain": body}},
        },
    }


def _message(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {**_OWN[kind], **_COMMON}}
    schema["required"] = _REQUIRED.get(kind, [])
    if kind != "alias":
        schema["anyOf"] = [{"required": ["userId"]}, {"required": ["anonymousId"]}]
    return schema


def _batch() -> dict[str, Any]:
    kinds = []
    for kind in _OWN:
        message = _message(kind)
        message["properties"] = {"type": {"const": kind}, **message["properties"]}
        message["required"] = ["type", *message["required"]]
        kinds.append(message)
    shared = {name: _COMMON[name] for name in ("context", "sentAt", "writeKey")}
    return {
        "type": "object",
        "required": ["batch"],
        "properties": {"batch": {"type": "array", "items": {"oneOf": kinds}}, **shared},
    }


def _example(kind: str) -> dict[str, Any]:
    if kind != "batch":
        return _EXAMPLES[kind]
    return {"batch": [{"type": each, **_EXAMPLES[each]} for each in ("track", "identify")]}
