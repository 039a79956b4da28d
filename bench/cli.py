"""`homing bench`: each benchmark beside its baselines, in one run."""

import typer

from bench import campaign, ingest, segments_run, send

app = typer.Typer(
    name="bench",
    help="The benchmarks beside their baselines, interleaved in one run. Trust the ratios, not the figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("send")(send.run)
app.command("campaign")(campaign.run)
app.command("ingest")(ingest.run)
app.command("segments")(segments_run.run)


@app.callback()
def _group() -> None:
    """Keeps the names of the benchmarks, however few there are."""


def main(args: list[str]) -> int:
    """Run `homing bench ARGS`; the exit code."""
    try:
        app(args, prog_name="homing bench")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
