"""The gateway's environment."""

from pathlib import Path

import pytest

from contract.topology import TOPOLOGY
from sagakit.settings import LogSettings, SettingsError
from services.gateway.settings import Addresses, RequestLimits, Settings, StreamLimits

PORTS = {name: number for number, name in enumerate(TOPOLOGY.grpc_services, start=50_051)}
ADDRESSES = {TOPOLOGY.service(name).address_variable: f"127.0.0.1:{port}" for name, port in PORTS.items()}


def test_only_the_addresses_have_to_be_set():
    settings = Settings.from_environ(ADDRESSES)

    targets = {name: f"ipv4:127.0.0.1:{port}" for name, port in PORTS.items()}
    addresses = {name.replace("-", "_"): target for name, target in targets.items()}
    assert settings == Settings(Addresses(**addresses))
    assert settings.targets == targets
    assert (settings.host, settings.port, settings.production) == ("127.0.0.1", 8080, False)
    assert settings.limits == RequestLimits(request_seconds=10, concurrent_requests=512)
    assert settings.stream_limits == StreamLimits(max_streams=1_000, stream_seconds=900)
    assert (settings.auth, settings.messages, settings.control) == (None, None, None)
    assert settings.logs == LogSettings()


def test_allowed_hosts_are_names():
    settings = Settings.from_environ({**ADDRESSES, "ALLOWED_HOSTS": "gateway, *.Shop.example"})

    assert settings.allowed_hosts == ("gateway", "*.shop.example")


def test_trace_url_is_a_template():
    template = "https://traces.example/trace/{trace_id}?theme=dark"

    assert Settings.from_environ({**ADDRESSES, "TRACE_URL": template}).trace_url == template


@pytest.mark.parametrize("name", ADDRESSES)
def test_missing_address_is_named(name):
    without = {each: address for each, address in ADDRESSES.items() if each != name}

    with pytest.raises(SettingsError, match=f"{name} is not set"):
        Settings.from_environ(without)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("dns:///purchase:50051", "dns:///purchase:50051"),
        ("unix:/run/purchase", "unix:/run/purchase"),
        ("purchase:50051", "dns:///purchase:50051"),
        ("purchase.shop.svc.cluster.local:50051", "dns:///purchase.shop.svc.cluster.local:50051"),
        ("localhost:50051", "ipv4:127.0.0.1:50051"),
        (" 127.0.0.1:1 , localhost:2 ", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:50051", "ipv6:[::1]:50051"),
    ],
)
def test_address_becomes_a_grpc_target(address, target):
    settings = Settings.from_environ({**ADDRESSES, "PURCHASE_ADDRESS": address})

    assert settings.targets["purchase"] == target


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PURCHASE_ADDRESS", ""),
        ("TRACE_URL", "https://traces.example/"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "https://shop.example"),
        ("ALLOWED_HOSTS", "shop.example:8080"),
        ("TRACE_URL", "javascript:alert('{trace_id}')"),
        ("PURCHASE_ADDRESS", "purchase"),
        ("PURCHASE_ADDRESS", "purchase:0"),
        ("PURCHASE_ADDRESS", "purchase:65536"),
        ("PURCHASE_ADDRESS", "http://purchase:50051"),
        ("PAYMENT_ADDRESS", ""),
        ("DELIVERY_ADDRESS", "delivery"),
        ("STOCK_ADDRESS", "stock-1:50051,stock-2:50051"),
        ("STOCK_ADDRESS", "127.0.0.1:50051,stock:50051"),
        ("STOCK_ADDRESS", "127.0.0.1:50051,[::1]:50051"),
        ("STOCK_ADDRESS", ","),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("REQUEST_TIMEOUT_SECONDS", "0"),
        ("REQUEST_TIMEOUT_SECONDS", "nan"),
        ("MAX_CONCURRENT_REQUESTS", "0"),
        ("DRAIN_DELAY_SECONDS", "-1"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("CORS_ORIGINS", "https://shop.example/"),
        ("CORS_ORIGINS", ","),
        ("MAX_STREAMS", "0"),
        ("TRUSTED_PROXIES", "11"),
    ],
)
def test_invalid_variable_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**ADDRESSES, name: value})


def test_control_socket_enables_service_control():
    assert Settings.from_environ(ADDRESSES | {"CONTROL_SOCKET": "/tmp/control"}).control == Path(
        "/tmp/control"
    )


def test_control_socket_is_rejected_in_production():
    production = {"ENVIRONMENT": "production", "AUTH_ISSUER": "https://issuer", "AUTH_AUDIENCE": "saga"}

    with pytest.raises(SettingsError, match="CONTROL_SOCKET must not be set in production"):
        Settings.from_environ(ADDRESSES | production | {"CONTROL_SOCKET": "/tmp/control"})
