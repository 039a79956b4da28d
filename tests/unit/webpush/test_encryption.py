"""Our aes128gcm against the RFCs' own examples and against decryption by other hands."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pywebpush import WebPusher

from push_server.webpush.encryption import MAX_PLAINTEXT, RECORD_SIZE, check_public_key, encrypt, seal_record


def unbase64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unbase64(text), "big"), ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


BROWSER = ec.generate_private_key(ec.SECP256R1())
AUTH = bytes(range(16))


def test_rfc_8291_section_5_to_the_byte() -> None:
    browser = private_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        point(browser),
        unbase64("BTBZMqHH6r4Tts7J_aSIgg"),
        ephemeral=private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        salt=unbase64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == unbase64(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_rfc_8188_section_3_1_to_the_byte() -> None:
    record = seal_record(b"I am the walrus", unbase64("yqdlZ-tYemfogSmv7Ws5PQ"), unbase64("I1BsxtFttlv3u_Oo94xnmw"))
    assert record == unbase64("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg")[21:]


@settings(max_examples=60, deadline=None)
@given(plaintext=st.binary(max_size=MAX_PLAINTEXT), auth=st.binary(min_size=16, max_size=16))
def test_other_hands_decrypt_what_we_encrypt(plaintext: bytes, auth: bytes) -> None:
    body = encrypt(plaintext, point(BROWSER), auth)
    assert len(body) == 86 + len(plaintext) + 17 <= RECORD_SIZE
    assert http_ece.decrypt(body, private_key=BROWSER, auth_secret=auth, version="aes128gcm") == plaintext


@settings(max_examples=20, deadline=None)
@given(plaintext=st.binary(min_size=1, max_size=500), auth=st.binary(min_size=16, max_size=16))
def test_same_bytes_as_the_encoder_of_pywebpush(plaintext: bytes, auth: bytes) -> None:
    """pywebpush parses the subscription and draws the key and salt; with the same ones our body is the same."""
    ephemeral, salt = ec.generate_private_key(ec.SECP256R1()), bytes(16)
    subscription = {
        "endpoint": "https://push.example",
        "keys": {"p256dh": base64(point(BROWSER)), "auth": base64(auth)},
    }
    pusher = WebPusher(subscription)
    theirs = http_ece.encrypt(
        plaintext,
        salt=salt,
        private_key=ephemeral,
        dh=pusher.receiver_key,
        auth_secret=pusher.auth_key,
        version="aes128gcm",
    )
    assert encrypt(plaintext, pusher.receiver_key, pusher.auth_key, ephemeral=ephemeral, salt=salt) == theirs


def test_every_message_has_a_key_and_salt_of_its_own() -> None:
    bodies = [encrypt(b"the same", point(BROWSER), AUTH) for _ in range(20)]
    assert len({body[:16] for body in bodies}) == 20
    assert len({body[21:86] for body in bodies}) == 20


def test_a_plaintext_that_does_not_fit_is_refused() -> None:
    assert len(encrypt(b"x" * MAX_PLAINTEXT, point(BROWSER), AUTH)) == RECORD_SIZE
    with pytest.raises(ValueError, match="3994"):
        encrypt(b"x" * (MAX_PLAINTEXT + 1), point(BROWSER), AUTH)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x04" + bytes(64),  # the origin is not on the curve
        point(BROWSER)[:-1],
        point(BROWSER) + b"\0",
        point(BROWSER)[:-1] + bytes([point(BROWSER)[-1] ^ 1]),  # off the curve by one bit
        b"\x04" + b"\xff" * 64,  # coordinates beyond the field
        b"\0" * 65,  # the point at infinity, padded
        BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        b"\x06" + point(BROWSER)[1:],  # the hybrid form
    ],
)
def test_a_key_that_is_no_point_of_the_curve_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError):
        check_public_key(bad)
    check_public_key(point(BROWSER))
