"""Our VAPID tokens against RFC 8292's example and py_vapid's verification."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from py_vapid import Vapid02

from push_server import clock
from push_server.webpush import vapid
from push_server.webpush.vapid import KeyPair, authorization

CONTACT = "mailto:push@example.com"
ORIGIN = "https://push.example.net"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    clock.set_source(lambda: NOON)
    yield
    clock.set_source(None)


def claims(header: str) -> dict[str, str | int]:
    """What a verified token says; py_vapid checks its signature against the header's own key."""
    assert Vapid02.verify(header)
    middle = header.split("t=")[1].split(".")[1]
    document: dict[str, str | int] = json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return document


def test_rfc_8292_section_2_4_what_is_signed_to_the_byte() -> None:
    """The signature is random, so the example's header and claims are compared, and ours verified."""
    token = vapid.sign(KeyPair.generate(), ORIGIN, CONTACT, 1453523768)
    assert token.rsplit(".", 1)[0] == (
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQi"
        "LCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0"
    )


def test_rfc_8292_section_2_4_reads_like_ours() -> None:
    """The RFC's own header passes the judge that ours must pass, so the two have the same shape."""
    example = (
        "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1M"
        "jM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDX"
        "b1JrErtmysazNjjvW2L9OkSSHzvoD1oA,"
        "k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
    )
    assert claims(example) == {"aud": ORIGIN, "exp": 1453523768, "sub": CONTACT}


def test_py_vapid_verifies_our_token_and_no_altered_one() -> None:
    header = authorization(KeyPair.generate(), ORIGIN, CONTACT)
    expected = {"aud": ORIGIN, "sub": CONTACT, "exp": int((NOON + timedelta(hours=12)).timestamp())}
    assert claims(header) == expected
    other = authorization(KeyPair.generate(), ORIGIN, CONTACT)
    assert not Vapid02.verify(header.split(",")[0] + "," + other.split(",")[1])


def test_each_origin_key_and_contact_has_a_token_of_its_own() -> None:
    """A dictionary of claims shared between two push services would give the second the first's audience."""
    pair, other = KeyPair.generate(), KeyPair.generate()
    headers = [
        authorization(pair, ORIGIN, CONTACT),
        authorization(pair, "https://fcm.googleapis.com", CONTACT),
        authorization(pair, ORIGIN, "https://shop.example"),
        authorization(other, ORIGIN, CONTACT),
    ]
    assert [claims(header)["aud"] for header in headers] == [ORIGIN, "https://fcm.googleapis.com", ORIGIN, ORIGIN]
    assert [claims(header)["sub"] for header in headers] == [CONTACT, CONTACT, "https://shop.example", CONTACT]
    assert len(set(headers)) == 4


def test_a_token_is_used_again_until_an_hour_before_its_end() -> None:
    pair = KeyPair.generate()
    first = authorization(pair, ORIGIN, CONTACT)
    clock.set_source(lambda: NOON + timedelta(hours=10, minutes=59))
    assert authorization(pair, ORIGIN, CONTACT) == first
    clock.set_source(lambda: NOON + timedelta(hours=11))
    renewed = authorization(pair, ORIGIN, CONTACT)
    assert claims(renewed)["exp"] == int((NOON + timedelta(hours=23)).timestamp())


def test_a_clock_set_back_does_not_leave_a_token_that_ends_too_late() -> None:
    pair = KeyPair.generate()
    authorization(pair, ORIGIN, CONTACT)
    clock.set_source(lambda: NOON - timedelta(days=2))
    assert claims(authorization(pair, ORIGIN, CONTACT))["exp"] == int((NOON - timedelta(hours=36)).timestamp())


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vapid, "MAX_CACHED", 3)
    pair = KeyPair.generate()
    for number in range(10):
        authorization(pair, f"https://{number}.notify.windows.com", CONTACT)
    assert len(vapid._cache) <= 3


def test_a_private_key_is_not_printed() -> None:
    pair = KeyPair.generate()
    assert repr(pair.private_key) not in repr(pair)
