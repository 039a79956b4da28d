"""Which languages an Accept-Language header wants, in which order."""

import pytest

from push_server.audiences.language import accepted


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", ["de-AT", "de", "en"]),
        ("en;q=0.5, de", ["de", "en"]),
        ("en;q=0, de;q=0.1", ["de"]),
        ("de;q=1.0, hu; q=0.7", ["de", "hu"]),
        ("de;q=x, hu;q=nan, en;q=7", []),
        ("", [""]),
        ("*", ["*"]),
        (",".join(["de"] * 10_000), ["de"] * 50),
    ],
)
def test_tags_by_weight(header: str, tags: list[str]) -> None:
    assert accepted(header) == tags
