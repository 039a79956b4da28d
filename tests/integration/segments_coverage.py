"""What of the language rules use, by name, and a table of it."""

from collections import Counter
from collections.abc import Iterator

from segments import core


class Coverage:
    """How many rules used what so far, and how many of each kind hold for some and not for others."""

    def __init__(self) -> None:
        self.cases: set[str] = set()
        self.used: Counter[str] = Counter()
        self.telling: Counter[str] = Counter()

    def add(self, kind: str, case: str, node: core.Node, tells: bool) -> None:
        """A rule at an instant, as text and in core nodes."""
        self.cases.add(case)
        self.used.update(set(covered(node)))
        self.telling[kind] += tells

    def table(self, histories: int) -> str:
        """As text: the number of cases, and how many rules used each part of the language."""
        cells = [f"{name}: {self.used[name]}" for name in sorted(self.used)]
        wide = max(map(len, cells)) + 2
        rows = ["".join(cell.ljust(wide) for cell in cells[at : at + 4]).rstrip() for at in range(0, len(cells), 4)]
        many = len(self.cases)
        head = f"{many} different rules and instants × {histories} histories = {many * histories} cases; used by:"
        return "\n".join(["", head, *rows, f"holding for some and not for others: {dict(self.telling)}"])


def covered(node: core.Node) -> Iterator[str]:
    """What of the language a rule uses, by name: its nodes, and of each what it asks how."""
    yield type(node).__name__
    if isinstance(node, core.And | core.Or):
        for child in node.children:
            yield from covered(child)
    elif isinstance(node, core.Not):
        yield from covered(node.child)
    elif isinstance(node, core.Attribute | core.Tier):
        yield f"{type(node).__name__} {node.test.op}"
    elif isinstance(node, core.Subscribed):
        yield from (f"Subscribed {name} {test.op}" for name, test in node.facts)
    elif isinstance(node, core.Message):
        yield from _window(f"Message {node.outcome}", node.window)
    elif isinstance(node, core.Points):
        yield f"Points {'balance' if node.within is None else 'expiring'} {node.compare.op}"
    elif isinstance(node, core.OrderGap):
        yield f"OrderGap {node.ratio.op}"
    elif isinstance(node, core.Rfm):
        yield from (f"Rfm {score} {test.op}" for score, test in node.scores)
    else:
        yield from _of_happenings(node)


def _of_happenings(node: core.Node) -> Iterator[str]:
    if isinstance(node, core.Fold):
        yield f"Fold {node.source.stream} {node.function} {node.compare.op}"
        yield from _source(node.source)
    elif isinstance(node, core.Rank):
        yield f"Rank {node.source.stream} {node.function}"
        yield from _source(node.source)
    elif isinstance(node, core.Edge):
        yield f"Edge {node.source.stream} {'last' if node.newest else 'first'} {'before' if node.older else 'within'}"
        yield from _source(node.source)
    elif isinstance(node, core.Sequence):
        absent = "" if node.absent is None else " absent" if node.gap is None else " absent gap"
        yield f"Sequence {len(node.steps)}{absent}{' same' if node.same else ''}"
        for step in node.steps:
            yield f"Sequence {step.stream}"
            yield from (f"where {test.op}" for _name, test in step.where)


def _source(source: core.Source) -> Iterator[str]:
    yield from (f"where {source.stream} {test.op}" for _name, test in source.where)
    yield from _window(f"window {source.stream}", source.window)


def _window(of: str, window: core.Window) -> Iterator[str]:
    named = {"within": window.within, "from": window.start, "to": window.end}
    yield f"{of} {' '.join(name for name, given in named.items() if given is not None) or 'always'}"
