"""Every rule is told in every language, wholly."""

import json
import re
from datetime import UTC, datetime
from gettext import NullTranslations
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from babel.messages.pofile import read_po

from segments import Context, StoredCampaign, StoredSegment, parse, sentence
from segments.conditions import kinds
from segments.explain import explain
from segments.history import History, World
from segments.language import ENGLISH, FOLDER, MESSAGES, Language, Message, Plural, best, languages, placeholders
from segments.names import canonical
from segments.translate import update

CATALOGUES = sorted(FOLDER.glob("*.po"))
RULE = {"version": 1, "where": {"all": []}}
EVENT, TOPIC = {"event": "View", "where": {"price": {"gte": 5}}}, {"topic": "sales"}

# One after the other, these say every message there is.
NODES: list[dict[str, Any]] = [
    *(example for kind in kinds().values() for example in kind.examples),
    {"all": []},
    {"any": []},
    {"segment": "x"},
    {"all": [TOPIC, {"not": TOPIC}, {"not": TOPIC}]},
    {"any": [{"not": TOPIC}, {"all": [TOPIC, TOPIC]}]},
    {"attribute": "vip", "in": [True, False, 2.5]},
    *({"attribute": "a", op: 3} for op in ("eq", "ne", "gt", "gte", "lt", "lte", "contains")),
    {"attribute": "a", "between": [1, 2]},
    {"attribute": "a", "starts_with": "b"},
    {"attribute": "a", "before": "2026-01-31"},
    {"attribute": "a", "after": "2026-01-31"},
    {"attribute": "a", "exists": False},
    *({**EVENT, "count": {op: 3}} for op in ("eq", "ne", "gt", "gte", "lt", "lte")),
    *({**EVENT, "count": test} for test in ({"eq": 0}, {"between": [1, 2]}, {"in": [1]})),
    *({"bought": {}, name: {"of": "price", "gte": 5}} for name in ("sum", "avg", "min", "max", "distinct")),
    *({**EVENT, "first": {side: f"2{unit}"}} for side in ("before", "within") for unit in "mhdw"),
    *({**EVENT, "within": f"2{unit}"} for unit in "mhdw"),
    {"bought": {}, "count": {"eq": 1}},
    {**EVENT, "last": {"before": "1d"}},
    {**EVENT, "from": "2026-01-31"},
    {**EVENT, "to": "2026-01-31"},
    {**EVENT, "from": "2026-01-31", "to": "2026-02-28"},
    {"rank": {"by": {"event": "View"}, "top_percent": 5}},
    *({"rank": {"by": {"event": "View", name: "x"}, "top_percent": 5}} for name in ("avg", "min", "max", "distinct")),
    {"sample": {"percent": 2.5}},
    *({"replenish": {"within": f"2{unit}"}} for unit in "mhdw"),
    *({"attribute": "a", "anniversary_within": within} for within in ("1440m", "24h", "2d", "2w")),
    {"sequence": [EVENT, EVENT, {**EVENT, "absent": True}]},
    *({"sequence": [EVENT, {**EVENT, "absent": True}], "gap": f"2{unit}"} for unit in "mhdw"),
    {"message": {"campaign": "x", "outcome": "shown"}},
    *({"message": {"outcome": outcome}} for outcome in ("accepted", "clicked", "converted")),
    *({"message": {"outcome": outcome, "within": "2d"}} for outcome in ("accepted", "shown", "converted")),
]


class Shouting(NullTranslations):
    """Puts what messages say, but not what is filled in, in capitals."""

    def gettext(self, message: str) -> str:
        parts = Formatter().parse(message)
        return "".join(text.upper() + (f"{{{name}}}" if name else "") for text, name, _, _ in parts)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        return self.ngettext(msgid1, msgid2, n)


class Listening(Language):
    """English that remembers what it said."""

    def __init__(self) -> None:
        super().__init__("en", NullTranslations())
        self.said: set[Message | Plural] = set()

    def say(self, message: Message, **values: str) -> str:
        self.said.add(message)
        return super().say(message, **values)

    def count(self, message: Plural, number: Any, **values: str) -> str:
        self.said.add(message)
        return super().count(message, number, **values)


def told(node: dict[str, Any], language: Language) -> str:
    context = Context(
        segment=lambda id: StoredSegment(id, "VIP", RULE),
        campaign=lambda id: StoredCampaign(id, "SPRING"),
        language=language,
    )
    return sentence(parse({"version": 1, "where": node}, context), context)


@pytest.mark.parametrize("node", NODES, ids=json.dumps)
def test_all_words_are_messages(node: dict[str, Any]) -> None:
    loud = told(node, Language("de", Shouting()))
    own = {canonical(word) for word in re.findall(r'"([^"]+)"', json.dumps(node))}
    small = set(re.findall("[a-z]+", loud)) - set(re.findall("[a-z]+", " ".join(own)))
    assert not small, f"{loud}: words that are no part of a message"


