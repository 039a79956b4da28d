"""`/v1/loyalty/program`: the site's points programme."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from push_server import http
from push_server.errors import Fault, Invalid
from push_server.fields import Body, Name
from push_server.http import session_of
from push_server.loyalty.program import Program, program_of, set_program
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope
from segments.moments import LONGEST, read_duration

router = http.router("loyalty")
EXAMPLE: Any = {
    "points_name": {"singular": "paw", "plural": "paws"},
    "expires_after": "365d",
    "tiers": ["bronze", "silver", "gold"],
}


def _lasting(text: str) -> str:
    duration = read_duration(text)
    if duration is None:
        raise PydanticCustomError("bad_duration", 'must be a duration such as "365d", with m, h, d or w')
    if duration.length > LONGEST:
        raise PydanticCustomError("bad_duration", f"must be at most {LONGEST.days} days")
    return text


Label = Annotated[Name, StringConstraints(max_length=50)]


class PointsName(Body):
    """What one point, and what several are called."""

    singular: Label
    plural: Label


class ProgramIn(Body):
    """The whole programme; what is left out is as where a site has set none."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    points_name: PointsName = PointsName(singular="point", plural="points")
    expires_after: Annotated[str, StringConstraints(strict=True), AfterValidator(_lasting)] | None = Field(
        default=None, description="how long lots last of which nothing else is said, such as 365d; null: for ever"
    )
    tiers: list[Name] = Field(default_factory=list, max_length=50, description="names, the lowest first")


class ProgramOut(BaseModel):
    """The programme."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    points_name: PointsName
    expires_after: str | None
    tiers: list[str]


@router.get("/v1/loyalty/program")
def get_program(request: Request, _principal: Annotated[Principal, Depends(require(Scope.LOYALTY_READ))]) -> ProgramOut:
    """The site's programme. One that has set none has `points` that last for ever, and no tiers."""
    session = session_of(request)
    return _out(program_of(session.raw, session.site_id) or Program())


@router.put("/v1/loyalty/program")
def put_program(
    body: ProgramIn, request: Request, _principal: Annotated[Principal, Depends(require(Scope.LOYALTY_WRITE))]
) -> ProgramOut:
    """Replace the programme. It is for lots from here on: those that are in keep their expiry."""
    _check_tiers(body.tiers)
    duration = None if body.expires_after is None else read_duration(body.expires_after)
    program = Program(body.points_name.singular, body.points_name.plural, duration, tuple(body.tiers))
    session = session_of(request)
    set_program(session.raw, session.site_id, program)
    return _out(program)


def _check_tiers(tiers: list[str]) -> None:
    faults = [
        Fault(f"$.tiers[{at}]", f"is also in $.tiers[{tiers.index(tier)}]", "duplicate_tier")
        for at, tier in enumerate(tiers)
        if tiers.index(tier) < at
    ]
    if faults:
        raise Invalid("A tier stands twice; name each once, the lowest first.", code="duplicate_tier", faults=faults)


def _out(program: Program) -> ProgramOut:
    return ProgramOut(
        points_name=PointsName(singular=program.singular, plural=program.plural),
        expires_after=program.expires_after.text if program.expires_after else None,
        tiers=list(program.tiers),
    )
