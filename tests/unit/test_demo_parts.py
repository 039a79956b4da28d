"""The demo's own arithmetic and memory, without a server."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from starlette.testclient import TestClient

from push_server.demo import data, journal, points
from push_server.demo.browsers import Browser
from push_server.demo.sandbox import Sandbox
from push_server.demo.segments import telling
from push_server.security import b64url, unb64url

ANCHOR = datetime(2026, 3, 29, 15, 30, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8701"


@pytest.fixture(scope="module")
def purchases() -> data.Purchases:
    return data.load(ANCHOR)


def test_purchases_are_the_files_own_moved_in_time(purchases: data.Purchases) -> None:
    heading = not purchases.source.read_text().split()[0].isdigit()
    assert purchases.count == len(purchases.source.read_text().splitlines()) - heading
    all_of_them = [purchase for person in purchases.people for purchase in person.purchases]
    newest = max(purchase.at for purchase in all_of_them)
    assert timedelta(hours=2) <= ANCHOR - newest <= timedelta(hours=12)
    for purchase in all_of_them:
        assert sum((line.price * line.quantity for line in purchase.lines), Decimal(0)) == purchase.revenue
        assert all(line.quantity > 0 for line in purchase.lines)
    assert [person.event() for person in data.load(ANCHOR).people] == [person.event() for person in purchases.people]


def test_no_windows_edge_passes_a_purchase_while_the_demo_runs(purchases: data.Purchases) -> None:
    for segment in telling(purchases.people, ANCHOR):
        members = segment.members(purchases.people, ANCHOR)
        assert members
        assert segment.members(purchases.people, ANCHOR + timedelta(hours=11)) == members


def test_points_are_spent_oldest_first_and_never_more_than_there_are(purchases: data.Purchases) -> None:
    redeemed = 0
    for person in purchases.people:
        lots, spent = points.account(person)
        assert sum(lot.points for lot in lots) == sum(int(purchase.revenue) for purchase in person.purchases)
        assert sum(lot.points - lot.left for lot in lots) == sum(each.points for each in spent)
        assert all(0 <= lot.left <= lot.points for lot in lots)
        begun = [lot for lot in lots if 0 < lot.left < lot.points]
        assert len(begun) <= 1 or any(lot.expires_at < spent[-1].at for lot in begun)
        redeemed += len(spent)
    assert redeemed > 1000


def test_a_line_cut_short_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal.Journal(path).append({"a": 1}, {"a": "ő"})
    with path.open("ab") as file:
        file.write(b'{"a": 3, "cut sh')
    journal.Journal(path).append({"a": 4})
    assert list(journal.read(path)) == [{"a": 1}, {"a": "ő"}, {"a": 4}]


def test_the_sandbox_shows_a_delivery_once_across_its_own_death(tmp_path: Path) -> None:
    path, server = tmp_path / "journal", ec.generate_private_key(ec.SECP256R1())
    point = server.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    browser = Browser.create("token", b64url(point))
    keys = browser.subscription(ORIGIN)["keys"]
    expiry = int(datetime.now(UTC).timestamp()) + 600
    claims = {"aud": ORIGIN, "sub": "mailto:a@shop.example", "exp": expiry}
    headers = {"TTL": "60", "Content-Encoding": "aes128gcm"} | Vapid02(server).sign(claims)

    def push(sandbox: Sandbox, delivery: str) -> int:
        text = json.dumps({"notification": {"title": "x", "data": {"homing": {"delivery": delivery}}}}).encode()
        p256dh, auth = unb64url(keys["p256dh"]), unb64url(keys["auth"])
        sender = ec.generate_private_key(ec.SECP256R1())
        body = http_ece.encrypt(text, private_key=sender, dh=p256dh, auth_secret=auth, version="aes128gcm")
        return TestClient(sandbox.app()).post("/push/token", content=body, headers=headers).status_code

    first = Sandbox(path, ORIGIN)
    assert push(first, "d1") == 404
    TestClient(first.app()).post("/browsers", json={"browsers": [browser.as_dict()]})
    assert [push(first, "d1"), push(first, "d1")] == [201, 201]
    second = Sandbox(path, ORIGIN)
    assert [push(second, "d1"), push(second, "d2")] == [201, 201]
    entries = list(journal.read(path))
    assert [entry["shown"] for entry in entries if "shown" in entry] == ["d1", "d2"]
    assert [entry["again"] for entry in entries if "again" in entry] == ["d1", "d1"]
