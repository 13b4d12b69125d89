"""Where metrics can be had: a Prometheus endpoint of the process, if it was told a port for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sagakit.telemetry.instruments import NO_METRICS, Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import CollectorRegistry


@contextmanager
def serve_metrics(service: str, host: str, port: int | None) -> Iterator[Metrics]:
    """Metrics, served at http://`host`:`port`/metrics meanwhile; without a port, ones that cost nothing.

    They are answered from a thread of their own, so that a process in which something hangs can still be
    seen. Raises OSError where the address cannot be had.
    """
    if port is None:
        yield NO_METRICS
        return
    # Whoever wants no metrics need not load what makes them.
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(f"METRICS_PORT cannot be used: {error.strerror}") from error
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
    """What makes instruments that the registry collects."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
    from opentelemetry.sdk.resources import Resource

    return MeterProvider(
        [PrometheusMetricReader(scope_info_enabled=False, registry=registry)],
        Resource.create({"service.name": service}),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
