"""Pods without a cluster: the containers of an overlay as processes, each with its own address."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, command
from sagakit.ctl.local.ports import LOOPBACK
from tests.support.images import Image, terminate
from tests.support.manifests import Container, Workload, rendered

READY_SECONDS = 60
EMULATORS = {"firestore": FIRESTORE, "pubsub": PUBSUB}


class Pods:
    """The workloads of an overlay, one replica each; all processes are ended on exit."""

    def __init__(self, images: Mapping[str, Image], overlay: str, directory: Path) -> None:
        self._images = images
        self._workloads = {workload.name: workload for workload in rendered(overlay).workloads}
        # Each pod has its own address, so that several can listen on the same port.
        self._addresses = {
            name: f"127.88.{os.getpid() % 250}.{number}" for number, name in enumerate(self._workloads, 1)
        }
        # Its REST server calls its gRPC server at localhost.
        self._addresses["pubsub"] = LOOPBACK
        self._directory = directory
        self._hosts = directory / "hosts"
        self._hosts.write_text("".join(f"{at} {name}\n" for name, at in self._addresses.items()))
        self._running: dict[str, tuple[Workload, subprocess.Popen[bytes]]] = {}
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

    def start_emulators(self) -> None:
        """Start this machine's emulators in place of the emulator image."""
        for name, emulator in EMULATORS.items():
            (port,) = self._workloads[name].ports.values()
            data = Path(self._exit_stack.enter_context(tempfile.TemporaryDirectory()))
            argv = [
                arg.replace(f"--host={LOOPBACK}", f"--host={self._addresses[name]}")
                for arg in command(emulator, port, data)
            ]
            with (self._directory / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
            self._exit_stack.callback(_end, process)

    def start(self, name: str, container: str | None = None) -> None:
        """Start a container of a workload; by default the one with the workload's name."""
        workload, spec = self._find(name, container or name)
        self._running[spec.name] = (workload, self._started(workload, spec))

    def finish(self, name: str, container: str | None = None) -> None:
        """Run a container to its end; fail if its exit status is not 0."""
        workload, spec = self._find(name, container or name)
        process = self._started(workload, spec)
        self._exit_stack.callback(_end, process)
        assert process.wait(READY_SECONDS) == 0, self._log(spec.name).read_text()

    def until_ready(self, *names: str) -> None:
        """Wait until the readiness probes of these workloads succeed."""
        deadline = time.monotonic() + READY_SECONDS
        for name in names:
            workload, spec = self._find(name, name)
            probe = spec.spec["readinessProbe"]
            is_ready = _grpc_ready if "grpc" in probe else _http_ready
            while not is_ready(self._addresses[name], workload, probe):
                assert time.monotonic() < deadline, f"{name} is not ready\n{self._log(name).read_text()}"
                if name in self._running:
                    assert self._running[name][1].poll() is None, self._log(name).read_text()
                time.sleep(0.1)

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to all and return their exit statuses. Raises TimeoutExpired if one is late."""
        for _, process in self._running.values():
            terminate(process)
        return {
            name: process.wait(workload.pod["terminationGracePeriodSeconds"])
            for name, (workload, process) in self._running.items()
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
        image = self._images[container.program]
        return image.start(workload, container, environ, self._hosts, self._log(container.name))

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


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
