"""The signed name of a delivery: what a push message carries and receipts bring back, the same on every attempt."""

import hmac
import struct

from push_server import security

_IDS = struct.Struct(">QQ")
_PURPOSE = "delivery.token"


def issue(delivery_id: int, site_id: int) -> str:
    """43 characters of base64url: both ids and their signature."""
    ids = _IDS.pack(delivery_id, site_id)
    return security.b64url(ids + security.sign(ids, _PURPOSE))


def read(token: str) -> tuple[int, int]:
    """(delivery id, site id) of a token that we issued; ValueError for anything else."""
    data = security.unb64url(token)
    ids, signature = data[: _IDS.size], data[_IDS.size :]
    if len(ids) != _IDS.size or not hmac.compare_digest(signature, security.sign(ids, _PURPOSE)):
        raise ValueError("not a delivery token of this server")
    delivery_id, site_id = _IDS.unpack(ids)
    return delivery_id, site_id


def stable_name(delivery_id: int) -> str:
    """32 hexadecimal digits, the `tag` and `Topic` of a delivery that was given none.

    The same on every attempt, so that one sent again after a crash replaces itself, at the push service and on
    screen; signed rather than plain, so that it tells nobody how many messages a shop sends.
    """
    return security.sign(struct.pack(">Q", delivery_id), "delivery.name").hex()
