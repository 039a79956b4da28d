"""The languages that a rule is told in.

English stands in the code: whatever people read is a `Message` or a `Plural`, whole, with named placeholders, so that
other languages can put its parts in another order. What they make of it is in `languages/TAG.po`, a gettext catalogue;
how they write numbers and dates is Unicode's CLDR.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from string import Formatter

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol

from segments.moments import Moment, is_exact

FOLDER = Path(__file__).parent / "languages"


@dataclass(frozen=True, slots=True)
class Message:
    """A text in English; `context` tells apart what other languages may say in different ways."""

    text: str
    context: str | None = None

    def __post_init__(self) -> None:
        MESSAGES[self.context, self.text] = self


@dataclass(frozen=True, slots=True)
class Plural:
    """A text that depends on a number: as it is for 1, and for others."""

    one: str
    many: str
    context: str | None = None

    def __post_init__(self) -> None:
        MESSAGES[self.context, self.one] = self


MESSAGES: dict[tuple[str | None, str], Message | Plural] = {}
"""Every message there is, by context and English text: what a catalogue has to translate."""

OR = Message("{most} or {last}")
LISTED = Message("{most}, {next}")


class Language:
    """Says messages, numbers and dates. `tag` is a BCP 47 language tag."""

    def __init__(self, tag: str, translations: NullTranslations) -> None:
        self.tag, self._translations, self._locale = tag, translations, Locale.parse(tag, sep="-")
        self._point = get_decimal_symbol(self._locale)

    def say(self, message: Message, **values: str) -> str:
        """The message with its placeholders filled."""
        of = self._translations
        text = of.pgettext(message.context, message.text) if message.context else of.gettext(message.text)
        return text.format(**values)

    def count(self, message: Plural, number: Decimal | int, **values: str) -> str:
        """The message as it is for the number, itself a placeholder; a fraction goes with the next whole number."""
        whole, of = math.ceil(number), self._translations
        text = (
            of.npgettext(message.context, message.one, message.many, whole)
            if message.context
            else of.ngettext(message.one, message.many, whole)
        )
        return text.format(number=self.number(Decimal(number)), **values)

    def joined(self, joint: Message, texts: Iterable[str]) -> str:
        """At least one text, each put on to those before it: the joint's `most` and `last`."""
        most, *rest = texts
        for text in rest:
            most = self.say(joint, most=most, last=text)
        return most

    def either(self, texts: Sequence[str]) -> str:
        """`a, b or c`."""
        *most, last = texts
        if not most:
            return last
        listed = most[0]
        for text in most[1:]:
            listed = self.say(LISTED, most=listed, next=text)
        return self.say(OR, most=listed, last=last)

    def number(self, number: Decimal) -> str:
        """All its digits, not grouped: it may be a year or an article's number."""
        return f"{number:f}".replace(".", self._point)

    def moment(self, moment: Moment) -> str:
        """A date, or an instant in the zone that the rule wrote it in. English has them as rules do."""
        if self is ENGLISH:
            return moment.text
        read = datetime.fromisoformat(moment.text)
        if len(moment.text) == len("2024-05-31"):
            return format_date(read, "medium", locale=self._locale)
        if is_exact(moment.text):
            return format_datetime(read, "long", tzinfo=read.tzinfo or UTC, locale=self._locale)
        return format_datetime(read, "medium", locale=self._locale)


ENGLISH = Language("en", NullTranslations())


@cache
def languages() -> dict[str, Language]:
    """All that there are, by tag in small letters."""
    translated = {file.stem: Language(file.stem, read(file)) for file in sorted(FOLDER.glob("*.po"))}
    return {language.tag.lower(): language for language in (ENGLISH, *translated.values())}


def read(file: Path) -> GNUTranslations:
    """The translations in a gettext catalogue; those marked as fuzzy are left out."""
    compiled = BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=file.stem.replace("-", "_"), abort_invalid=True))
    compiled.seek(0)
    return GNUTranslations(compiled)


def best(wanted: Iterable[str]) -> Language:
    """The first of the wanted tags that there is a language for, `de` for `de-AT` (RFC 4647, 3.4); else English."""
    known = languages()
    for tag in wanted:
        parts = tag.lower().replace("_", "-").split("-")
        for length in range(len(parts), 0, -1):
            if found := known.get("-".join(parts[:length])):
                return found
    return ENGLISH


def placeholders(text: str) -> set[str]:
    """`whose {attribute} {test}` → attribute, test."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
