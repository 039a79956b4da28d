"""From subscribe() in stock Firefox to a click in the report, through the real server and a push service's wire."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.browser.conftest import Site
from tests.doubles.autopush import Autopush
from tests.doubles.firefox import Firefox, eventually

pytestmark = pytest.mark.browser

SHOWN = """navigator.serviceWorker.ready.then((registration) => registration.getNotifications()).then((all) =>
    all.map(({title, body, tag}) => ({title, body, tag})))"""
CLEAR_SCREEN = """navigator.serviceWorker.getRegistration().then((registration) => registration?.getNotifications())
    .then((all) => (all || []).forEach((notification) => notification.close()))"""
SUBSCRIPTION = """navigator.serviceWorker.ready.then((registration) => registration.pushManager.getSubscription())
    .then((subscription) => subscription && subscription.toJSON())"""

KEY = """navigator.serviceWorker.ready.then((registration) => registration.pushManager.getSubscription())
    .then(({options}) => btoa(String.fromCharCode(...new Uint8Array(options.applicationServerKey)))
        .replace(/\\+/g, "-").replace(/\\//g, "_").replace(/=/g, ""))"""


class Visitor:
    """A customer at the shop, signed in under a name of his own, in the tests' one browser."""

    def __init__(self, browser: Firefox, site: Site) -> None:
        self.browser, self.site = browser, site
        self.customer = f"vevő-{uuid4().hex[:8]}"
        self.tab = browser.open(site.shop)
        self.tab.run("localStorage.clear()")
        self.tab.run(CLEAR_SCREEN)
        self.enter()

    def enter(self) -> None:
        """Load the shop's page (again), and wait for the SDK."""
        self.tab.navigate(self.site.shop)
        eventually(lambda: self.tab.run("window.homing.loaded"), "the SDK")

    def opt_in(self, **traits: object) -> "Visitor":
        """Sign in and subscribe at a click, with the permission granted before."""
        self.allow("granted")
        self.call("identify", self.customer, traits)
        self.call("subscribe")
        return self

    def call(self, name: str, *arguments: object) -> Any:
        """`await homing.name(…arguments)` as if at a click."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        return self.tab.run(f"homing.{name}({given})", gesture=True)

    def allow(self, state: str) -> None:
        """Set the shop's notification permission: granted, denied or prompt."""
        self.browser.allow_notifications(self.site.shop, state)

    def heard(self) -> list[str]:
        """The SDK's events in this page so far."""
        return self.tab.run("window.heard.map(([name]) => name)")

    def screen(self) -> list[dict[str, str]]:
        """The notifications that are up."""
        return self.tab.run(SHOWN)

    def subscription(self) -> dict[str, Any]:
        """The browser's subscription."""
        return self.tab.run(SUBSCRIPTION)


class Campaigns:
    """Campaigns to one customer, over the API."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def send(self, customer: str, **notification: object) -> str:
        """Send to a segment that holds that customer alone; the campaign's id."""
        buy(self.site, customer)
        rule = {"event": "Order Completed", "where": {"order_id": {"eq": f"order-{customer}"}}, "within": "1d"}
        segment = self.site.server.post("/v1/segments", {"name": customer, "rule": {"version": 1, "where": rule}})
        return self.send_to(segment["id"], **notification)

    def send_to(self, segment: str, **notification: object) -> str:
        """Send to a segment; the campaign's id."""
        text = {
            "title": "Szia, {{ customer.first_name }}!",
            "body": "Új lemezek",
            "url": f"{self.site.shop}/offer.html",
        }
        body = {
            "name": "a test's",
            "audience": {"include": [segment]},
            "variants": [{"weight": 1, "notification": text | notification}],
            "ttl": 600,
            "urgency": "high",
            "quiet_hours": "ignore",
            "cap": "ignore",
        }
        campaign = self.site.server.post("/v1/campaigns", body)["id"]
        self.site.server.post(f"/v1/campaigns/{campaign}/send")
        return str(campaign)

    def report(self, campaign: str) -> dict[str, Any]:
        """Its report now."""
        report: dict[str, Any] = self.site.server.get(f"/v1/campaigns/{campaign}/report")
        assert sum(report["states"].values()) == report["audience"]
        return report

    def until(self, campaign: str, **outcomes: int) -> dict[str, Any]:
        """The report once its outcomes are these."""

        def look() -> dict[str, Any] | None:
            report = self.report(campaign)
            return report if all(report["outcomes"][name] == number for name, number in outcomes.items()) else None

        return eventually(look, f"{outcomes} in the report")

    def until_state(self, campaign: str, state: str) -> dict[str, Any]:
        """The report once the one delivery is in that state."""
        return eventually(
            lambda: (report := self.report(campaign)) and report["states"].get(state) == 1 and report, state, 40
        )


def buy(site: Site, customer: str) -> None:
    """A purchase comes in from the shop's server."""
    order = {"order_id": f"order-{customer}", "revenue": 12.5, "products": []}
    event = {"type": "track", "event": "Order Completed", "userId": customer, "properties": order}
    site.server.post("/v1/batch", {"batch": [event | {"messageId": f"order-{customer}"}]})


@pytest.fixture
def visitor(firefox: Firefox, site: Site) -> Visitor:
    for tab in firefox.tabs()[1:]:
        tab.close()
    return Visitor(firefox, site)


@pytest.fixture
def campaigns(site: Site) -> Campaigns:
    return Campaigns(site)


def test_from_the_soft_prompt_to_a_click_in_the_report(
    visitor: Visitor, campaigns: Campaigns, autopush: Autopush
) -> None:
    visitor.allow("prompt")
    visitor.call("identify", visitor.customer, {"first_name": "Örs"})
    visitor.tab.run("void homing.prompt()")
    visitor.tab.click("section button:last-child")
    visitor.browser.answer_permission_prompt(allow=True)
    eventually(lambda: "subscribed" in visitor.heard(), "the subscription")
    assert visitor.heard()[:2] == ["prompt-shown", "prompt-accepted"]

    campaign = campaigns.send(visitor.customer, body="„Árvíztűrő” lemezek ♫ {{ customer.first_name | upcase }}")
    [shown] = eventually(visitor.screen, "the notification")
    assert (shown["title"], shown["body"]) == ("Szia, Örs!", "„Árvíztűrő” lemezek ♫ ÖRS")
    report = campaigns.until(campaign, shown=1)
    assert (report["audience"], report["states"].get("accepted")) == (1, 1)
    assert report["outcomes"]["clicked"] == 0

    visitor.browser.click_notification()
    eventually(lambda: any(url.endswith("/offer.html") for url in visitor.browser.urls()), "the offer's page")
    outcomes = campaigns.until(campaign, clicked=1)["outcomes"]
    assert (outcomes["shown"], outcomes["closed"]) == (1, 0)
    eventually(lambda: "notification-clicked" in visitor.heard(), "the page's event")
    assert autopush.received[-1].status == 201


def test_a_delivery_that_arrives_twice_is_shown_once(
    visitor: Visitor, campaigns: Campaigns, autopush: Autopush
) -> None:
    visitor.opt_in(first_name="Kata")
    campaign = campaigns.send(visitor.customer)
    campaigns.until(campaign, shown=1)
    [first] = visitor.screen()
    autopush.push_again(autopush.received[-1])
    campaigns.until(campaigns.send(visitor.customer), shown=1)  # what the repetition caused came before this
    assert len(visitor.screen()) == 2
    assert visitor.screen().count(first) == 1
    assert campaigns.report(campaign)["outcomes"]["shown"] == 1


def test_a_notification_put_away_is_closed_in_the_report(visitor: Visitor, campaigns: Campaigns) -> None:
    visitor.opt_in(first_name="Kata")
    campaign = campaigns.send(visitor.customer)
    campaigns.until(campaign, shown=1)
    visitor.browser.close_notification()
    assert campaigns.until(campaign, closed=1)["outcomes"]["clicked"] == 0
    assert visitor.screen() == []


def test_a_push_is_shown_with_no_page_open(visitor: Visitor, campaigns: Campaigns) -> None:
    visitor.opt_in(first_name="Kata")
    visitor.tab.navigate("about:blank")
    campaign = campaigns.send(visitor.customer, title="Zárva is szól")
    campaigns.until(campaign, shown=1)
    visitor.enter()
    assert "Zárva is szól" in [shown["title"] for shown in visitor.screen()]


def test_a_push_to_a_closed_browser_waits_for_it(visitor: Visitor, campaigns: Campaigns, autopush: Autopush) -> None:
    visitor.opt_in(first_name="Kata")
    before = len(autopush.received)
    visitor.browser.stop()
    campaign = campaigns.send(visitor.customer)
    autopush.wait_for_push(before + 1)
    assert campaigns.until_state(campaign, "accepted")["outcomes"]["shown"] == 0
    visitor.browser.start()
    campaigns.until(campaign, shown=1)


def test_a_push_service_that_asks_to_wait_is_asked_again_later(
    visitor: Visitor, campaigns: Campaigns, autopush: Autopush
) -> None:
    visitor.opt_in(first_name="Kata")
    before = len(autopush.received)
    autopush.script(429, retry_after="2")
    campaigns.until(campaigns.send(visitor.customer), shown=1)
    refused, taken = autopush.received[before:]
    assert (refused.status, taken.status) == (429, 201)
    assert refused.token == taken.token
    assert taken.at - refused.at >= 2


def test_unsubscribing_ends_it_on_both_sides(visitor: Visitor, campaigns: Campaigns) -> None:
    visitor.opt_in(first_name="Kata")
    endpoint = visitor.subscription()["endpoint"]
    assert visitor.call("unsubscribe") is True
    assert visitor.subscription() is None
    assert _status_of_a_push_to(endpoint) == 410
    report = campaigns.until_state(campaigns.send(visitor.customer), "suppressed")
    assert report["reasons"] == {"no_subscription": 1}


def test_a_subscription_that_the_push_service_calls_gone_is_retired(visitor: Visitor, campaigns: Campaigns) -> None:
    visitor.opt_in(first_name="Kata")
    visitor.tab.run(
        "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s.unsubscribe())"
    )
    report = campaigns.until_state(campaigns.send(visitor.customer), "failed")
    assert report["reasons"] == {"gone": 1}
    again = campaigns.until_state(campaigns.send(visitor.customer), "suppressed")
    assert again["reasons"] == {"no_subscription": 1}


def test_a_renewed_subscription_replaces_the_old_one(
    visitor: Visitor, campaigns: Campaigns, autopush: Autopush
) -> None:
    visitor.opt_in(first_name="Kata")
    old = visitor.subscription()["endpoint"]
    autopush.forget_user_agents()
    eventually(lambda: (now := visitor.subscription()) and now["endpoint"] != old, "another subscription", 60)
    campaign = campaigns.send(visitor.customer)
    assert campaigns.until(campaign, shown=1)["audience"] == 1


def test_a_new_vapid_key_reaches_the_browser_at_its_next_visit(
    visitor: Visitor, campaigns: Campaigns, autopush: Autopush
) -> None:
    visitor.opt_in(first_name="Kata")
    site, old = visitor.site, visitor.subscription()["endpoint"]
    made = site.server.post("/v1/site/vapid-keys")["public_key"]
    campaigns.until(campaigns.send(visitor.customer), shown=1)  # signed with the old key, or it would be refused
    config = json.dumps(f"{site.api}/v1/sdk/config?key={site.public_key}")
    visitor.tab.run(f"fetch({config}, {{cache: 'reload', credentials: 'omit'}}).then(() => null)")  # the minute is over
    visitor.enter()
    eventually(lambda: (now := visitor.subscription()) and now["endpoint"] != old, "another subscription")
    states = eventually(lambda: len(found := _states(visitor)) == 2 and found, "the new one at the server")
    assert states == ["replaced", "active"]
    assert visitor.heard() == []  # no prompt
    assert visitor.tab.run(KEY) == made
    assert _status_of_a_push_to(old) == 410
    before = len(autopush.received)
    assert campaigns.until(campaigns.send(visitor.customer), shown=1)["audience"] == 1
    assert [push.status for push in autopush.received[before:]] == [201]


def test_a_no_to_the_soft_prompt_is_respected(visitor: Visitor) -> None:
    visitor.tab.run(
        "navigator.serviceWorker.getRegistration().then((r) => r && r.pushManager.getSubscription())"
        ".then((s) => s && s.unsubscribe())"
    )
    visitor.allow("prompt")
    visitor.tab.run("void homing.prompt()")
    visitor.tab.click("section button:first-child")
    eventually(lambda: visitor.heard() == ["prompt-shown", "prompt-declined"], "the refusal")
    visitor.enter()
    assert visitor.call("prompt") == "suppressed"
    assert visitor.heard() == []
    assert visitor.call("permission") == "default"


def test_the_demo_shop_from_opting_in_to_a_reminder(firefox: Firefox, site: Site) -> None:
    firefox.allow_notifications(site.example, "granted")
    tab = firefox.open(site.example)
    tab.click("#notify")
    eventually(lambda: "You will hear from us" in tab.run("document.querySelector('#state').textContent"), "opting in")
    tab.click("#records li:nth-child(4) button")
    rule = {"event": "Product Added", "where": {"product_id": {"eq": "fo4"}}, "within": "1h"}
    asked = {"rule": {"version": 1, "where": rule}}
    eventually(lambda: site.server.post("/v1/segments/estimate", asked)["reachable"] == 1, "the cart in a segment")
    segment = site.server.post("/v1/segments", asked | {"name": "Carts"})["id"]
    Campaigns(site).send_to(segment, title="A „Hazafelé” még megvan", body="Patak Zenekar")
    [shown] = eventually(lambda: tab.run(SHOWN), "the reminder")
    assert (shown["title"], shown["body"]) == ("A „Hazafelé” még megvan", "Patak Zenekar")


def _states(visitor: Visitor) -> list[str]:
    found = visitor.site.server.get(f"/v1/subscriptions?external_id={quote(visitor.customer)}")
    return [subscription["state"] for subscription in found["data"]]


def _status_of_a_push_to(endpoint: str) -> int:
    request = urllib.request.Request(endpoint, b"", {"TTL": "0"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
