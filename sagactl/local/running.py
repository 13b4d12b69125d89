"""A suite that runs on this machine: everything it needs in the right order, and none of it afterwards."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from sagactl import highlight as colours
from sagactl.errors import CommandError
from sagactl.local import emulators
from sagactl.local import programs as suite
from sagactl.local.backend import DATASTORE_HOST, PUBSUB_HOST
from sagactl.local.child import Program, run_once, unseen
from sagactl.local.emulators import Emulator
from sagactl.local.logs import tail
from sagactl.local.plan import Plan
from sagactl.local.ports import LOOPBACK
from sagactl.local.probe import wait_until_answers, wait_until_listens
from sagactl.local.signals import StopSignals
from sagactl.local.supervisor import SupervisedProcess, Supervisor
from sagactl.local.terminal import Terminal
from sagakit.concurrency import first_completed
from sagakit.errors import NotFound, Unavailable

READY_SECONDS = 60.0
RUNNING_SECONDS = 5.0
"""What an emulator that is said to run already has to answer."""
DRAIN_SECONDS = 9.0
LISTEN_SECONDS = 30.0
REJOIN_SECONDS = 2.5
"""What clients may take to find a restarted process again: the longest pause between their tries is 2 s."""
RETRY_SECONDS = 5.0


class LocalSuite:
    """Emulators, services and gateway of one plan."""

    def __init__(self, plan: Plan, terminal: Terminal, stop: StopSignals) -> None:
        self._plan = plan
        self._terminal = terminal
        self._stop = stop
        self._paint = colours.paint()
        self._emulators = Supervisor(terminal.say, emulators.STOP_SECONDS)
        self._services = Supervisor(terminal.say, DRAIN_SECONDS)

    async def start(self, control: Path) -> bool:
        """Return once it is ready, or was asked to stop before: whether it is ready.

        `control` is where `control` is asked from elsewhere. CommandError where something does not start.
        """
        return await first_completed(
            self._get_ready(control),
            self._asked_to_stop(),
            _given_up(self._emulators),
            _given_up(self._services),
        )

    async def run(self) -> None:
        """Return once it was asked to stop; until then whatever ends is started again."""
        await first_completed(self._asked_to_stop(), self._emulators.failed(), self._services.failed())

    async def control(self, what: str, name: str) -> list[dict[str, Any]]:
        """Do what is asked for from elsewhere; how the programs are that it concerns.

        NotFound where there is no such program, Unavailable where it does not come up.
        """
        supervised = [*self._emulators.find(name), *self._services.find(name)]
        if not supervised:
            raise NotFound("unknown-program", f"there is no {name}; there are: {', '.join(self._names())}")
        for number, each in enumerate(supervised):
            if what == "restart" and number:
                await asyncio.sleep(REJOIN_SECONDS)
            if what in {"stop", "restart"}:
                await each.stop(DRAIN_SECONDS)
            if what in {"start", "restart"}:
                each.start()
                await self._listens(each)
        return [each.status for each in supervised]

    def _names(self) -> list[str]:
        return [
            supervised.program.name for supervised in (*self._emulators.find(""), *self._services.find(""))
        ]

    async def _listens(self, supervised: SupervisedProcess) -> None:
        """Return once it takes connections; an emulator at once."""
        host, port = supervised.program.environ.get("HOST"), supervised.program.environ.get("PORT")
        if host and port and supervised in self._services.find(supervised.program.name):
            try:
                await wait_until_listens(host, int(port), LISTEN_SECONDS)
            except TimeoutError as error:
                raise Unavailable(f"{supervised.program.name} does not come up: {error}") from error

    async def end(self) -> None:
        """Return once nothing of it is left: the services drained, or killed when in a force."""
        await self._services.stop(self._stop.force)
        await self._emulators.stop(self._stop.force)

    async def _get_ready(self, control: Path) -> bool:
        self._start_emulators()
        await self._emulators_answer()
        await self._run_tool("provision")
        self._start_services(control)
        await self._run_tool("seed")
        await self._answers("the gateway", f"{LOOPBACK}:{self._plan.gateway_port}", "readyz?all=true")
        return True

    async def _asked_to_stop(self) -> bool:
        await self._stop.requested.wait()
        return False

    def _start_emulators(self) -> None:
        for emulator, port in self._plan.emulators.items():
            name = emulator.component
            argv = emulators.command(emulator, port, self._plan.run_dir)
            program = Program(name, argv, self._plan.environ, self._plan.logs / f"{name}.log")
            self._emulators.keep(program, echo=unseen, recover=partial(self._recover, emulator))

    async def _emulators_answer(self) -> None:
        hosts = {name: self._plan.backend_environ.get(name) for name in (DATASTORE_HOST, PUBSUB_HOST)}
        is_up = self._answers if self._plan.emulators else self._listens_at
        await asyncio.gather(*(is_up(f"{name}={host}", host) for name, host in hosts.items() if host))

    async def _listens_at(self, what: str, address: str) -> None:
        """For what is said to run already; a proxy that somebody has put before it speaks gRPC only."""
        host, _, port = address.rpartition(":")
        try:
            await wait_until_listens(host, int(port), RUNNING_SECONDS)
        except (TimeoutError, ValueError) as error:
            raise CommandError(f"{what} does not answer; logs: {self._plan.logs}") from error

    async def _answers(self, what: str, address: str, path: str = "") -> None:
        try:
            await wait_until_answers(f"http://{address}/{path}", READY_SECONDS)
        except TimeoutError as error:
            raise CommandError(f"{what} does not answer; logs: {self._plan.logs}") from error

    async def _recover(self, emulator: Emulator) -> None:
        """After an emulator was started again: topics, subscriptions and catalogue as at the start."""
        self._terminal.say(f"the {emulator.title} begins empty: the data it held is lost")
        while True:
            try:
                await self._emulators_answer()
                await self._run_tool("provision")
                await self._run_tool("seed")
            except CommandError as error:
                self._terminal.say(error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._terminal.say(f"the {emulator.title} is set up again")
                return

    def _start_services(self, control: Path) -> None:
        plan = self._plan
        programs = suite.service_programs(plan.addresses, plan.environ, plan.logs, plan.metrics)
        environ = {**plan.environ, suite.CONTROL: str(control)}
        programs.append(
            suite.gateway_program(plan.addresses, plan.gateway_port, environ, plan.logs, plan.metrics)
        )
        width = max(len(program.name) for program in programs)
        for program in programs:
            self._services.keep(program, echo=partial(self._echo, program.name, width))

    async def _run_tool(self, command: str) -> None:
        stock = {"STOCK_ADDRESS": self._plan.addresses["stock"][0]}
        where = {**stock, "RUN_DIR": str(self._plan.run_dir)}
        await run_once(suite.tool_program(command, {**self._plan.environ, **where}, self._plan.logs))

    def _echo(self, name: str, width: int, line: str) -> None:
        self._terminal.say(self._paint.program(name, f"{name:<{width}} | ") + self._paint.line(line))


async def _given_up(supervisor: Supervisor) -> bool:
    program = await supervisor.gave_up()
    raise CommandError(f"{program.name} does not start; {program.log} ends:\n{tail(program.log)}")
