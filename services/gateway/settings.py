"""What the gateway reads from its environment."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagakit.auth.jwt import AuthSettings
from sagakit.backends import BackendSettings
from sagakit.settings import Environ, SettingsError
from sagakit.telemetry.logging import LogSettings
from services.gateway.clients import SERVICES
from services.gateway.edge import Limits
from services.gateway.stream import StreamLimits

_TARGET = re.compile(r"(dns|ipv4|ipv6|unix|xds):")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once."""

    host: str
    port: int
    targets: Mapping[str, str]
    """What gRPC dials for each service."""
    limits: Limits
    cors_origins: tuple[str, ...]
    """The web pages whose scripts may read answers; none unless it is set."""
    auth: AuthSettings | None
    """Whose tokens are believed; None: nobody signs in."""
    production: bool
    drain_delay_seconds: float
    """How long a gateway that is told to stop goes on serving, until balancers have noticed."""
    logs: LogSettings
    messages: BackendSettings | None
    """The broker at which it hears what happens to orders; None: it does not, and streams nothing."""
    patience: StreamLimits
    control: Path | None
    """The socket at which the services can be stopped and started: `sagactl up` tells its gateway."""
    trace_url: str
    """Where a trace can be looked at, with `{trace_id}` in it; empty: nowhere."""
    metrics_port: int | None = None
    """Where metrics can be had; None: nothing is measured."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError for the first variable that is missing or malformed."""
        env = Environ(environ)
        return cls(
            host=env.text("HOST", "127.0.0.1"),
            port=env.integer("PORT", 8080, low=0, high=65_535),
            targets={service: _grpc_target(f"{service.upper()}_ADDRESS", env) for service in SERVICES},
            limits=Limits(
                request_seconds=env.seconds("REQUEST_TIMEOUT_SECONDS", 10, low=0.001),
                concurrent_requests=env.integer("MAX_CONCURRENT_REQUESTS", 512, low=1),
                rate_per_client=env.integer("RATE_PER_CLIENT", 0),
                rate_overall=env.integer("RATE_OVERALL", 0),
                forwarded_hops=env.integer("TRUSTED_PROXIES", 0, high=10),
            ),
            cors_origins=_origins(env),
            auth=AuthSettings.from_environ(environ),
            production=env.production,
            drain_delay_seconds=env.seconds("DRAIN_DELAY_SECONDS", 0),
            logs=LogSettings.from_environ(environ),
            messages=_messages(environ),
            patience=StreamLimits(
                max_streams=env.integer("MAX_STREAMS", 1_000, low=1),
                stream_seconds=env.seconds("STREAM_SECONDS", 900, low=1),
            ),
            control=_control(env),
            trace_url=_trace_url(env.text("TRACE_URL", "")),
            metrics_port=env.metrics_port(),
        )


def _messages(environ: Mapping[str, str]) -> BackendSettings | None:
    named = any(environ.get(name, "").strip() for name in ("BACKEND", "GOOGLE_CLOUD_PROJECT"))
    return BackendSettings.from_environ(environ) if named else None


def _control(env: Environ) -> Path | None:
    socket = env.text("CONTROL_SOCKET", "")
    if socket and env.production:
        raise SettingsError("CONTROL_SOCKET", "must not be set in production: anybody could stop services")
    return Path(socket) if socket else None


def _trace_url(template: str) -> str:
    if template and not (template.startswith(("https://", "http://")) and "{trace_id}" in template):
        raise SettingsError(
            "TRACE_URL", f"must be such as https://traces.example/{{trace_id}}, not {template!r}"
        )
    return template


def _origins(env: Environ) -> tuple[str, ...]:
    origins = env.texts("CORS_ORIGINS") if env.text("CORS_ORIGINS", "") else ()
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                "CORS_ORIGINS", f"must be origins such as https://shop.example, not {origin!r}"
            )
    return origins


def _grpc_target(name: str, env: Environ) -> str:
    """What gRPC dials: a target as it is (`dns:///purchase:50051`), or made of `host:port[,host:port…]`."""
    address = env.text(name)
    if _TARGET.match(address):
        return address
    endpoints = [_endpoint(name, entry) for entry in env.texts(name)]
    versions = {_ip_version(host) for host, _ in endpoints}
    joined = ",".join(f"{host}:{port}" for host, port in endpoints)
    if versions == {None} and len(endpoints) == 1:
        return f"dns:///{joined}"
    if len(versions) == 1 and None not in versions:
        return f"ipv{versions.pop()}:{joined}"
    raise SettingsError(
        name, "lists several hosts: give IP addresses, or one DNS name that stands for them all"
    )


def _endpoint(name: str, entry: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(entry)
    if match is None or not 1 <= int(match["port"]) <= 65_535:
        raise SettingsError(name, f"must be a gRPC target or host:port, not {entry!r}")
    # By name it would be two addresses, of which the services here listen at one.
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    return host, int(match["port"])


def _ip_version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None
