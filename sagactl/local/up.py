"""`sagactl up`: the whole suite on this machine, from nothing to ready, until it is asked to stop."""

import os
import shlex
import sys
from pathlib import Path

from contract.control import serve_control
from sagactl.local import curl_examples as tryout
from sagactl.local import runfile
from sagactl.local.backend import EMBEDDED, Choice
from sagactl.local.plan import Options, Plan, make_plan
from sagactl.local.running import LocalSuite
from sagactl.local.signals import StopSignals
from sagactl.local.terminal import Terminal


async def up(options: Options) -> None:
    """Return once it was asked to stop and nothing is left running.

    CommandError, with nothing left running either, where the suite cannot be started.
    """
    stop = StopSignals()
    stop.install()
    with runfile.locked(options.run_dir):
        plan = make_plan(options, os.environ)
        terminal = Terminal()
        try:
            await _run(plan, terminal, stop)
        finally:
            terminal.close()


async def _run(plan: Plan, terminal: Terminal, stop: StopSignals) -> None:
    terminal.say(_backend_line(plan.choice, plan))
    runfile.begin(plan.run_dir, plan.logs)
    local = LocalSuite(plan, terminal, stop)
    try:
        async with serve_control(local.control) as control:
            if await local.start(control):
                runfile.write_suite(plan.run_dir, _suite(plan, control))
                terminal.say(_ready_lines(plan))
                await local.run()
        terminal.say("stopping; a second Ctrl-C does not wait for anything")
    finally:
        runfile.forget_suite(plan.run_dir)
        await local.end()
    terminal.say("stopped")


def _suite(plan: Plan, control: Path) -> runfile.Suite:
    addresses = {service: list(listening) for service, listening in plan.addresses.items()}
    backend = plan.choice.backend
    metrics = {service: list(serving) for service, serving in plan.metrics.items()}
    return runfile.Suite(
        os.getpid(), backend, plan.gateway, addresses, plan.backend_environ, str(control), metrics
    )


def _backend_line(choice: Choice, plan: Plan) -> str:
    line = f"backend: {choice.backend} ({choice.why})"
    if choice.backend == EMBEDDED:
        return f"{line}; its data is kept in {plan.run_dir}"
    if choice.named:
        return f"{line}; they are used as they are and left running"
    return f"{line}; they keep nothing: all data is gone when they end"


def _token_command(plan: Plan) -> str:
    if not plan.auth:
        return ""
    return f"{sys.executable} -m sagactl token you --run-dir {shlex.quote(str(plan.run_dir))}"


def _ready_lines(plan: Plan) -> str:
    walk = tryout.curl_lines(plan.gateway, tryout.fresh_id("cart"), _token_command(plan))
    return "\n".join(
        [
            f"ready: {plan.gateway}",
            "",
            "Try it, from a cart to an approved order (in another terminal):",
            "",
            *(f"  {line}" for line in walk),
            "",
            f"In a browser: {plan.gateway}/ui    Every request with an example: {plan.gateway}/docs",
            f"Logs: {plan.logs}    Stop: Ctrl-C",
            "",
        ]
    )
