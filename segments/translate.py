"""`python -m segments.translate de`: bring a language's catalogue up to date with the messages, or begin one.

What is translated stays, what nobody says any more goes, and new messages are added empty, to be filled in.
"""

import sys
from datetime import datetime
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po

import segments.sentence  # noqa: F401 - with it, every message is known
from segments.language import FOLDER, MESSAGES, Plural, placeholders


def template(creation_date: datetime | str | None = None) -> Catalog:
    """Every message, without a translation."""
    catalog = Catalog(fuzzy=False, creation_date=creation_date)
    for (context, text), message in MESSAGES.items():
        id = (message.one, message.many) if isinstance(message, Plural) else text
        added = catalog.add(id, context=context, flags=["python-brace-format"] if placeholders(text) else [])
        added.flags.discard("python-format")  # which a percent sign is mistaken for
    return catalog


def update(file: Path) -> list[str]:
    """Write the catalogue anew; returns the messages that are not translated yet."""
    tag = file.stem.replace("-", "_")
    written = file.read_bytes() if file.exists() else b""
    catalog = read_po(BytesIO(written), locale=tag) if written else Catalog(locale=tag, fuzzy=False)
    catalog.project, catalog.version = "Homing", "segments"
    catalog.update(template(catalog.creation_date), no_fuzzy_matching=True, update_header_comment=False)
    for message in catalog:
        message.flags.discard("python-format")
    catalog.header_comment = f"# Rules of segments, told in {catalog.locale.english_name if catalog.locale else tag}."
    with file.open("wb") as target:
        write_po(target, catalog, width=120, ignore_obsolete=True, sort_by_file=False, omit_header=False)
    return [str(message.id) for message in catalog if message.id and not (message.string and all(message.string))]


if __name__ == "__main__":
    missing = [f"{tag}: {text}\n" for tag in sys.argv[1:] for text in update(FOLDER / f"{tag}.po")]
    sys.stderr.writelines([*missing, f"{len(missing)} messages wait for a translation\n"])
