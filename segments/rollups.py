"""Which leaves can be told of events that are gone, from what was added up of them before.

Of each customer's deleted events of a name and category it is kept how many they were, when the first and the last of
them came, and of some numbers how many there were, their sum, the least and the greatest. So a leaf over all time that
asks no more stays exact. Any other leaf must look no further back than events are kept.
"""

from segments.core import Edge, Fold, Function, Leaf, Source, Stream, Window, is_by_text
from segments.names import ORDER_VALUE

NUMBERS = (*ORDER_VALUE, "price", "quantity")
"""The properties whose numbers are added up."""

_OF_NUMBERS = (Function.SUM, Function.MIN, Function.MAX)


def reads_rollups(leaf: Leaf) -> bool:
    """Whether the leaf also counts what deleted events were added up to.

    Of the newest event's being young it is not asked: deleted ones are old.
    """
    if isinstance(leaf, Edge):
        return _is_kept(leaf.source) and (leaf.older or not leaf.newest)
    if not isinstance(leaf, Fold) or not _is_kept(leaf.source):
        return False
    return leaf.function is Function.COUNT or (leaf.function in _OF_NUMBERS and leaf.of in NUMBERS)


def _is_kept(source: Source) -> bool:
    """Whether the source looks at all events of a name, or at those of some categories."""
    by_category = all(is_by_text(source.stream, name, test) for name, test in source.where)
    return source.stream is Stream.EVENTS and source.window == Window() and by_category
