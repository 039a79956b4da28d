"""Once the story is told: the shop stays open for a person's own browser, until Ctrl-C."""

import sys
import threading
from itertools import count

from rich.console import Console

from push_server.demo.client import ApiError
from push_server.demo.segments import Telling
from push_server.demo.story import Story


def stay(story: Story, console: Console) -> None:
    """Say where everything is, and at each Enter send a campaign to those who filled a cart at the shop."""
    shop = story.shop
    console.print(f"\nThe demo shop, for your own browser: [bold]{shop.url}[/bold]")
    console.print(f"The API: {shop.api} (what it takes: {shop.api}/docs). The site's keys:")
    console.print(f"  {shop.public_key}  (public)\n  {shop.secret_key}  (secret)", markup=False)
    console.print(
        "Your browser subscribes at its maker's push service, so it and this machine need the internet for that; "
        "offline, subscribing fails with the code `subscribe_failed`, and all else works."
    )
    at_a_terminal = sys.stdin.isatty()
    if at_a_terminal:
        console.print(
            "Ask for notifications there, put a record in the cart, and press Enter here: a campaign goes to everybody "
            "who filled a cart in the last 24 hours."
        )
    console.print("Ctrl-C ends everything.")
    try:
        if at_a_terminal:
            for number in count(1):
                input()
                console.print(_remind(story, number), markup=False)
        threading.Event().wait()
    except (KeyboardInterrupt, EOFError):
        console.print("ending …")


def _remind(story: Story, number: int) -> str:
    telling = Telling(
        f"cart-{number}",
        "Filled a cart in the last 24 hours",
        {"version": 1, "where": {"event": "Product Added", "within": "24h"}},
        lambda _person, _at: False,  # the people of the file have no carts
        "Your record is still on the counter",
        "We put it aside for you – click to hear how it ends.",
    )
    try:
        sent = story.segment(telling)
        story.send(sent)
        story.watch([sent], lambda _done, _total: None)
    except (ApiError, TimeoutError) as error:
        return f"  not sent: {error}"
    states = {state: number for state, number in sent.report["states"].items() if number}
    return f"  {sent.size} customers: {states or 'nobody yet'} {sent.report['reasons'] or ''}"
