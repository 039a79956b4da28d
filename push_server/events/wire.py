"""Segment's message shapes (HTTP Tracking API), decoded by msgspec; every shape fault gets its JSON path."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from push_server import errors
from push_server.errors import Fault

MAX_EVENT = 32 * 1024
MAX_BATCH = 500 * 1024
MAX_FAULTS = 100
TYPES = ("track", "identify", "page", "alias")

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_NOTHING = msgspec.Raw(b"null")


class Message(msgspec.Struct, rename="camel", gc=False):
    """One call of any type. `properties`, `traits` and `context` stay JSON here: most of it is only stored."""

    type: str | None = None
    event: Id | None = None
    name: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    user_id: Id | None = None
    anonymous_id: Id | None = None
    previous_id: Id | None = None
    message_id: Id | None = None
    user_hash: str | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: msgspec.Raw = _NOTHING
    traits: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING


class Batch(msgspec.Struct, rename="camel", gc=False):
    """Several calls, with what they share."""

    batch: list[Message]
    sent_at: datetime | None = None
    context: msgspec.Raw = _NOTHING


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: Any = None


class _RawBatch(msgspec.Struct):
    batch: list[msgspec.Raw]


_message = msgspec.json.Decoder(Message)
_batch = msgspec.json.Decoder(Batch)
_keyed = msgspec.json.Decoder(_Keyed)
_raw_batch = msgspec.json.Decoder(_RawBatch)


def write_key(body: bytes) -> str | None:
    """The key in the body. 400 when the body is not JSON."""
    try:
        key = _keyed.decode(body).write_key
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None
    return key if isinstance(key, str) else None


def decode(body: bytes, kind: str) -> Batch:
    """The body of `/v1/{kind}`, a single call as a batch of one.

    400: no JSON; 413: an event too large; 422: wrong shapes.
    """
    try:
        if kind == "batch":
            batch = _batch.decode(body)
        else:
            message = _message.decode(body)
            message.type = kind
            batch = Batch([message])
    except msgspec.ValidationError as error:
        raise errors.Invalid(
            "Some fields are not as the API wants them; `errors` names each.", faults=_shape_faults(body, kind, error)
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None
    if len(body) > MAX_EVENT and kind == "batch":
        large = [at for at, raw in enumerate(_raw_batch.decode(body).batch) if len(bytes(raw)) > MAX_EVENT]
        if large:
            raise errors.TooLarge(
                "An event may have 32 KB; `errors` names those that have more.",
                code="event_too_large",
                faults=[Fault(f"$.batch[{at}]", "over 32 KB", "event_too_large") for at in large[:MAX_FAULTS]],
            )
    return batch


def text_faults(body: bytes) -> list[Fault]:
    """Where a text of the body holds NUL, which PostgreSQL stores nowhere."""
    if b"\\u0000" not in body:
        return []
    faults: list[Fault] = []
    pending: list[tuple[str, Any]] = [("$", msgspec.json.decode(body))]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str) and "\0" in value:
            faults.append(Fault(path, "must not contain NUL", "unstorable_value"))
        elif isinstance(value, list):
            pending += [(f"{path}[{at}]", item) for at, item in enumerate(value)]
        elif isinstance(value, dict):
            if any("\0" in key for key in value):
                faults.append(Fault(path, "has a name that contains NUL", "unstorable_value"))
            else:
                pending += [(f"{path}.{key}", item) for key, item in value.items()]
    return faults


def _malformed(error: Exception) -> errors.BadRequest:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return errors.BadRequest(f"The body is not JSON that can be read: {reason}.", code="malformed_json")


def _shape_faults(body: bytes, kind: str, error: msgspec.ValidationError) -> list[Fault]:
    """msgspec stops at the first fault: look at each field of each message alone, to name them all."""
    faults: list[Fault] = []
    if kind != "batch":
        faults = _field_faults(body, Message, "$")
    else:
        faults = _field_faults(body, Batch, "$", but="batch")
        try:
            for at, raw in enumerate(_raw_batch.decode(body).batch):
                if len(faults) >= MAX_FAULTS:
                    break
                faults += _field_faults(bytes(raw), Message, f"$.batch[{at}]")
        except msgspec.ValidationError as outer:
            faults.append(_fault(outer, "$"))
    return faults or [_fault(error, "$")]


def _field_faults(raw: bytes, shape: type[msgspec.Struct], path: str, but: str = "") -> list[Fault]:
    try:
        document = msgspec.json.decode(raw)
    except msgspec.ValidationError as error:  # a number beyond any range
        return [_fault(error, path)]
    if not isinstance(document, dict):
        return [Fault(path, "must be an object", "wrong_type")]
    faults = []
    for field in msgspec.structs.fields(shape):
        name = field.encode_name
        if name in document and name != but and field.type is not msgspec.Raw:
            try:
                msgspec.convert(document[name], field.type)
            except msgspec.ValidationError as error:
                faults.append(_fault(error, f"{path}.{name}"))
    return faults


def _fault(error: msgspec.ValidationError, path: str) -> Fault:
    message, _, place = str(error).partition(" - at `$")
    code = "wrong_type" if message.startswith("Expected `") and "length" not in message else "out_of_range"
    return Fault(path + place.rstrip("`"), message, code)
