"""Which routers and jobs there are."""

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """Every API router, in the order of the OpenAPI document."""
    return []
