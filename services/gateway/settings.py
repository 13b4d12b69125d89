"""The environment of the gateway."""

import re
from collections.abc import Mapping
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from contract.calls import grpc_target
from contract.topology import TOPOLOGY
from sagakit.addresses import MAX_PORT
from sagakit.settings import (
    CONFIG,
    AuthSettings,
    BackendSettings,
    Environment,
    LogSettings,
    SettingsError,
    Texts,
    read,
    variable,
)
from sagakit.topology import ServiceDeclaration

_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"must be origins such as https://shop.example, not {origin!r}")
    return origins


def _host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"must be names such as shop.example or *.shop.example, not {name!r}")
    return tuple(name.lower() for name in names)


def _trace_url(template: str) -> str:
    if template and not (template.startswith(("https://", "http://")) and "{trace_id}" in template):
        raise ValueError(f"must be such as https://traces.example/{{trace_id}}, not {template!r}")
    return template


def _address(service: ServiceDeclaration) -> tuple[str, Any]:
    meaning = (
        f"Address of {service.name}: a gRPC target such as `dns:///{service.name}:50051`, or "
        "`host:port[,host:port…]`."
    )
    described = Field(description=meaning)
    return service.package, Annotated[
        str, AfterValidator(grpc_target), variable(service.address_variable), described
    ]


_FIELDS = [_address(TOPOLOGY.service(name)) for name in TOPOLOGY.grpc_services]
Addresses: Any = dataclass(frozen=True, config=CONFIG)(make_dataclass("Addresses", _FIELDS, frozen=True))
"""The gRPC targets of the services, by their packages."""


@dataclass(frozen=True, slots=True, config=CONFIG)
class RequestLimits:
    """Limits of requests: duration, concurrency, rate."""

    request_seconds: Annotated[float, variable("REQUEST_TIMEOUT_SECONDS", "s", low=0.001, high=30)] = 10
    """Maximum duration of a request, from its arrival to the answer; and of the arrival of its headers."""
    concurrent_requests: Annotated[int, variable("MAX_CONCURRENT_REQUESTS", "requests", low=1)] = 512
    """Requests served at the same time; further ones are answered with 503."""
    max_connections: Annotated[int, variable("MAX_CONNECTIONS", "connections", low=1)] = 2_048
    """Open connections, fewer if file descriptors are; for another one the longest idle is closed."""
    rate_per_client: Annotated[float, variable("RATE_PER_CLIENT", "requests/s", low=0)] = 0
    """Maximum rate of one client (its `sub`, or its address without authentication); 0: unlimited."""
    rate_overall: Annotated[float, variable("RATE_OVERALL", "requests/s", low=0)] = 0
    """Maximum rate of all clients together; 0: unlimited."""
    trusted_proxies: Annotated[int, variable("TRUSTED_PROXIES", "proxies", low=0, high=10)] = 0
    """Number of trusted proxies that append to X-Forwarded-For; 0: the header is ignored."""
    send_seconds: float = 10
    """Timeout for sending to a client that does not read."""


@dataclass(frozen=True, slots=True, config=CONFIG)
class StreamLimits:
    """Limits of event streams and their followers."""

    max_streams: Annotated[int, variable("MAX_STREAMS", "streams", low=1)] = 1_000
    """Event streams and long polls at the same time; further ones are answered with 503."""
    max_streams_per_client: Annotated[int, variable("MAX_STREAMS_PER_CLIENT", "streams", low=1)] = 100
    """Those of one client, told apart as for RATE_PER_CLIENT; further ones are answered with 429."""
    stream_seconds: Annotated[float, variable("STREAM_SECONDS", "s", low=1, high=86_400)] = 900
    """Maximum duration of an event stream; clients reconnect."""
    heartbeat_seconds: float = 10
    """Interval of the comments that keep an idle connection open."""


@dataclass(frozen=True, slots=True, config=CONFIG)
class Settings:
    """The environment, read once."""

    addresses: Addresses
    host: Annotated[str, variable("HOST")] = "127.0.0.1"
    """Address to listen at, for HTTP and metrics."""
    port: Annotated[int, variable("PORT", low=0, high=MAX_PORT)] = 8080
    """HTTP port; 0: any free one."""
    metrics_port: Annotated[int | None, variable("METRICS_PORT", low=0, high=MAX_PORT)] = None
    """Port of the Prometheus endpoint `/metrics`; if it is unset, nothing is measured."""
    environment: Annotated[Environment, variable("ENVIRONMENT")] = "development"
    """`production` requires authentication, tells browsers to use HTTPS only and forbids CONTROL_SOCKET."""
    drain_delay_seconds: Annotated[float, variable("DRAIN_DELAY_SECONDS", "s", low=0, high=86_400)] = 0
    """How long the gateway continues to serve after SIGTERM, so that load balancers notice."""
    cors_origins: Annotated[Texts, AfterValidator(_origins), variable("CORS_ORIGINS")] = ()
    """Comma-separated origins of web pages whose scripts may read answers."""
    allowed_hosts: Annotated[Texts, AfterValidator(_host_names), variable("ALLOWED_HOSTS")] = ()
    """Comma-separated host names (`shop.example`, `*.shop.example`) that are answered without
    authentication, besides `localhost`, `*.localhost` and IP addresses."""
    docs: Annotated[Literal["on", "off", "auto"], variable("DOCS")] = "auto"
    """Whether the API's document has a page, at `/docs`; `auto`: unless this is `production`."""
    trace_url: Annotated[str, AfterValidator(_trace_url), variable("TRACE_URL")] = ""
    """URL that shows a trace, with `{trace_id}` in it, for links in the web UI."""
    control: Annotated[Path | None, variable("CONTROL_SOCKET")] = None
    """Socket of `sagactl up`, through which the web UI stops and starts services; not in `production`."""
    limits: RequestLimits = RequestLimits()
    stream_limits: StreamLimits = StreamLimits()
    messages: BackendSettings | None = None
    """The broker of order events; None, if neither BACKEND nor GOOGLE_CLOUD_PROJECT is set: no streams."""
    logs: LogSettings = LogSettings()
    auth: AuthSettings | None = None
    """None: authentication is disabled."""

    @property
    def targets(self) -> Mapping[str, str]:
        """The gRPC target of each service."""
        packages = {name: TOPOLOGY.service(name).package for name in TOPOLOGY.grpc_services}
        return {name: getattr(self.addresses, package) for name, package in packages.items()}

    @property
    def serves_docs(self) -> bool:
        """Whether the API's document has a page."""
        return self.docs == "on" or (self.docs == "auto" and not self.production)

    @property
    def production(self) -> bool:
        """Whether this is a production process."""
        return self.environment == "production"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the environment. Raises SettingsError for the first variable that is missing or invalid."""
        broker = any(environ.get(name, "").strip() for name in ("BACKEND", "GOOGLE_CLOUD_PROJECT"))
        settings = read(
            cls,
            environ,
            addresses=read(Addresses, environ),
            limits=read(RequestLimits, environ),
            stream_limits=read(StreamLimits, environ),
            logs=read(LogSettings, environ),
            auth=AuthSettings.from_environ(environ),
            messages=BackendSettings.from_environ(environ) if broker else None,
        )
        if settings.control and settings.production:
            raise SettingsError("CONTROL_SOCKET", "must not be set in production: it can stop services")
        return settings
