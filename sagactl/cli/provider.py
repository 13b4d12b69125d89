"""`sagactl provider`."""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from sagactl.cli import options
from sagactl.inspect.connect import open_tables
from services.payment.simulated import FaultSettings, load_faults, save_faults


@click.command()
@click.option("--away/--here", "unavailable", default=None, help="Whether it can be reached.")
@click.option(
    "--delay",
    "delay_seconds",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long it takes to charge.",
)
@click.option(
    "--loses-answers/--answers",
    "drop_responses",
    default=None,
    help="Whether it charges, and nobody hears of it.",
)
@options.run_dir
def provider(run_dir: Path, **habits: Any) -> None:
    """Tell the simulated payment provider how to behave; what is not given stays as it is."""
    asked = {name: value for name, value in habits.items() if value is not None}
    for name, value in asdict(asyncio.run(_told(asked, run_dir))).items():
        click.echo(f"{name.replace('_', ' ')}: {value}")


async def _told(habits: dict[str, Any], run_dir: Path) -> FaultSettings:
    async with open_tables(run_dir) as tables:
        behaviour = replace(await load_faults(tables), **habits)
        if habits:
            await save_faults(tables, behaviour)
        return behaviour
