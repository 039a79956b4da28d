"""The `homing` command."""

import sys

import typer

from push_server import log
from push_server.cli import extras, processes, sites
from push_server.errors import HomingError

app = typer.Typer(
    name="homing",
    help="Self-hosted web push and segmentation for online shops.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
processes.register(app)
app.add_typer(sites.app)
extras.register(app)


def main() -> None:
    """Run the command line; an error that a person can mend is one message and exit code 1."""
    try:
        app()
    except HomingError as error:
        lines = [error.detail, *(f"  {fault.path}: {fault.message}" for fault in error.faults)]
        print("homing: " + log.mask("\n".join(lines)), file=sys.stderr)
        sys.exit(1)
