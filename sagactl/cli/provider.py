"""`sagactl provider`."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sagakit.ctl.cli import options
from sagakit.ctl.inspect.connect import open_tables
from sagakit.ctl.text import echo
from services.payment.simulated import FaultSettings, load_faults, save_faults


@click.command()
@click.option(
    "--unavailable/--available", "unavailable", default=None, help="Whether the provider can be reached."
)
@click.option(
    "--delay",
    "delay_seconds",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long a charge takes, in seconds.",
)
@click.option(
    "--drop-responses/--no-drop-responses",
    "drop_responses",
    default=None,
    help="Charge, but drop the response (simulates a timeout).",
)
@options.suite
def provider(run_dir: Path, **options_: Any) -> None:
    """Show or set the faults of the simulated payment provider. Other faults keep their value."""
    given = {name: value for name, value in options_.items() if value is not None}
    faults = asyncio.run(_set(given, run_dir))
    echo(f"unavailable: {_yes_or_no(faults.unavailable)}")
    echo(f"delay: {faults.delay_seconds:g} s")
    echo(f"drop responses: {_yes_or_no(faults.drop_responses)}")


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


async def _set(options_: dict[str, Any], run_dir: Path) -> FaultSettings:
    async with open_tables(run_dir) as tables:
        faults = replace(await load_faults(tables), **options_)
        if options_:
            await save_faults(tables, faults)
        return faults
