"""`homing demo`: the main job on real purchases, end to end, on this machine."""

import argparse
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from push_server import clock, log
from push_server.demo import data, report
from push_server.demo.client import ApiError
from push_server.demo.points import LIFE
from push_server.demo.segments import telling
from push_server.demo.stage import stage
from push_server.demo.stay import stay
from push_server.demo.story import Sent, Story
from push_server.interrupts import interrupts


def main(args: list[str]) -> int:
    """Run the demo; 0 when each expected notification was shown exactly once."""
    options = _options(args)
    log.configure("demo", "ERROR")
    console = Console(highlight=False)
    started = time.monotonic()
    port = options.port if options.port is not None else (0 if options.once else 8000)
    console.print("Starting PostgreSQL, Valkey, the API, workers, the scheduler and a push service …")
    with interrupts():  # further ones do not cut its orderly end short
        try:
            with stage(once=options.once, port=port, shop_port=options.shop_port, workers=options.workers) as found:
                shop, anchor = found
                console.print(f"[green]✓[/green] all up after {time.monotonic() - started:.1f} s on {shop.api}")
                story = Story(shop, data.load(anchor), f"run-{time.time_ns():x}")
                wrong = _tell(story, console)
                _verdict(console, wrong, time.monotonic() - started)
                if not options.once:
                    stay(story, console)
        except KeyboardInterrupt:
            console.print("\nended before its time")
            return 130
        except (ApiError, TimeoutError) as error:
            console.print(f"\n✗ {error}", style="bold red", markup=False)
            return 1
    return 1 if wrong else 0


def _options(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="homing demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end by itself; exit code 0 only when all went well")
    parser.add_argument("--port", type=int, help="port of the API (8000; a free one with --once)")
    parser.add_argument("--shop-port", type=int, default=0, help="port of the demo shop (a free one)")
    parser.add_argument("--workers", type=int, default=2, help="number of worker processes (2)")
    return parser.parse_args(args)


def _tell(story: Story, console: Console) -> list[str]:
    """The story from loading to judgement; what went wrong."""
    purchases = story.purchases
    people, orders = len(purchases.people), purchases.count
    console.print(
        f"[bold]{purchases.source.name}[/bold]: {orders:,} purchases of {people:,} customers, {purchases.first_day} to "
        f"{purchases.last_day}, moved so that the last day is today"
    )
    with _progress(console) as progress:
        story.load_catalogue()
        task = progress.add_task("customers, purchases", total=people + orders)
        began = time.monotonic()
        story.load_purchases(lambda number: progress.advance(task, number))
        rate = (people + orders) / (time.monotonic() - began)
        lots, redemptions = story.load_points()
        task = progress.add_task("browsers opt in", total=people)
        story.subscribe(lambda number: progress.advance(task, number))
    console.print(f"  {people + orders:,} events committed, {rate:,.0f} a second")
    console.print(
        f"  a points programme over them: a point a dollar, for {LIFE.days} days; {lots:,} lots, {redemptions:,} "
        "redemptions"
    )

    earlier = clock.now()
    campaigns = [story.segment(segment) for segment in telling(purchases.people, earlier)]
    report.show_segments(console, campaigns)
    _send(story, campaigns, console)
    later = clock.now()

    found = report.arrivals(story)
    story.report_receipts(*found.receipts())
    story.refresh(campaigns)
    report.show_reports(console, campaigns)
    report.show_notifications(console, story, campaigns, found)
    if found.again or story.retries:
        console.print(
            f"[dim]{found.again} push messages came again and were shown once; {story.retries} requests of this demo "
            "were made again[/dim]"
        )
    return report.judge(story, campaigns, found, earlier, later)


def _send(story: Story, campaigns: list[Sent], console: Console) -> None:
    with _progress(console) as progress:
        task = progress.add_task("push messages", total=None)
        began = time.monotonic()
        for sent in campaigns:
            story.send(sent)
        took = story.watch(campaigns, lambda done, total: progress.update(task, completed=done, total=total)) - began
    accepted = sum(sent.report["states"].get("accepted", 0) for sent in campaigns)
    console.print(
        f"  {accepted:,} push messages accepted in {took:.1f} s: [bold]{accepted / took:,.0f} a second[/bold], from "
        "the first send to the last answer, rendered, encrypted, and decrypted again by the push service"
    )


def _verdict(console: Console, wrong: list[str], seconds: float) -> None:
    if not wrong:
        console.print(
            "\n[bold green]✓ each expected notification was shown exactly once[/bold green]; members and reports agree "
            f"with an independent count over the file ({seconds:.0f} s)"
        )
        return
    console.print(f"\n[bold red]✗ not as expected[/bold red] ({seconds:.0f} s):")
    for line in wrong:
        console.print(f"  · {line}", markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description:22}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
