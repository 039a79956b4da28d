"""Templates are strict, and cannot be made to cost much: attributes come from browsers, templates from forms."""

import base64
import hmac
import struct
import time

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from push_server.delivery import token
from push_server.delivery.templates import TemplateFault, check, render
from tests.conftest import SECRET

VARIABLES = {"customer": {"name": "Ada", "n": "12", "huge": "1e999", "list": [1, 2], "long": "a" * 5000}}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain } { text", "plain } { text"),
        ("Hi {{ customer.name }}", "Hi Ada"),
        ("{{ customer.nick | default: 'you' }}", "you"),
        ("{{ points.balance | default: 0 }}", "0"),
        ("{% for i in customer.list %}{{ i }},{% endfor %}", "1,2,"),
        ("{{ customer.n | plus: 1 }}", "13"),
        ("<{{ customer.name | append: '&' }}>", "<Ada&>"),
    ],
)
def test_what_renders(text: str, rendered: str) -> None:
    check(text)
    assert render(text, VARIABLES) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "{{ customer.nick }}",
        "{{ nobody.name }}",
        "{% if customer.nick %}a{% endif %}",
        "{{ customer.huge | round }}",
        "{{ 1 | divided_by: 0 }}",
        "{{ customer.name.__class__ }}",
        "{{ customer.long | replace: 'a', customer.long }}",
        "{% assign x = customer.long %}{% for i in customer.list %}{% assign x = x | append: x %}{% endfor %}{{ x }}",
    ],
)
def test_what_does_not_render(text: str) -> None:
    check(text)
    begun = time.monotonic()
    with pytest.raises(TemplateFault):
        render(text, VARIABLES)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{{ customer.name", "line 1"),
        ("two\nlines {% endif %}", "line 2, column 10"),
        ("{% include 'x' %}", "line 1"),
        ("{{ 'a' | shout }}", "unknown filter 'shout'"),
        ("{% for i in (1..99999999) %}{% endfor %}", "ranges"),
        ("{{ (1..99999999) | join: ',' }}", "ranges"),
        ("{% if (1..99999999) contains 'x' %}{% endif %}", "ranges"),
    ],
)
def test_what_is_refused_when_it_is_stored(text: str, where: str) -> None:
    with pytest.raises(TemplateFault, match=where.replace("(", r"\(")):
        check(text)


@given(st.text(alphabet="{}%|.'\" ()abc1\n", max_size=40))
def test_any_text_renders_or_is_a_fault(text: str) -> None:
    try:
        check(text)
        render(text, VARIABLES)
    except TemplateFault:
        pass


@pytest.fixture
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMING_SECRET_KEY", SECRET)
    token.security.settings.cache_clear()


@pytest.mark.usefixtures("_secret")
def test_tokens_are_read_only_as_they_were_issued() -> None:
    issued = token.issue(12, 3)
    assert token.read(issued) == (12, 3)
    for at in range(len(issued)):
        with pytest.raises(ValueError):
            token.read(issued[:at] + ("A" if issued[at] != "A" else "B") + issued[at + 1 :])
    for text in ("", "x", issued[:-1], issued + "A", "é" * 43, "\ud800" * 43):
        with pytest.raises(ValueError):
            token.read(text)
    assert token.stable_name(12) == token.stable_name(12) != token.stable_name(13)
    assert len(token.stable_name(12)) == 32


@pytest.mark.usefixtures("_secret")
def test_names_are_signed_with_hmac_so_that_those_of_an_older_release_are_still_read() -> None:
    key = HKDF(SHA256(), 32, salt=b"homing", info=b"delivery.token").derive(SECRET.encode())
    ids = struct.pack(">QQ", 12, 3)
    signed = ids + hmac.digest(key, ids, "sha256")[:16]
    assert token.issue(12, 3) == base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
