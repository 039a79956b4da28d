"""A site's quiet hours: the part of each customer's day in which its campaigns are silent."""

from datetime import time
from typing import Any, Final

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from push_server.fields import Body, TimeOfDay
from push_server.sites.models import Site

SETTING: Final = "quiet_hours"


class QuietHoursIn(Body):
    """From when to when, in the customer's zone, else the site's; over midnight where `to` is earlier than `from`."""

    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")

    @model_validator(mode="after")
    def _some(self) -> "QuietHoursIn":
        if self.start == self.end:
            raise PydanticCustomError("empty", "`from` and `to` must differ; null turns quiet hours off")
        return self


def quiet_hours_of(site: Site) -> tuple[time, time] | None:
    """From when to when, or None where the site has none."""
    stored: Any = site.settings.get(SETTING)
    return (time.fromisoformat(stored["from"]), time.fromisoformat(stored["to"])) if stored else None
