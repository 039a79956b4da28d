"""Commands whose code is a part of its own: they appear when that part is there, and get the arguments as they are."""

import importlib
import importlib.util

import typer

_COMMANDS = {
    "demo": ("push_server.demo.run", "The main job on real purchases, end to end (--once ends by itself)."),
    "bench": ("bench.cli", "The benchmarks beside their baselines: send, campaign, ingest, segments (--json)."),
}


def register(app: typer.Typer) -> None:
    """Add each command whose module exists; the module has `main(args: list[str]) -> int`, the exit code."""
    for name, (module, text) in _COMMANDS.items():
        if importlib.util.find_spec(module) is not None:
            app.command(name, help=text, add_help_option=False, context_settings=_PASS_THROUGH)(_runner(module))


_PASS_THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True}


def _runner(module: str):  # type: ignore[no-untyped-def]
    def run(context: typer.Context) -> None:
        raise typer.Exit(importlib.import_module(module).main(context.args))

    return run
