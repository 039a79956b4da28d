"""Checks of a rule as a whole: its size, its text, and where its segments lead.

They walk the document without recursion, before anything reads it, so that no document can exhaust the stack.
"""

from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import Any

from segments.context import Context
from segments.errors import RuleFault

DEEPEST = 20
MOST_NODES = 500
MOST_VALUES = 5_000
MOST_TOGETHER = 5_000
DEEPEST_NESTING = 10
_DEEPEST_JSON = 4 * DEEPEST

Path = tuple[str | int, ...]


class Nesting(Enum):
    """Where following a segment's own segments leads."""

    FINE = "fine"
    CYCLE = "cycle"
    TOO_DEEP = "too deep"


def json_path(path: Path) -> str:
    """`("where", "all", 0, "a b")` → `$.where.all[0]["a b"]`."""
    written = "$"
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif part.isidentifier() and part.isascii():
            written += f".{part}"
        else:
            shown = part.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
            written += f'["{shown}"]'
    return written


def check_document(document: Any) -> list[RuleFault]:
    """Faults of size and of text that cannot be stored; none of the rule's meaning."""
    values = list(islice(_walk(document), MOST_VALUES + 1))
    if len(values) > MOST_VALUES:
        return [RuleFault("$", f"a rule has at most {MOST_VALUES} values, those in lists included", "too_many")]
    faults = []
    nodes = list(_nodes(document))
    if len(nodes) > MOST_NODES:
        message = f"a rule has at most {MOST_NODES} conditions, and this has {len(nodes)}"
        faults.append(RuleFault("$.where", message, "too_many"))
    for path, _node, depth in nodes:
        if depth > DEEPEST:
            faults.append(RuleFault(json_path(path), f"conditions nest at most {DEEPEST} deep", "too_deep"))
    for path, value in values:
        if len(path) > _DEEPEST_JSON and not faults:
            faults.append(RuleFault(json_path(path[:8]), "is nested too deep", "too_deep"))
        if isinstance(value, str) and _unstorable(value):
            faults.append(RuleFault(json_path(path), "text must be Unicode without NUL", "bad_text"))
        if isinstance(value, dict):
            faults += [
                RuleFault(json_path((*path, key)), "names must be Unicode without NUL", "bad_text")
                for key in value
                if _unstorable(key)
            ]
    return faults


def references(document: Any) -> list[str]:
    """The ids of the segments that a rule names."""
    return [
        value["segment"]
        for _path, value, _depth in _nodes(document)
        if isinstance(value, dict) and isinstance(value.get("segment"), str)
    ]


def follow(start: str, context: Context) -> Nesting:
    """Whether a rule in `context` may name segment `start`: it must not lead back to the rule's own, nor too deep."""
    level = {start}
    for _depth in range(DEEPEST_NESTING):
        if context.own_id in level:
            return Nesting.CYCLE
        found = [context.segment(id) for id in level]
        level = {id for each in found if each is not None for id in references(each.rule)}
        if not level:
            return Nesting.FINE
    return Nesting.TOO_DEEP


def together(document: Any, context: Context) -> int:
    """How many conditions a rule has with those of the segments that it names, each as often as it is named.

    Judging a customer can take that many looks. The rule's segments must not lead in a circle.
    """
    known: dict[str, int] = {}

    def count(rule: Any) -> int:
        return sum(1 for _ in _nodes(rule)) + sum(map(named, references(rule)))

    def named(id: str) -> int:
        if id not in known:
            found = context.segment(id)
            known[id] = 0 if found is None else count(found.rule)
        return known[id]

    return count(document)


def _unstorable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _walk(document: Any) -> Iterator[tuple[Path, Any]]:
    stack: list[tuple[Path, Any]] = [((), document)]
    while stack:
        path, value = stack.pop()
        yield path, value
        if len(path) > _DEEPEST_JSON:
            continue
        if isinstance(value, dict):
            stack += [((*path, key), child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            stack += [((*path, index), child) for index, child in reversed(list(enumerate(value)))]


def _nodes(document: Any) -> Iterator[tuple[Path, Any, int]]:
    """The conditions of a rule document with their paths and depths, the root's being 1; one level beyond DEEPEST."""
    if not isinstance(document, dict) or "where" not in document:
        return
    stack: list[tuple[Path, Any, int]] = [(("where",), document["where"], 1)]
    while stack:
        path, node, depth = stack.pop()
        yield path, node, depth
        if not isinstance(node, dict) or depth > DEEPEST:
            continue
        for name in ("all", "any"):
            if isinstance(node.get(name), list):
                stack += [((*path, name, index), child, depth + 1) for index, child in enumerate(node[name])]
        if "not" in node:
            stack.append(((*path, "not"), node["not"], depth + 1))
