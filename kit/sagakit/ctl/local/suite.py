"""A running suite: emulators, services and gateway, started in order, restarted, and stopped completely."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from sagakit.concurrency import first_completed
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local import emulators, programs
from sagakit.ctl.local.child import Program, ignore_line, run_once
from sagakit.ctl.local.emulators import Emulator
from sagakit.ctl.local.logs import tail
from sagakit.ctl.local.plan import DATASTORE_HOST, PUBSUB_HOST, Plan
from sagakit.ctl.local.ports import LOOPBACK, wait_until_listens, wait_until_responds
from sagakit.ctl.local.signals import StopSignals
from sagakit.ctl.local.supervisor import SupervisedProcess, Supervisor
from sagakit.ctl.local.terminal import Terminal
from sagakit.ctl.project import Project, is_process_of
from sagakit.ctl.text import highlighter
from sagakit.errors import NotFound, Unavailable

READY_TIMEOUT_SECONDS = 60.0
RUNNING_TIMEOUT_SECONDS = 5.0
"""For emulators that are running according to the environment."""
DRAIN_TIMEOUT_SECONDS = 9.0
LISTEN_TIMEOUT_SECONDS = 30.0
RECONNECT_SECONDS = 2.5
"""Time for clients to find a restarted process again: their reconnect backoff is at most 2 s."""
RETRY_INTERVAL_SECONDS = 5.0
ACTIONS = ("ps", "stop", "start", "restart")


class LocalSuite:
    """The processes of one plan."""

    def __init__(self, project: Project, plan: Plan, terminal: Terminal, stop: StopSignals) -> None:
        self._project = project
        self._plan = plan
        self._terminal = terminal
        self._stop = stop
        self._highlighter = highlighter(project)
        self._emulators = Supervisor(terminal.print, emulators.STOP_TIMEOUT_SECONDS)
        self._services = Supervisor(terminal.print, DRAIN_TIMEOUT_SECONDS)
        self._changing = asyncio.Lock()

    async def start(self, control: Path) -> bool:
        """Return True once the suite is ready, or False if a stop was requested before.

        `control`: path of the socket that serves `self.control`. Raises CommandError if a process keeps
        failing or does not respond in time.
        """
        return await first_completed(
            self._start_all(control),
            self._stop_requested(),
            _gave_up(self._emulators),
            _gave_up(self._services),
        )

    async def run(self) -> None:
        """Return once a stop is requested; until then processes that end are restarted."""
        await first_completed(self._stop_requested(), self._emulators.failed(), self._services.failed())

    async def stop(self) -> None:
        """Return once all processes are gone: services drained, or killed if forced."""
        await self._services.stop(self._stop.force)
        await self._emulators.stop(self._stop.force)

    async def control(self, action: str, name: str) -> list[dict[str, Any]]:
        """Handle a request of the control socket (ps, stop, start or restart); return the processes' states.

        `name`: of a process, or of a service for all its replicas; "" for all processes, of ps only.
        Changes are made one at a time. Raises NotFound if no process has that name, or the action is
        unknown; Unavailable if a process ends before it listens, or does not listen in time.
        """
        if action not in ACTIONS:
            raise NotFound("unknown-action", f"no action is named {action}; actions: {', '.join(ACTIONS)}")
        running = [*self._emulators.processes, *self._services.processes]
        lists_all = action == "ps" and not name
        found = [each for each in running if lists_all or is_process_of(name, each.program.name)]
        if not found:
            names = ", ".join(each.program.name for each in running)
            raise NotFound("unknown-program", f"no process is named {name or repr(name)}; processes: {names}")
        if action != "ps":
            async with self._changing:
                await self._change(action, found)
        return [each.status() for each in found]

    async def _change(self, action: str, processes: Sequence[SupervisedProcess]) -> None:
        for number, each in enumerate(processes):
            if action == "restart" and number:
                await asyncio.sleep(RECONNECT_SECONDS)
            if action in {"stop", "restart"}:
                await each.stop(DRAIN_TIMEOUT_SECONDS)
            if action in {"start", "restart"}:
                each.start()
                await self._until_listening(each)

    async def _until_listening(self, process: SupervisedProcess) -> None:
        host, port = process.program.environ.get("HOST"), process.program.environ.get("PORT")
        if host and port and process in self._services.processes:
            try:
                listens = wait_until_listens(host, int(port), LISTEN_TIMEOUT_SECONDS)
                end = await first_completed(listens, process.ended())
            except TimeoutError as error:
                raise Unavailable(f"{process.program.name} does not start: {error}") from error
            if end is not None:
                raise Unavailable(
                    f"{process.program.name} does not start ({end}); log: {process.program.log}"
                )

    async def _start_all(self, control: Path) -> bool:
        self._start_emulators()
        await self._until_emulators_respond()
        await self._run_tool("provision")
        self._start_services(control)
        await self._seed()
        await self._until_ready()
        return True

    async def _seed(self) -> None:
        for command in self._project.seeds:
            await self._run_tool(command)

    async def _until_ready(self) -> None:
        gateway = self._project.gateway
        if gateway is not None:
            address = f"{LOOPBACK}:{self._plan.gateway_port}"
            await self._until_responds("the gateway", address, gateway.ready_path)
            return
        try:
            for address in chain.from_iterable(self._plan.addresses.values()):
                host, port = address.split(":")
                await wait_until_listens(host, int(port), READY_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise CommandError(f"a service does not start: {error}; logs: {self._plan.logs}") from error

    async def _stop_requested(self) -> bool:
        await self._stop.requested.wait()
        return False

    def _start_emulators(self) -> None:
        for emulator, port in self._plan.emulators.items():
            name = emulator.component
            argv = emulators.command(emulator, port, self._plan.run_dir)
            program = Program(name, argv, self._plan.environ, self._plan.logs / f"{name}.log")
            self._emulators.add(program, echo=ignore_line, recover=partial(self._recover, emulator))

    async def _until_emulators_respond(self) -> None:
        hosts = {name: self._plan.backend_environ.get(name) for name in (DATASTORE_HOST, PUBSUB_HOST)}
        started = bool(self._plan.emulators)
        waits = (
            self._until_responds(f"{name}={host}", host, started=started)
            for name, host in hosts.items()
            if host
        )
        await asyncio.gather(*waits)

    async def _until_responds(self, what: str, address: str, path: str = "", *, started: bool = True) -> None:
        try:
            if started:
                await wait_until_responds(f"http://{address}/{path}", READY_TIMEOUT_SECONDS)
            else:
                # A proxy in front of a running emulator may support only gRPC, so an accepted connection
                # is enough.
                host, _, port = address.rpartition(":")
                await wait_until_listens(host.strip("[]"), int(port), RUNNING_TIMEOUT_SECONDS)
        except (TimeoutError, ValueError) as error:
            raise CommandError(f"{what} does not respond; logs: {self._plan.logs}") from error

    async def _recover(self, emulator: Emulator) -> None:
        """Provision and seed again after an emulator's restart, until it succeeds."""
        self._terminal.print(f"the {emulator.title} has restarted empty: its data is lost")
        while True:
            try:
                await self._until_emulators_respond()
                await self._run_tool("provision")
                await self._seed()
            except CommandError as error:
                self._terminal.print(error.message)
                await asyncio.sleep(RETRY_INTERVAL_SECONDS)
            else:
                self._terminal.print(f"the {emulator.title} is provisioned again")
                return

    def _start_services(self, control: Path) -> None:
        plan, topology, gateway = self._plan, self._project.topology, self._project.gateway
        started = programs.service_programs(topology, plan.addresses, plan.environ, plan.logs, plan.metrics)
        if gateway is not None and plan.gateway_port is not None:
            addresses = programs.address_environ(topology, plan.addresses)
            environ = {**plan.environ, **addresses, programs.CONTROL: str(control)}
            started.append(
                programs.gateway_program(gateway, plan.gateway_port, environ, plan.logs, plan.metrics)
            )
        width = max(len(program.name) for program in started)
        for program in started:
            self._services.add(program, echo=partial(self._echo, program.name, width))

    async def _run_tool(self, command: str) -> None:
        addresses = programs.address_environ(self._project.topology, self._plan.addresses)
        environ = {**self._plan.environ, **addresses, "RUN_DIR": str(self._plan.run_dir)}
        await run_once(programs.tool_program(self._project, command, environ, self._plan.logs))

    def _echo(self, name: str, width: int, line: str) -> None:
        prefix = self._highlighter.program(name, f"{name:<{width}} | ")
        self._terminal.print(prefix + self._highlighter.line(line))


async def _gave_up(supervisor: Supervisor) -> bool:
    program = await supervisor.gave_up()
    raise CommandError(f"{program.name} does not start; {program.log} ends:", tail(program.log))
