"""What a rule asks of the past, against how long events are kept: it must not ask for what will be gone.

A rule that looks further back than events are kept would be right today and wrong later, without a word. So it is
refused when it is made, unless what deleted events were added up to answers it (`rollups`).
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from segments.check import Path, json_path
from segments.conditions import Condition
from segments.context import Context, Kept
from segments.core import Edge, Leaf, Source, Stream, Window, leaves
from segments.errors import RuleFault
from segments.needs import sources
from segments.rollups import NUMBERS, reads_rollups

CODE = "beyond_retention"
_STAYS = (
    f"of older ones only their number, the first, the last, and sum, min and max of {', '.join(NUMBERS)} are known, of"
    " all or by category. Look at a window with `within`, or keep these events longer (PATCH /v1/site, retention)"
)


def beyond(condition: Condition, context: Context) -> list[RuleFault]:
    """A fault for each condition that asks for events that are not kept, or not for so long."""
    faults = []
    for path, each in _placed(condition, ("where",)):
        for node in [] if each.parts else leaves(each.lower()):
            for source, asked in reaches(node):
                kept = context.kept(source.name)
                if kept is not None and (asked is None or asked > kept.length):
                    faults.append(RuleFault(json_path(path), _message(source.name, kept, asked), CODE))
    return faults


def reaches(leaf: Leaf) -> Iterator[tuple[Source, timedelta | None]]:
    """The plain events that a leaf looks at, and how far back it needs them themselves; None: all there ever were."""
    for source, _properties in sources(leaf):
        if source.stream is Stream.EVENTS:
            yield source, _reach(leaf, source)


def lacking(leaves: Iterable[Leaf], known: Callable[[str], timedelta | None]) -> set[str]:
    """The names of events that the leaves ask for beyond what is there.

    `known` says of a name how far back from the instant asked all its events are there (None: all there were).
    """
    return {
        source.name
        for leaf in leaves
        for source, asked in reaches(leaf)
        if (back := known(source.name)) is not None and (asked is None or asked > back)
    }


def _reach(leaf: Leaf, source: Source) -> timedelta | None:
    if source.window.within is not None:
        return source.window.within
    if isinstance(leaf, Edge) and (reads_rollups(leaf) or (leaf.newest and not leaf.older)):
        return leaf.age if source.window == Window() else None
    return timedelta(0) if reads_rollups(leaf) else None


def _message(name: str, kept: Kept, asked: timedelta | None) -> str:
    if asked is None:
        return f"“{name}” events {kept.told}, and {_STAYS}"
    return f"“{name}” events {kept.told}: look no further back, or keep them longer (PATCH /v1/site, retention)"


def _placed(condition: Condition, path: Path) -> Iterator[tuple[Path, Condition]]:
    """Each condition with its JSON path."""
    yield path, condition
    for index, part in enumerate(condition.parts):
        place: Path = (condition.kind,) if condition.kind == "not" else (condition.kind, index)
        yield from _placed(part, (*path, *place))
