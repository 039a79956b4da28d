"""From decoded messages to what is stored: who, what, when; everything that can be refused is refused here."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from push_server import errors
from push_server.errors import Fault
from push_server.events.followers import follower_of
from push_server.events.money import LIMIT, micros
from push_server.events.orders import MAX_TEXT, ORDER_EVENTS, OrderFact, read_order
from push_server.events.wire import MAX_FAULTS, TYPES, Batch, Message, text_faults
from push_server.fields import json_faults
from push_server.sites.access import Principal, verify_user
from push_server.sites.retention import Retention, retention_of
from push_server.sites.service import is_time_zone
from segments.names import canonical

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Times are microseconds since here, as PostgreSQL keeps them."""
PAGE_VIEWED = "Page Viewed"

_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(1970, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
_LATEST = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Item(msgspec.Struct, gc=False):
    """One accepted message. `name` is the event's, None for identify and alias; `key` is what makes it unique."""

    key: bytes
    message_id: str | None
    external_id: str | None
    anonymous_id: str | None
    ts: int
    name: str | None = None
    properties: bytes = b"{}"
    context: bytes | None = None
    value: int | None = None
    product_id: str | None = None
    category: str | None = None
    order: OrderFact | None = None
    fact: Any = None
    link: bool = False
    traits: dict[str, Any] | None = None
    time_zone: str | None = None


class _Context(msgspec.Struct, gc=False):
    stored: bytes | None = None
    time_zone: str | None = None
    user_hash: str | None = None


def micros_since_epoch(instant: datetime) -> int:
    """The instant as microseconds since EPOCH; without a zone it is UTC."""
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH) // _MICROSECOND


def accept(batch: Batch, body: bytes, kind: str, principal: Principal, received: int) -> list[Item]:
    """The items of a request, all or none. 422 with every fault's path; 403 for what this key may not send."""
    reader = _Reader(batch, principal, received)
    faults = text_faults(body) or reader.faults
    if not faults:
        for at, message in enumerate(batch.batch):
            reader.read(message, f"$.batch[{at}]" if kind == "batch" else "$")
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise errors.Invalid(
            "Nothing was stored, since some of it is not as the API wants it; `errors` names each place.",
            code="invalid_event",
            faults=faults[:MAX_FAULTS],
        )
    return reader.items


