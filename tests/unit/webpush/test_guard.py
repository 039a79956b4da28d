"""Which endpoints and addresses pass: a browser's subscription is text that anybody can write."""

from collections.abc import Iterator

import pytest

from push_server.errors import Invalid
from push_server.settings import settings
from push_server.webpush.guard import MAX_ENDPOINT, check_endpoint, is_operator_origin, is_public_address


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOMING_PUSH_HOSTS", "http://127.0.0.1:8701, https://Push.Shop.example/ http://[::1]:9")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:APA91b-_x", "https://fcm.googleapis.com"),
        ("https://FCM.googleapis.com:443/wp/abc", "https://fcm.googleapis.com"),
        (
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAA_-=",
            "https://updates.push.services.mozilla.com",
        ),
        ("https://web.push.apple.com/QGuQyavXutnMH", "https://web.push.apple.com"),
        ("https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2fb%3d", "https://wns2-par02p.notify.windows.com"),
        ("http://127.0.0.1:8701/push/1", "http://127.0.0.1:8701"),
        ("https://push.shop.example/any?where", "https://push.shop.example"),
        ("http://[::1]:9/x", "http://[::1]:9"),
    ],
)
def test_a_push_service_passes(url: str, origin: str) -> None:
    assert check_endpoint(url) == origin


HOSTILE = [
    "",
    "fcm.googleapis.com/fcm/send/abc",
    "//fcm.googleapis.com/x",
    "https://fcm.googleapis.com",
    "https:/fcm.googleapis.com/x",
    "http://fcm.googleapis.com/fcm/send/abc",
    "ftp://fcm.googleapis.com/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://fcm.googleapis.com:8443/x",
    "https://fcm.googleapis.com:80/x",
    "https://fcm.googleapis.com:443443/x",
    "https://fcm.googleapis.com:/x",
    "https://user@fcm.googleapis.com/x",
    "https://fcm.googleapis.com@evil.example/x",
    "https://fcm.googleapis.com:443@evil.example/x",
    "https://evil.example\\@fcm.googleapis.com/x",
    "https://evil.example#@fcm.googleapis.com/x",
    "https://fcm.googleapis.com\\.evil.example/x",
    "https://fcm.googleapis.com/x#fragment",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evil-fcm.googleapis.com/x",
    "https://googleapis.com/x",
    "https://notify.windows.com/x",
    "https://.notify.windows.com/x",
    "https://a..notify.windows.com/x",
    "https://-a.notify.windows.com/x",
    "https://evilnotify.windows.com/x",
    "https://a.notify.windows.com.evil.example/x",
    "https://fcm.googleapis.com./x",
    "https://127.0.0.1/x",
    "https://2130706433/x",
    "https://0x7f.1/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://localhost/x",
    "https://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:8702/x",
    "http://127.0.0.1/x",
    "https://127.0.0.1:8701/x",
    "http://push.shop.example/x",
    "https://push.shop.example:8443/x",
    "https://sub.push.shop.example/x",
    "http://push.shop.example@127.0.0.1:8701/x",
    "https://fcm.googleapis.com/x y",
    "https://fcm.googleapis.com/x\r\nHost: evil.example",
    "https://fcm.googleapis.com/x\n",
    "\thttps://fcm.googleapis.com/x",
    "https://fcm.googleapis.com/x\0",
    "https://fcm.googleapis.com/\u00e9",
    "https://fcm\u3002googleapis.com/x",  # the ideographic full stop
    "https://fcm.google\u0430pis.com/x",  # a Cyrillic a
    "https://fcm.googleapi\u017f.com/x",  # the long s, which lower-cases to s
    "https://\uff46cm.googleapis.com/x",  # a full-width f
    "https://fcm.googleapis.com/\ud800",  # a lone surrogate
    "https://fcm.googleapis.com%2eevil.example/x",
    "https://fcm.googleapis.com%00.evil.example/x",
    "https://fcm.googleapis.com/" + "x" * MAX_ENDPOINT,
]


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_endpoint(url)
    assert caught.value.code == "endpoint_not_allowed"


def test_the_longest_endpoint_passes() -> None:
    url = "https://fcm.googleapis.com/"
    assert check_endpoint(url + "x" * (MAX_ENDPOINT - len(url)))


def test_only_the_operators_origins_may_be_private() -> None:
    assert is_operator_origin("http://127.0.0.1:8701")
    assert not is_operator_origin("https://fcm.googleapis.com")


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::"),
        *("64:ff9b:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "", "localhost", "1.1.1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "142.250.74.106", "2a00:1450:400f::200a", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public_address(address)
