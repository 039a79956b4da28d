"""What a page is told about its site: never more than what its visitors may know."""

from pydantic import BaseModel, Field

from push_server.db import SiteSession
from push_server.security import b64url
from push_server.sites.models import Site
from push_server.sites.service import active_vapid_key


class PromptTexts(BaseModel):
    """The soft prompt's words, plain text; the site's settings (`prompt`) replace any of them."""

    title: str = "Don’t miss what matters"
    body: str = "May we tell you when prices drop and things you like are back? You can stop it at any time."
    accept: str = "Yes, please"
    decline: str = "Not now"


class SdkConfig(BaseModel):
    """The answer of GET /v1/sdk/config."""

    site: str = Field(description="the shop's name")
    vapid_public_key: str = Field(description="base64url, what pushManager.subscribe takes")
    prompt: PromptTexts
    topics: list[str] = Field(description="what a visitor may choose among")
    identity_verification: bool = Field(description="whether userHash is demanded beside userId")


def describe(session: SiteSession, site: Site) -> SdkConfig:
    """The configuration of the session's site."""
    prompt, topics = site.settings.get("prompt"), site.settings.get("topics")
    texts = prompt.items() if isinstance(prompt, dict) else ()
    return SdkConfig(
        site=site.name,
        vapid_public_key=b64url(active_vapid_key(session).public_key),
        prompt=PromptTexts.model_validate({name: text for name, text in texts if isinstance(text, str) and text}),
        topics=[topic for topic in topics if isinstance(topic, str)] if isinstance(topics, list) else [],
        identity_verification=site.identity_verification,
    )
