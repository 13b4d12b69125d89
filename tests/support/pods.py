"""Pods without a cluster: the containers of an overlay as processes, each with its own address."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, command
from sagakit.ctl.local.ports import LOOPBACK
from tests.support.images import Image, start_as_root, terminate
from tests.support.manifests import WITH_COMPONENTS, Container, Workload, rendered

READY_SECONDS = 60
EMULATORS = {"firestore": FIRESTORE, "pubsub": PUBSUB}


class Pods:
    """The workloads of an overlay, one replica each; all processes are ended on exit."""

    def __init__(
        self,
        images: Mapping[str, Image],
        overlay: str,
        directory: Path,
        *,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._images = images
        # Those of components are started by name only; the others are the overlay's own.
        every = (*rendered(WITH_COMPONENTS).workloads, *rendered(overlay).workloads)
        self._workloads = {workload.name: workload for workload in every}
        # Each pod has its own address, so that several can listen on the same port.
        network = f"127.88.{os.getpid() % 250}"
        self._addresses = {name: f"{network}.{number}" for number, name in enumerate(self._workloads, 1)}
        # Its REST server calls its gRPC server at localhost.
        self._addresses["pubsub"] = LOOPBACK
        self._dns = f"{network}.250"
        self._directory = directory
        self._ready_seconds = ready_seconds
        (directory / "resolv.conf").write_text("")
        self._names = directory / "hosts"
        self.add_names(*self._addresses)
        self._running: dict[tuple[str, str], tuple[Workload, subprocess.Popen[bytes]]] = {}
        self._exit_stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in self._running.values():
            _end(process)
        self._exit_stack.close()

    def address(self, name: str, port: str = "http") -> str:
        """Return the URL of the workload's named port."""
        return f"http://{self._addresses[name]}:{self._workloads[name].ports[port]}"

    def resolve_by_dns(self) -> None:
        """Let all processes ask a DNS server, which is silent until the first names are added."""
        self._names.write_text("")
        self._names = self._directory / "names"
        self._names.write_text("")
        (self._directory / "resolv.conf").write_text(f"nameserver {self._dns}\n")
        argv = (sys.executable, "-m", "tests.support.late_dns", self._dns, str(self._names))
        self._exit_stack.callback(_end, start_as_root(*argv))

    def add_names(self, *workloads: str) -> None:
        """Let the names of these workloads exist."""
        with self._names.open("a") as file:
            file.writelines(f"{self._addresses[name]} {name}\n" for name in workloads)

    def start_emulators(self, *names: str) -> None:
        """Start this machine's emulators in place of the emulator image; by default all."""
        for name in names or EMULATORS:
            (port,) = self._workloads[name].ports.values()
            data = Path(self._exit_stack.enter_context(tempfile.TemporaryDirectory()))
            argv = [
                arg.replace(f"--host={LOOPBACK}", f"--host={self._addresses[name]}")
                for arg in command(EMULATORS[name], port, data)
            ]
            with (self._directory / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
            self._exit_stack.callback(_end, process)

    def start(self, name: str, container: str | None = None) -> None:
        """Start a container of a workload; by default the one with the workload's name."""
        workload, spec = self._find(name, container or name)
        self._running[name, spec.name] = (workload, self._started(workload, spec))

    def finish(self, name: str, container: str | None = None) -> None:
        """Run a container to its end, unless it runs already; fail if its exit status is not 0."""
        key = (name, container or name)
        if key not in self._running:
            self.start(*key)
        _, process = self._running[key]
        assert process.wait(self._ready_seconds) == 0, self._log(*key).read_text()
        del self._running[key]

    def until_ready(self, *names: str) -> None:
        """Wait until the readiness probes of these workloads succeed."""
        deadline = time.monotonic() + self._ready_seconds
        for name in names:
            workload, spec = self._find(name, name)
            probe = spec.spec["readinessProbe"]
            is_ready = _grpc_ready if "grpc" in probe else _http_ready
            while not is_ready(self._addresses[name], workload, probe):
                assert time.monotonic() < deadline, f"{name} is not ready\n{self.output(name)}"
                self.check_running()
                time.sleep(0.1)

    def check_running(self) -> None:
        """Fail if a process has ended that was not waited for: in a cluster it would be restarted."""
        for key, (_, process) in self._running.items():
            # An init container may have ended well.
            assert process.poll() in ((None, 0) if key[0] != key[1] else (None,)), self._log(*key).read_text()

    def until_printed(self, name: str, text: str) -> None:
        """Wait until the output of a workload contains `text`."""
        deadline = time.monotonic() + self._ready_seconds
        while text not in self.output(name):
            assert time.monotonic() < deadline, self.output(name)
            self.check_running()
            time.sleep(0.1)

    def output(self, name: str) -> str:
        """Return the output of a workload's main container."""
        return self._log(name, name).read_text()

    def stop(self, *names: str) -> dict[str, int]:
        """Send SIGTERM to these, by default all; return their exit statuses. Raises TimeoutExpired."""
        stopped = {key: each for key, each in self._running.items() if not names or key[0] in names}
        for key, (_, process) in stopped.items():
            terminate(process)
            del self._running[key]
            self._exit_stack.callback(_end, process)
        return {
            name: process.wait(workload.pod["terminationGracePeriodSeconds"])
            for (name, _), (workload, process) in stopped.items()
        }

    def _find(self, name: str, container: str) -> tuple[Workload, Container]:
        workload = self._workloads[name]
        (spec,) = (each for each in workload.all_containers if each.name == container)
        return workload, spec

    def _started(self, workload: Workload, container: Container) -> subprocess.Popen[bytes]:
        own = self._addresses[workload.name]
        # A pod's own address and its loopback are both this address here.
        environ = {
            variable: value.replace("0.0.0.0", own).replace(LOOPBACK, own)
            for variable, value in container.environ.items()
        }
        # No Services here, so no ports of theirs.
        args = [
            arg.replace("http://gateway", self.address("gateway")) for arg in container.spec.get("args", ())
        ]
        container = replace(container, spec={**container.spec, "args": args})
        image = self._images[container.program]
        return image.start(
            workload, container, environ, self._directory, self._log(workload.name, container.name)
        )

    def _log(self, name: str, container: str) -> Path:
        return self._directory / f"{name}.{container}.log"


def _http_ready(address: str, workload: Workload, probe: Mapping[str, Any]) -> bool:
    get = probe["httpGet"]
    with suppress(httpx.TransportError):
        url = f"http://{address}:{workload.ports[get['port']]}{get['path']}"
        return httpx.get(url, timeout=probe["timeoutSeconds"], trust_env=False).is_success
    return False


def _grpc_ready(address: str, _: Workload, probe: Mapping[str, Any]) -> bool:
    request = HealthCheckRequest(service=probe["grpc"]["service"])
    with grpc.insecure_channel(f"{address}:{probe['grpc']['port']}") as channel, suppress(grpc.RpcError):
        answer = HealthStub(channel).Check(request, timeout=probe["timeoutSeconds"])
        return bool(answer.status == HealthCheckResponse.SERVING)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
