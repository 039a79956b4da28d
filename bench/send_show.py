"""The tables of `homing bench send`."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def show(result: dict[str, Any], console: Console, ours: str) -> None:
    """Print the rows, the targets, and what there is to know of the run."""
    table = Table(title="Messages a second (medians)", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for heading in ("per core", "±", "wall", "×README", "×limit", "sent"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            row["name"],
            f"{row['per_core']:,.0f}",
            f"{(row['fastest'] - row['slowest']) / row['per_core'] / 2:.0%}",
            f"{row['wall']:,.0f}",
            "" if row["times_readme"] is None else f"{row['times_readme']:.1f}",
            "" if row["of_crypto_limit"] is None else f"{row['of_crypto_limit']:.2f}",
            f"{row['messages']:,}",
            style="bold" if row["name"].startswith(ours) else None,
        )
    console.print(table)
    show_targets(result["targets"], console)
    console.print(
        f"a campaign, all of its database work included, to the bare sender: {result['campaign_to_bare_sender']}",
        highlight=False,
    )
    sink = result["sink"]
    console.print(
        f"± is half of what lies between the slowest and the fastest of {result['turns']} turns. "
        f"Sent {result['sent']:,}, the sink received {sink['received']:,}, "
        f"refused {sink['rejected']:,}, decrypted {sink['decrypted']:,} of them. "
        f"{result['cores']} cores, load {result['load']}."
    )
    if not result["sound"]:
        console.print(f"[red]Not sound: the counts do not agree, or something was refused {sink['faults']}.[/red]")


def show_targets(targets: dict[str, dict[str, Any]], console: Console) -> None:
    """Each target with what was reached, and whether that is enough."""
    for name, target in targets.items():
        bound = f"at least {target['at_least']}" if "at_least" in target else f"at most {target['at_most']}"
        verdict = "[green]met[/green]" if target["met"] else "[red]not met[/red]"
        console.print(f"{name}: {target['reached']} ({bound}) {verdict}", highlight=False)