class _Reader:
    def __init__(self, batch: Batch, principal: Principal, received: int) -> None:
        self.principal, self.received = principal, received
        self.sent_at = None if batch.sent_at is None else micros_since_epoch(batch.sent_at)
        self.items: list[Item] = []
        self.faults: list[Fault] = []
        self.contexts: dict[bytes, _Context] = {}
        self.shared: dict[str, Any] | None = None
        self.shared = self._object(bytes(batch.context), "$.context") or None
        assert principal.site.id is not None
        self.site_hash = hashlib.blake2b(principal.site.id.to_bytes(8, "big"), digest_size=16)
        self.guarded = not principal.secret and principal.site.secret_orders_only
        self.verified = not principal.secret and principal.site.identity_verification
        retention = retention_of(principal.site)
        self.retention = retention if retention.is_any else None

    def read(self, message: Message, path: str) -> None:
        context = self._context(bytes(message.context), path)
        if self.verified and message.user_id is not None:
            verify_user(self.principal, message.user_id, message.user_hash or context.user_hash)
        message_id = message.message_id
        if message_id is None:
            key = os.urandom(16)
        else:
            digest = self.site_hash.copy()
            digest.update(message_id.encode())
            key = digest.digest()
        item = Item(key, message_id, message.user_id, message.anonymous_id, self._when(message, path))
        item.context, item.time_zone = context.stored, context.time_zone
        kind = message.type
        if kind == "alias":
            self._alias(item, message, path)
        elif item.external_id is None and item.anonymous_id is None:
            self.faults.append(Fault(path, "needs a userId or an anonymousId", "missing"))
        elif kind == "track" or kind == "page":
            self._event(item, message, path)
        elif kind == "identify":
            self._identify(item, message, path)
        else:
            self.faults.append(Fault(f"{path}.type", f"must be one of {', '.join(TYPES)}", "unknown_type"))
        if self.retention is None or not _is_past(item, self.retention, self.received):
            self.items.append(item)

    def _event(self, item: Item, message: Message, path: str) -> None:
        raw = bytes(message.properties)
        properties = self._object(raw, f"{path}.properties")
        item.properties = raw if properties else b"{}"
        if message.type == "page":
            name = PAGE_VIEWED
            if message.name is not None:
                properties.setdefault("name", message.name)
                item.properties = _encode(properties)
        else:
            if message.event is None:
                self._fault(f"{path}.event", "is missing: the event's name", "missing")
                return
            name = canonical(message.event)
        item.name = name
        if self.guarded and name.startswith(("Order ", "Loyalty ")):
            raise errors.Forbidden(
                f"This site takes {name!r} by its secret key only ({path}).", code="secret_key_needed_for_orders"
            )
        if name in ORDER_EVENTS:
            item.order = read_order(
                name, item.properties, message.message_id or item.key.hex(), f"{path}.properties", self.faults
            )
        follower = follower_of(name)
        if follower is not None:
            own_id, zone = message.message_id or item.key.hex(), self.principal.site.time_zone
            item.fact = follower.read(name, properties, own_id, zone, f"{path}.properties", self.faults)
        if properties:
            self._columns(item, properties, path)

    def _columns(self, item: Item, properties: dict[str, Any], path: str) -> None:
        for name in ("revenue", "total", "value"):
            number = properties.get(name)
            if number is not None:
                if type(number) is int or type(number) is float:
                    try:
                        item.value = micros(number)
                    except ValueError:
                        self._fault(f"{path}.properties.{name}", f"must stay within ±{LIMIT}", "out_of_range")
                break
        product, category = properties.get("product_id"), properties.get("category")
        if type(product) is str:
            item.product_id = product
            if len(product) > MAX_TEXT:
                self._fault(f"{path}.properties.product_id", f"has over {MAX_TEXT} characters", "too_long")
        if type(category) is str:
            item.category = category
            if len(category) > MAX_TEXT:
                self._fault(f"{path}.properties.category", f"has over {MAX_TEXT} characters", "too_long")

    def _identify(self, item: Item, message: Message, path: str) -> None:
        traits = self._object(bytes(message.traits), f"{path}.traits")
        item.traits = traits
        self.faults += json_faults(traits, f"{path}.traits")
        item.link = item.external_id is not None and item.anonymous_id is not None
        zone = traits.get("timezone")
        if isinstance(zone, str) and is_time_zone(zone):
            item.time_zone = zone

    def _alias(self, item: Item, message: Message, path: str) -> None:
        item.anonymous_id, item.link = message.previous_id, True
        for name, value in (("previousId", message.previous_id), ("userId", message.user_id)):
            if value is None:
                self._fault(f"{path}.{name}", "an alias says that previousId is userId: send both", "missing")

    def _when(self, message: Message, path: str) -> int:
        """The client's clock is corrected by what it showed on leaving: receivedAt − (sentAt − timestamp)."""
        if message.timestamp is None:
            return self.received
        ts = micros_since_epoch(message.timestamp)
        sent_at = self.sent_at if message.sent_at is None else micros_since_epoch(message.sent_at)
        if sent_at is not None:
            ts = self.received - (sent_at - ts)
        if not _EARLIEST <= ts < _LATEST:
            self._fault(f"{path}.timestamp", "must lie between 1970 and 2200", "out_of_range")
        return ts

    def _context(self, raw: bytes, path: str) -> _Context:
        found = self.contexts.get(raw)
        if found is None:
            document = self._object(raw, f"{path}.context")
            stored: bytes | None = raw
            if self.shared:
                document = self.shared | document
                stored = _encode(document)
            found = _Context(stored if document else None)
            zone, user_hash = document.get("timezone"), document.get("userHash")
            if isinstance(zone, str) and is_time_zone(zone):
                found.time_zone = zone
            if isinstance(user_hash, str):
                found.user_hash = user_hash
            self.contexts[raw] = found
        return found

    def _object(self, raw: bytes, path: str) -> dict[str, Any]:
        """A free JSON object; null is an empty one. Numbers beyond a double are refused: readers choke on them."""
        try:
            document = _decode(raw)
        except (ValueError, RecursionError) as error:
            self._fault(path, str(error), "out_of_range")
            return {}
        if type(document) is dict:
            return document
        if document is not None:
            self._fault(path, "must be an object", "wrong_type")
        return {}

    def _fault(self, path: str, message: str, code: str) -> None:
        self.faults.append(Fault(path, message, code))


def _is_past(item: Item, retention: Retention, received: int) -> bool:
    """Whether it is older than such events are kept: it would be deleted, and may have been here before."""
    kept = None if item.name is None else retention.of(item.name)
    return kept is not None and item.ts <= received - kept // _MICROSECOND