@pytest.mark.parametrize("node", NODES, ids=json.dumps)
def test_every_language_tells_every_condition(node: dict[str, Any]) -> None:
    sentences = {told(node, language) for language in languages().values()}
    assert len(sentences) == len(languages())
    assert not [text for text in sentences if "{" in text or "  " in text or ",," in text]


def test_every_message_is_said_by_some_condition() -> None:
    english = Listening()
    for node in NODES:
        told(node, english)
    assert set(MESSAGES.values()) == english.said


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_a_catalogue_has_each_message_and_no_other(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as source:
        catalogue = read_po(source, locale=file.stem.replace("-", "_"), abort_invalid=True)
    assert not catalogue.obsolete
    translated = {}
    for entry in catalogue:
        if entry.id:
            assert not entry.fuzzy
            id, strings = (entry.id, entry.string) if isinstance(entry.id, tuple) else ((entry.id,), (entry.string,))
            assert all(strings), f"no translation of {id}"
            translated[entry.context, id[0]] = strings
    assert translated.keys() == MESSAGES.keys()
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    assert update(copy) == []
    assert copy.read_bytes() == file.read_bytes(), f"run python -m segments.translate {file.stem}"


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_translations_fill_the_same_placeholders(file: Path) -> None:
    with file.open("rb") as source:
        catalogue = read_po(source, locale=file.stem.replace("-", "_"))
    for (context, text), message in MESSAGES.items():
        entry = catalogue.get((message.one, message.many) if isinstance(message, Plural) else text, context)
        assert entry is not None
        if isinstance(message, Plural):
            assert len(entry.string) == catalogue.num_plurals
            first, *others = map(placeholders, entry.string)
            wanted = placeholders(message.many)
            assert wanted - {"number"} <= first <= wanted  # “in der letzten Stunde” names no number
            assert all(each == wanted for each in others), entry.string
        else:
            assert placeholders(entry.string) == placeholders(text)


def test_a_new_language_begins_with_every_message_untranslated(tmp_path: Path) -> None:
    file = tmp_path / "pl.po"
    assert len(update(file)) == len(MESSAGES)
    assert "nplurals=3" in file.read_text() or "nplurals=4" in file.read_text()


@pytest.mark.parametrize(
    ("node", "german"),
    [
        ({"attribute": "age", "gte": 25.5}, "Alle Kunden, deren age mindestens 25,5 ist."),
        (
            {**EVENT, "within": "1h"},
            "Alle Kunden, die „View“-Ereignisse in der letzten Stunde, deren price mindestens 5 ist, haben.",
        ),
        ({"event": "View", "count": {"eq": 1}}, "Alle Kunden, die genau 1 „View“-Ereignis haben."),
        ({"event": "View", "count": {"in": [1, 2, 4]}}, "Alle Kunden, die 1, 2 oder 4 „View“-Ereignisse haben."),
        ({"attribute": "a", "before": "2026-01-31"}, "Alle Kunden, deren a vor dem 31.01.2026 liegt."),
        (
            {"attribute": "a", "after": "2026-01-31T09:00:00Z"},
            "Alle Kunden, deren a nach dem 31. Januar 2026, 09:00:00 UTC liegt.",
        ),
        (
            {
                "all": [
                    {"any": [TOPIC, {"segment": "x"}]},
                    {"tier": {"eq": "gold"}},
                    {"not": {"points": {"balance": {"lt": 10}}}},
                ]
            },
            "Alle Kunden, (die das Thema „sales“ abonniert haben oder die im Segment „VIP“ sind) und deren Treuestufe"
            " „gold“ ist, außer denen, deren Punktestand weniger als 10 beträgt.",
        ),
    ],
)
def test_german(node: dict[str, Any], german: str) -> None:
    assert told(node, languages()["de"]) == german


def test_words_of_the_tree_are_in_the_language_too() -> None:
    context = Context(language=languages()["de"])
    rule = parse({"version": 1, "where": {"all": [TOPIC, {"not": {"tier": {"eq": "gold"}}}]}}, context)
    tree = explain(rule, History(), World("UTC", lambda id: rule.lower()), datetime(2026, 1, 1, tzinfo=UTC), context)
    topic, negated = tree["children"]
    assert topic["words"] == "die das Thema „sales“ abonniert haben"
    assert negated["words"] == "die nicht zu denen gehören, deren Treuestufe „gold“ ist"
    assert negated["children"][0]["words"] == "deren Treuestufe „gold“ ist"


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        (["de"], "de"),
        (["DE-at"], "de"),
        (["de_CH"], "de"),
        (["fr", "de"], "de"),
        (["en-GB", "de"], "en"),
        (["fr"], "en"),
        (["", "*", "-", "x" * 1000], "en"),
        ([], "en"),
    ],
)
def test_the_best_language(wanted: list[str], tag: str) -> None:
    assert best(wanted).tag == tag


def test_english_needs_no_catalogue() -> None:
    assert languages()["en"] is ENGLISH
    assert set(languages()) == {"en", *(file.stem.lower() for file in CATALOGUES)}
    assert len(languages()) > 1
