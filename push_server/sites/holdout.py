"""The part of a site's customers that none of its campaigns goes to, to tell what campaigns are worth."""

from typing import Annotated, Final

from pydantic import Field

from push_server.sites.models import Site

SETTING: Final = "holdout_percent"
HoldoutPercent = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
"""More than half are no comparison, and a slip of a key must not silence a shop."""


def holdout_of(site: Site) -> float:
    """In percent; 0 where the site has set none."""
    stored = site.settings.get(SETTING)
    return float(stored) if isinstance(stored, (int, float)) else 0
