"""What the demo shows at the end, and its judgement: did each expected notification arrive exactly once?"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from push_server.demo.browsers import delivery_of
from push_server.demo.story import Sent, Story


@dataclass(slots=True)
class Arrivals:
    """What the browsers of one run saw."""

    shown: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By campaign mark: how many notifications each customer was shown."""
    payloads: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    """By campaign mark: customer and payload, in the order of arrival."""
    again: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All notifications shown."""
        return sum(count.total() for count in self.shown.values())

    def receipts(self) -> tuple[list[str], list[str]]:
        """The delivery tokens of all that was shown, and of the seventh part of it that is clicked."""
        shown = [delivery_of(payload) for arrived in self.payloads.values() for _customer, payload in arrived]
        return shown, shown[::7]


def arrivals(story: Story) -> Arrivals:
    """Read the push service's journal."""
    found = Arrivals()
    ours: set[str] = set()
    for entry in story.screens():
        if "shown" in entry:
            mark = entry["payload"]["notification"]["data"].get("campaign", "")
            if mark.startswith(story.run_id):
                ours.add(entry["shown"])
                customer = story.owner[entry["token"]]
                found.shown[mark][customer] += 1
                found.payloads[mark].append((customer, entry["payload"]))
        elif "again" in entry:
            found.again += entry["again"] in ours
        elif "rejected" in entry:
            found.faults[f"rejected as {entry['rejected']}"] += 1
        elif "unreadable" in entry:
            found.faults["could not be decrypted"] += 1
    return found


def judge(story: Story, campaigns: list[Sent], found: Arrivals, earlier: datetime, later: datetime) -> list[str]:
    """What is wrong, in words; nothing when all is well."""
    wrong = [f"{count} push messages {fault}" for fault, count in found.faults.items()]
    for sent in campaigns:
        name, shown = sent.telling.name, found.shown[story.mark(sent)]
        must, may = story.expected(sent, earlier, later)
        members = story.members(sent)
        wrong += _difference(f"{name}: members according to the server", members, must, may)
        wrong += _difference(f"{name}: customers who saw the notification", set(shown), must, may)
        if twice := [customer for customer, times in shown.items() if times > 1]:
            wrong.append(f"{name}: shown more than once to {_some(twice)}")
        wrong += _misworded(story, sent, found, earlier, later)
        states, outcomes = sent.report["states"], sent.report["outcomes"]
        if sum(states.values()) != sent.report["audience"]:
            wrong.append(f"{name}: the states {states} do not add up to the audience {sent.report['audience']}")
        if states.get("accepted") != len(shown):
            wrong.append(f"{name}: {states.get('accepted', 0)} accepted in the report, {len(shown)} arrived")
        if outcomes["shown"] != len(shown):
            wrong.append(f"{name}: {outcomes['shown']} shown in the report, {len(shown)} receipts sent")
    return wrong


def _misworded(story: Story, sent: Sent, found: Arrivals, earlier: datetime, later: datetime) -> list[str]:
    says = sent.telling.says
    if says is None:
        return []
    people = {person.customer: person for person in story.purchases.people}
    return [
        f"{sent.telling.name}: customer {customer} was told “{body}”"
        for customer, payload in found.payloads[story.mark(sent)]
        if (body := payload["notification"]["body"]) not in {says(people[customer], at) for at in (earlier, later)}
    ]


def _difference(what: str, found: set[str], must: set[str], may: set[str]) -> list[str]:
    missing, extra = must - found, found - may
    said = [f"{what}: {len(missing)} missing, {_some(sorted(missing))}"] if missing else []
    return said + ([f"{what}: {len(extra)} too many, {_some(sorted(extra))}"] if extra else [])


def _some(customers: list[str]) -> str:
    return "customers " + ", ".join(customers[:5]) + (" …" if len(customers) > 5 else "")


def show_segments(console: Console, segments: list[Sent]) -> None:
    """Each segment's size and how long the server took to count it."""
    table = Table(title="Segments", title_justify="left", header_style="bold")
    table.add_column("segment")
    for heading in ("customers", "reachable", "took"):
        table.add_column(heading, justify="right")
    for sent in segments:
        table.add_row(sent.telling.name, f"{sent.size:,}", f"{sent.reachable:,}", f"{sent.took_ms:.1f} ms")
    console.print(table)


def show_reports(console: Console, campaigns: list[Sent]) -> None:
    """Each campaign's report."""
    table = Table(title="Campaigns", title_justify="left", header_style="bold")
    table.add_column("campaign to")
    for heading in ("audience", "accepted", "other", "shown", "clicked"):
        table.add_column(heading, justify="right")
    for sent in campaigns:
        states, outcomes = sent.report["states"], sent.report["outcomes"]
        accepted = states.get("accepted", 0)
        other = sum(states.values()) - accepted
        numbers = (sent.report["audience"], accepted, other, outcomes["shown"], outcomes["clicked"])
        table.add_row(sent.telling.name, *(f"{number:,}" for number in numbers))
    console.print(table)


def show_notifications(console: Console, story: Story, campaigns: list[Sent], found: Arrivals, number: int = 3) -> None:
    """Decrypted notifications, as the customer sees them."""
    console.print("\n[bold]As the customers see it[/bold] (decrypted by the simulated browsers)")
    for sent in campaigns[:number]:
        for customer, payload in found.payloads[story.mark(sent)][:1]:
            notification = payload["notification"]
            text = Text.assemble(
                (notification["title"], "bold"),
                f"\n{notification.get('body', '')}\n",
                (notification["navigate"], "dim"),
            )
            title = Text(f"customer {customer} · delivery {delivery_of(payload)[:12]}…", "dim")
            console.print(Panel(text, title=title, title_align="left", width=76, border_style="cyan"))
