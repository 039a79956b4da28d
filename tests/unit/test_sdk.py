"""The built SDK files: within their budgets, and given in the coding that a caller takes."""

import pytest

from push_server.sdk.assets import accepts_gzip, asset, matches


@pytest.mark.parametrize(("name", "budget"), [("sdk.js", 6144), ("sw.js", 4096)])
def test_the_budget_of_each_file(name: str, budget: int) -> None:
    assert len(asset(name).gzip.body) <= budget


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("identity", False),
        ("", False),
        (";;q=,", False),
    ],
)
def test_who_takes_gzip(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


@pytest.mark.parametrize(
    ("header", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), (None, False)],
)
def test_who_has_it_already(header: str | None, same: bool) -> None:
    assert matches(header, '"a"') is same
