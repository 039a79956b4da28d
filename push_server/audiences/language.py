"""In which language an answer tells rules: the one that `?locale=` or `Accept-Language` asks for, else English."""

from typing import Annotated

from fastapi import Depends, Header, Query, Response

from segments.language import Language, best

_MOST = 50  # tags of a header; browsers send a handful


def _asked_for(
    response: Response,
    locale: Annotated[
        str | None,
        Query(
            max_length=100,
            description="the language of `sentence` and `words`, such as `de`; before `Accept-Language`",
        ),
    ] = None,
    accept_language: Annotated[str | None, Header(description="the same; English where neither is spoken")] = None,
) -> Language:
    language = best([locale] if locale else accepted(accept_language or ""))
    response.headers["Content-Language"] = language.tag
    response.headers["Vary"] = "Accept-Language"
    return language


def accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first (RFC 9110, 12.5.4); nonsense is left out."""
    weighed: list[tuple[float, str]] = []
    for entry in header.split(",")[:_MOST]:
        tag, _, weight = entry.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if 0 < quality <= 1:
            weighed.append((quality, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda each: -each[0])]


Spoken = Annotated[Language, Depends(_asked_for)]
