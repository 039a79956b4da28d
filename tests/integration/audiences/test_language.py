"""Sentences of rules in the language that a request asks for, with the names of today."""

from typing import Any

import pytest

from tests.integration.audiences.shop import Api, rule

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"}
HUNGARY: dict[str, Any] = {"attribute": "country", "eq": "HU"}
ENGLISH_SENTENCE, GERMAN_SENTENCE = "Customers whose country is “HU”.", "Alle Kunden, deren country „HU“ ist."


def test_every_answer_with_a_sentence_is_in_the_language_asked_for(api: Api) -> None:
    api.customers("ada", country="HU")
    made = api.segment("Hungary", HUNGARY)
    path = f"/v1/segments/{made['id']}"

    def sentences(**asked: Any) -> set[str]:
        listed = api.call("GET", "/v1/segments", **asked)["data"]
        return {
            *(segment["sentence"] for segment in listed),
            api.call("GET", path, **asked)["sentence"],
            api.call("PATCH", path, json={"rule": rule(HUNGARY)}, **asked)["sentence"],
            api.call("POST", "/v1/segments", 201, json={"name": "Again", "rule": rule(HUNGARY)}, **asked)["sentence"],
            api.call("POST", "/v1/segments/estimate", json={"rule": rule(HUNGARY)}, **asked)["sentence"],
            api.call("GET", f"{path}/explain/ada", **asked)["sentence"],
        }

    assert sentences() == {ENGLISH_SENTENCE}
    assert sentences(headers=GERMAN) == {GERMAN_SENTENCE}
    assert sentences(params={"locale": "de"}) == {GERMAN_SENTENCE}
    assert sentences(params={"locale": "en"}, headers=GERMAN) == {ENGLISH_SENTENCE}
    tree = api.call("GET", f"{path}/explain/ada", headers=GERMAN)["tree"]
    assert (tree["words"], tree["observed"]) == ("deren country „HU“ ist", "HU")


@pytest.mark.parametrize(("header", "tag"), [("de", "de"), ("fr-FR, *", "en"), ("\N{SNOWMAN};q", "en"), ("", "en")])
def test_the_answer_says_which_language_it_is_in(api: Api, header: str, tag: str) -> None:
    answer = api.client.get("/v1/segments", headers={"Accept-Language": header.encode()})
    assert answer.status_code == 200
    assert (answer.headers["Content-Language"], answer.headers["Vary"]) == (tag, "Accept-Language")


def test_sentences_have_the_names_of_today(api: Api) -> None:
    inner = api.segment("Old", HUNGARY)
    outer = api.segment("Outer", {"not": {"segment": inner["id"]}})
    assert outer["sentence"] == "Customers except in the segment “Old”."
    api.call("PATCH", f"/v1/segments/{inner['id']}", json={"name": "New"})
    assert api.call("GET", f"/v1/segments/{outer['id']}")["sentence"] == "Customers except in the segment “New”."
