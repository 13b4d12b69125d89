"""`sagactl up`: run the whole suite on this machine until it is asked to stop."""

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path

import click

from sagakit.addresses import MAX_PORT
from sagakit.ctl.cli import options
from sagakit.ctl.local import runfile
from sagakit.ctl.local.child import end_with_parent
from sagakit.ctl.local.control import serve_control
from sagakit.ctl.local.plan import AUTO, BACKENDS, EMBEDDED, Options, Plan, make_plan
from sagakit.ctl.local.signals import StopSignals
from sagakit.ctl.local.suite import LocalSuite
from sagakit.ctl.local.terminal import Terminal
from sagakit.ctl.project import Project, Running


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
    type=click.IntRange(0, MAX_PORT),
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
    asyncio.run(_up(options.project(), Options(backend, port, replicas, run_dir, auth)))


async def _up(project: Project, chosen: Options) -> None:
    stop = StopSignals()
    with runfile.locked(chosen.run_dir):
        plan = make_plan(project, chosen, os.environ)
        terminal = Terminal()
        try:
            await _run(project, plan, terminal, stop)
        finally:
            terminal.close()


async def _run(project: Project, plan: Plan, terminal: Terminal, stop: StopSignals) -> None:
    """Return once nothing is left running. Raises CommandError, likewise, if the suite does not start."""
    terminal.print(_backend_line(plan))
    runfile.reset(plan.run_dir, plan.logs)
    suite = LocalSuite(project, plan, terminal, stop)
    try:
        async with serve_control(suite.control) as control:
            if await suite.start(control):
                runfile.write_suite(plan.run_dir, _run_file(plan, control))
                terminal.print(_ready_lines(project, plan))
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


def _ready_lines(project: Project, plan: Plan) -> str:
    token = f"{sys.executable} -m sagakit.ctl token you --run-dir {shlex.quote(str(plan.run_dir))}"
    running = Running(plan.gateway, str(plan.logs), token if plan.auth else "")
    return "\n".join(
        [
            f"ready: {plan.gateway}" if plan.gateway else "ready",
            "",
            *project.ready_lines(running),
            f"Logs: {plan.logs}    Stop: Ctrl-C",
            "",
        ]
    )
