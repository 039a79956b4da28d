"""`/v1/segments/{id}/explain/{external_id}`: why somebody is in a segment or not."""

from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import AfterValidator, BaseModel, Field

from push_server import clock, http
from push_server.audiences.api import Reader
from push_server.audiences.explain import explain
from push_server.audiences.language import Spoken
from push_server.audiences.service import find_segment
from push_server.customers.service import find_customer
from push_server.fields import storable
from push_server.http import session_of

router = http.router("segments")


class Tree(BaseModel):
    """A condition of the rule for one customer, and below it the conditions that it joins.

    `node` is the condition as the rule has it, without those it joins; `words` the same in the language asked for.
    `observed` is what was found of the customer, null where it is missing, and `threshold` what that is compared with,
    by operator. `changes_at` is the next instant at which the truth can change without a new event; null: never.
    """

    node: dict[str, Any]
    words: str
    truth: bool
    observed: Any
    threshold: dict[str, Any] | None
    changes_at: str | None
    children: "list[Tree]"


class ExplanationOut(BaseModel):
    """Whether the customer is a member at the instant that the segment is fresh as of, and why."""

    member: bool
    at: Annotated[str, Field(examples=["2026-03-01T12:00:00Z"])]
    sentence: str
    tree: Tree


@router.get("/v1/segments/{segment_id}/explain/{external_id:path}")
def get_explanation(
    segment_id: str,
    external_id: Annotated[str, Path(min_length=1, max_length=255), AfterValidator(storable)],
    request: Request,
    _principal: Reader,
    language: Spoken,
) -> ExplanationOut:
    """The rule's tree with what was found of a customer at each condition."""
    session = session_of(request)
    find_segment(session, segment_id)
    found = explain(session, segment_id, find_customer(session, external_id), language)
    tree = Tree.model_validate(found.tree)
    return ExplanationOut(member=found.member, at=clock.rfc3339(found.at), sentence=found.sentence, tree=tree)
