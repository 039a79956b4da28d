"""Liquid templates of message texts: checked when they are stored, rendered strictly, and bounded in what they cost.

Strict: an unknown variable is an error unless `| default:` gives a value. Bounded, because attributes come from
browsers: no ranges, no includes, few loop turns, short results.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, Final

from liquid import Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidError, LiquidSyntaxError, OutputStreamLimitError
from liquid.expression import Expression
from liquid.template import BoundTemplate
from liquid.undefined import StrictDefaultUndefined

MAX_RESULT: Final = 10_000
"""Characters of any value in between; a push message holds fewer than 4,000 bytes."""


class TemplateFault(ValueError):
    """A template that cannot be read or rendered; the text says where and why."""


class _Environment(Environment):
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = 500
    local_namespace_limit = 50_000
    output_stream_limit = MAX_RESULT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag in ("include", "render", "tablerow"):
            del self.tags[tag]
        self.filters = {name: _bounded(function) for name, function in self.filters.items()}


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, whose result may not grow beyond bounds, so that a chain of filters cannot explode."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        big = len(result) > MAX_RESULT if isinstance(result, (str, list)) else False
        if big or (isinstance(result, int) and result.bit_length() > 256):
            raise OutputStreamLimitError("a filter's result is too long", token=None)
        return result

    return bounded


_environment = _Environment(undefined=StrictDefaultUndefined)


def is_static(text: str) -> bool:
    """Whether the text reads the same for everybody."""
    return "{{" not in text and "{%" not in text


def check(text: str) -> None:
    """TemplateFault, with line and column, unless the text is a template that can be rendered."""
    if not is_static(text):
        _compile(text)


def reads(text: str, name: str) -> bool:
    """Whether the template, which `check` has passed, reads a variable of this name, such as `points`."""
    return name in text and not is_static(text) and name in _compile(text).analyze(include_partials=False).globals


def render(text: str, variables: Mapping[str, object]) -> str:
    """The text with its variables filled in. TemplateFault for an unknown one, or when anything else goes wrong."""
    if is_static(text):
        return text
    template = _compile(text)
    try:
        return str(template.render(**variables))
    except LiquidError as error:
        raise TemplateFault(_describe(error)) from error
    except Exception as error:  # a filter met an odd attribute: the fault of one delivery, not of a chunk
        raise TemplateFault(f"a filter cannot take this value: {error}") from error


@lru_cache(maxsize=512)
def _compile(text: str) -> BoundTemplate:
    try:
        template = _environment.from_string(text)
        unknown = next(((name, at) for name, at in _filters(template) if name not in _environment.filters), None)
    except LiquidError as error:
        raise TemplateFault(_describe(error)) from error
    except Exception as error:  # a parser is no place to learn of a 500
        raise TemplateFault(f"cannot be read: {error}") from error
    if unknown:
        raise TemplateFault(f"unknown filter '{unknown[0]}'{_position(text, unknown[1])}")
    for expression in _expressions(template):
        if isinstance(expression, RangeLiteral):
            raise TemplateFault(f"ranges such as (1..9) are not allowed{_position(text, expression.token.start_index)}")
    return template


def _filters(template: BoundTemplate) -> Iterator[tuple[str, int]]:
    for name, spans in template.analyze(include_partials=False).filters.items():
        yield name, spans[0].index


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    context = RenderContext(template)
    nodes: list[Node] = list(template.nodes)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children(context, include_partials=False))
        open_expressions = list(node.expressions())
        while open_expressions:
            expression = open_expressions.pop()
            open_expressions.extend(expression.children())
            yield expression


def _describe(error: LiquidError) -> str:
    source = error.token.source if error.token is not None else ""
    where = _position(source, error.token.start_index) if error.token is not None else ""
    kind = "" if not isinstance(error, LiquidSyntaxError) else "syntax: "
    return f"{kind}{error.message}{where}"


def _position(source: str, index: int) -> str:
    if not 0 <= index <= len(source):
        return ""
    line = source.count("\n", 0, index) + 1
    column = index - source.rfind("\n", 0, index)
    return f" (line {line}, column {column})"
