"""OpenTelemetry's SDK, configured by its own environment variables: exports traces."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import structlog
from opentelemetry.trace import Tracer

from sagakit.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_TIMEOUT_SECONDS = 3.0
"""How long a process that stops waits for the export of recorded spans."""
_NAMES = {"otlp": "otlp_proto_grpc"}


def exporters(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the exporters; none unless OTEL_TRACES_EXPORTER or an OTLP endpoint is set."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(environ.get(name, "").strip() for name in ENDPOINTS) else "none"
    named = environ.get(EXPORTER, "").strip() or default
    return [name for each in named.split(",") if (name := each.strip()) not in {"", "none"}]


@asynccontextmanager
async def open_tracer(service: str, environ: Mapping[str, str]) -> AsyncIterator[Tracer | None]:
    """Open the tracer of this process; None, without loading the SDK, if no exporter is configured.

    On exit, recorded spans are sent, within FLUSH_TIMEOUT_SECONDS. Raises SettingsError for an unknown
    exporter.
    """
    names = exporters(environ)
    if not names:
        yield None
        return
    provider = _provider(service, names)
    log.info("tracing", exporters=names)
    try:
        yield provider.get_tracer("sagakit")
    finally:
        await _shut_down(provider)


def _provider(service: str, names: list[str]) -> "TracerProvider":
    """Return a provider; the SDK itself reads sampler, limits, batches, headers and the other OTEL_*."""
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # The exporters take proxies from the environment only: a local collector is not reached through one.
    direct = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1", "localhost")
    os.environ["no_proxy"] = ",".join(filter(None, direct))
    named = Resource({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    # `_shut_down` waits for the last spans, with a timeout.
    provider = TracerProvider(resource=Resource.create().merge(named), shutdown_on_exit=False)
    for name in names:
        # The SDK's own registry: another exporter is one more installed package.
        found = entry_points(group="opentelemetry_traces_exporter", name=_NAMES.get(name, name))
        if not found:
            raise SettingsError(EXPORTER, f"names {name!r}, for which no exporter is installed")
        provider.add_span_processor(BatchSpanProcessor(next(iter(found)).load()()))
    return provider


async def _shut_down(provider: "TracerProvider") -> None:
    """Shut down in a thread, with a timeout: an exporter may retry for a minute."""
    loop, finished = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # The timeout has passed, and the loop is closed.
            loop.call_soon_threadsafe(finished.set)

    threading.Thread(target=shut_down, daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_TIMEOUT_SECONDS):
            await finished.wait()
    except TimeoutError:
        log.warning("trace export timed out on shutdown", timeout_seconds=FLUSH_TIMEOUT_SECONDS)
