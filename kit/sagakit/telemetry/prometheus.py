"""The process's Prometheus endpoint, if a port is configured for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sagakit.settings import SettingsError
from sagakit.telemetry.instruments import NO_METRICS, Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import CollectorRegistry


@contextmanager
def serve_metrics(service: str, host: str, port: int | None) -> Iterator[Metrics]:
    """Serve metrics at http://`host`:`port`/metrics inside the block; without a port, record nothing.

    The endpoint has a thread of its own, so that it responds even if the event loop hangs.
    Raises SettingsError if the address cannot be used.
    """
    if port is None:
        yield NO_METRICS
        return
    # Imported only if metrics are enabled.
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a name.
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError("METRICS_PORT", f"cannot be used: {why}") from error
    ProcessCollector(registry=registry)
    provider = open_meter_provider(registry, service)
    try:
        yield Metrics(provider.get_meter("saga"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.shutdown()


def open_meter_provider(registry: "CollectorRegistry", service: str) -> "MeterProvider":
    """Return a provider of instruments that the registry collects."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
    from opentelemetry.sdk.resources import Resource

    return MeterProvider(
        [PrometheusMetricReader(scope_info_enabled=False, registry=registry)],
        Resource.create({"service.name": service}),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
