"""`sagactl up`: run the whole suite on this machine until it is asked to stop."""

import asyncio
import json
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.request import getproxies_environment

import click

from sagactl.cli import options
from sagactl.local import runfile
from sagactl.local.child import end_with_parent
from sagactl.local.control import serve_control
from sagactl.local.plan import AUTO, BACKENDS, EMBEDDED, Options, Plan, make_plan
from sagactl.local.signals import StopSignals
from sagactl.local.suite import LocalSuite
from sagactl.local.terminal import Terminal


@click.command()
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=AUTO,
    envvar="BACKEND",
    show_default=True,
    help="Google's emulators, or one SQLite file; auto: emulators if they are installed.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    envvar="PORT",
    show_default=True,
    help="Port of the gateway; 0 chooses a free one.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 16),
    default=1,
    envvar="REPLICAS",
    show_default=True,
    help="Number of processes of each service.",
)
@click.option(
    "--auth/--no-auth",
    default=False,
    envvar="AUTH",
    show_default=True,
    help="Require a bearer token of clients; `sagactl token SUB` prints one.",
)
@click.option("--die-with-parent", is_flag=True, help="Stop when the calling process ends (Linux only).")
@options.run_dir
def up(backend: str, port: int, replicas: int, auth: bool, die_with_parent: bool, run_dir: Path) -> None:
    """Run the whole suite on this machine until Ctrl-C."""
    # Keys, data and logs, of every process: only this user can read them.
    os.umask(0o077)
    if die_with_parent:
        end_with_parent(os.getppid(), signal.SIGTERM)
    asyncio.run(_up(Options(backend, port, replicas, run_dir, auth)))


async def _up(options: Options) -> None:
    stop = StopSignals()
    with runfile.locked(options.run_dir):
        plan = make_plan(options, os.environ)
        terminal = Terminal()
        try:
            await _run(plan, terminal, stop)
        finally:
            terminal.close()


async def _run(plan: Plan, terminal: Terminal, stop: StopSignals) -> None:
    """Return once nothing is left running. Raises CommandError, likewise, if the suite does not start."""
    terminal.print(_backend_line(plan))
    runfile.reset(plan.run_dir, plan.logs)
    suite = LocalSuite(plan, terminal, stop)
    try:
        async with serve_control(suite.control) as control:
            if await suite.start(control):
                runfile.write_suite(plan.run_dir, _run_file(plan, control))
                terminal.print(_ready_lines(plan))
                await suite.run()
        terminal.print("stopping; a second Ctrl-C stops at once")
    finally:
        runfile.remove_suite(plan.run_dir)
        await suite.stop()
    terminal.print("stopped")


def _run_file(plan: Plan, control: Path) -> runfile.Suite:
    return runfile.Suite(
        pid=os.getpid(),
        backend=plan.choice.backend,
        gateway=plan.gateway,
        addresses=plan.addresses,
        environ=plan.backend_environ,
        control=str(control),
        metrics=plan.metrics,
        auth=bool(plan.environ.get("AUTH_ISSUER", "").strip()),
    )


def _backend_line(plan: Plan) -> str:
    line = f"backend: {plan.choice.backend} ({plan.choice.why})"
    if plan.choice.backend == EMBEDDED:
        return f"{line}; its data is kept in {plan.run_dir}"
    if plan.choice.hosts:
        return f"{line}; they are used as they are and left running"
    return f"{line}; they lose all data when they stop"


def _ready_lines(plan: Plan) -> str:
    token = f"{sys.executable} -m sagactl token you --run-dir {shlex.quote(str(plan.run_dir))}"
    examples = curl_examples(plan.gateway, unique_id("cart"), token if plan.auth else "")
    return "\n".join(
        [
            f"ready: {plan.gateway}",
            "",
            "Try it, from a cart to an approved order (in another terminal):",
            "",
            *(f"  {line}" for line in examples),
            "",
            f"In a browser: {plan.gateway}/ui    Every request with an example: {plan.gateway}/docs",
            f"Logs: {plan.logs}    Stop: Ctrl-C",
            "",
        ]
    )


def unique_id(prefix: str) -> str:
    """Return a new random id with that prefix."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def curl_examples(gateway: str, cartid: str, token_command: str = "") -> list[str]:
    """Return shell commands from a cart to an approved order, to be pasted one by one or all at once.

    `token_command`: prints a bearer token, if one is required.
    """
    cart = {"cartid": cartid}
    if token_command:
        gateway = f'-H "authorization: Bearer $TOKEN" {gateway}'
    return [
        *([f"TOKEN=$({token_command})"] if token_command else []),
        _curl(gateway, "create_cart", cart),
        _curl(gateway, "add_item", {**cart, "itemid": "blue", "count": 3}),
        _curl(gateway, "add_item", {**cart, "itemid": "red", "count": 2}),
        _curl(gateway, "close_cart", cart),
        f'ticket=$({_curl(gateway, "checkout", cart)}); echo "$ticket"',
        """orderid=$(echo "$ticket" | sed 's/.*"orderid": *"\\([^"]*\\)".*/\\1/')""",
        f"sleep 1; {_post(gateway, 'get_order_ticket')} " + r'-d "{\"orderid\":\"$orderid\"}"',
    ]


def _curl(gateway: str, method: str, body: Mapping[str, object]) -> str:
    return f"{_post(gateway, method)} -d '{json.dumps(body, separators=(',', ':'))}'"


def _post(gateway: str, method: str) -> str:
    # A proxy that the shell names for outgoing requests does not lead to this machine.
    direct = "--noproxy '*' " if {"http", "all"} & getproxies_environment().keys() else ""
    return rf"curl -sS {direct}-w '\n' {gateway}/purchase/api/{method}"
