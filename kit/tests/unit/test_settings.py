"""The environment: read once; the first variable that is missing or invalid is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagakit.settings import BackendSettings, LogSettings, ServiceSettings, SettingsError

MINIMAL = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "EVENT_PUBLISH_TOPIC": "com.example.stock",
    "EVENT_SUBSCRIBE_TOPICS": "com.example.purchase",
    "EVENT_DEAD_LETTER_TOPIC": "com.example.dead-letter",
    "PORT": "8081",
}
AUTH = {"AUTH_ISSUER": "https://issuer.example", "AUTH_AUDIENCE": "saga"}


def read(**environ: str) -> ServiceSettings:
    return ServiceSettings.from_environ({**MINIMAL, **environ})


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_topics_of_a_service_that_has_none_may_be_missing_or_blank(blank: str | None):
    environ = {name: value for name, value in MINIMAL.items() if not name.startswith("EVENT")}
    if blank is not None:
        environ |= {name: blank for name in MINIMAL if name.startswith("EVENT")}

    settings = ServiceSettings.from_environ(environ)

    assert (settings.publish_topic, settings.subscribe_topics, settings.dead_letter_topic) == ("", (), "")


def test_required_variables_are_those_of_the_wire_contract():
    settings = read()

    assert settings.publish_topic == "com.example.stock"
    assert settings.subscribe_topics == ("com.example.purchase",)
    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 8081, None)
    assert settings.logs == LogSettings("console", "info", "a-project")
    assert settings.backend == BackendSettings("gcp", "a-project")
    assert (settings.auth, settings.production) == (None, False)
    assert settings.reminder_interval_seconds == 15


@pytest.mark.parametrize("blank", [None, "", " \n"])
@pytest.mark.parametrize("name", ["EVENT_DEAD_LETTER_TOPIC", "GOOGLE_CLOUD_PROJECT", "PORT"])
def test_missing_or_blank_variable_is_named(name: str, blank: str | None):
    environ = {each: value for each, value in MINIMAL.items() if each != name}
    if blank is not None:
        environ[name] = blank

    with pytest.raises(SettingsError) as raised:
        ServiceSettings.from_environ(environ)

    assert (raised.value.name, str(raised.value)) == (name, f"{name} is not set")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "must be an integer, not 'http'"),
        ("PORT", "1.5", "must be an integer"),
        ("PORT", "1e3", "must be an integer"),
        ("PORT", "0x1", "must be an integer"),
        ("PORT", "-1", "must be greater than or equal to 0, not '-1'"),
        ("PORT", "65536", "must be less than or equal to 65535, not '65536'"),
        ("METRICS_PORT", "none", "must be an integer"),
        ("METRICS_PORT", "-1", "must be"),
        ("METRICS_PORT", "65536", "must be"),
        ("BACKEND", "aws", "must be 'gcp' or 'embedded', not 'aws'"),
        ("ENVIRONMENT", "prod", "must be 'development' or 'production', not 'prod'"),
        ("LOG_FORMAT", "xml", "must be"),
        ("LOG_LEVEL", "loud", "must be"),
        ("DRAIN_DELAY_SECONDS", "soon", "must be a number, not 'soon'"),
        ("SWEEP_SECONDS", "0", "must be"),
        ("REMINDER_INTERVAL_SECONDS", "0", "must be"),
        ("REMINDER_INTERVAL_SECONDS", "-15", "must be"),
        ("REMINDER_INTERVAL_SECONDS", "nan", "must be a finite number"),
        ("REMINDER_INTERVAL_SECONDS", "inf", "must be a finite number"),
        ("REMINDER_INTERVAL_SECONDS", "15s", "must be"),
        ("REMINDER_INTERVAL_SECONDS", "86401", "must be"),
        ("EVENT_SUBSCRIBE_TOPICS", " , ", "must have at least one entry"),
    ],
)
def test_invalid_variable_is_named(name: str, value: str, message: str):
    with pytest.raises(SettingsError) as raised:
        read(**{name: value})

    assert raised.value.name == name
    assert str(raised.value).startswith(f"{name} {message}")


@pytest.mark.parametrize("name", ["DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:8081", "localhost:8081"),
        ("127.0.0.1:8081", "127.0.0.1:8081"),
        ("pubsub.saga.svc:8085", "pubsub.saga.svc:8085"),
        (" localhost:8081\n", "localhost:8081"),
        ("[::1]:8081", "[::1]:8081"),
        ("::1:8081", "[::1]:8081"),
        ("2001:db8::1:8081", "[2001:db8::1]:8081"),
        ("http://localhost:8081", "localhost:8081"),
        ("HTTP://localhost:8081/", "localhost:8081"),
        ("http://[::1]:8081/", "[::1]:8081"),
        ("http://::1:8081", "[::1]:8081"),
        ("localhost:8081/", "localhost:8081"),
        ("0.0.0.0:8081", "127.0.0.1:8081"),
        ("[::]:8081", "[::1]:8081"),
        (":::8081", "[::1]:8081"),
        ("", ""),
    ],
)
def test_emulator_host_is_read_in_every_form_in_which_tools_print_it(name: str, address: str, expected: str):
    backend = read(**{name: address}).backend

    found = backend.datastore_emulator if name.startswith("DATASTORE") else backend.pubsub_emulator
    assert found == expected


@pytest.mark.parametrize("name", ["DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"])
@pytest.mark.parametrize(
    "address",
    [
        *("localhost", "::1", "[::1]", "8081", ":8081", "localhost:", "localhost:http", "localhost:0"),
        *("localhost:65536", "localhost:-1", "local host:8081", "localhost:80 81", "https://localhost:8081"),
        *("http://", "http://localhost", "localhost:8081/v1", "localhost:8081?x", "me@localhost:8081"),
        *("[localhost]:8081", "[]:8081", "localhost,other:8081", "local:host:8081", "localhost:٨٠٨١"),
    ],
)
def test_malformed_emulator_host_is_rejected_in_one_line(name: str, address: str):
    with pytest.raises(SettingsError) as raised:
        read(**{name: address})

    assert str(raised.value) == f"{name} must be host:port, not {address!r}"


@given(text=st.text(max_size=20))
def test_a_number_is_within_its_limits_or_rejected(text: str):
    for name in ("PORT", "REMINDER_INTERVAL_SECONDS"):
        try:
            settings = read(**{name: text})
        except SettingsError as error:
            assert error.name == name
        else:
            assert 0 <= settings.port <= 65_535
            assert 0.1 <= settings.reminder_interval_seconds <= 86_400


def test_values_are_read_without_surrounding_blanks_and_lists_are_separated_by_commas():
    settings = read(
        EVENT_PUBLISH_TOPIC="  a topic \n",
        EVENT_SUBSCRIBE_TOPICS=" a, b ,,c ",
        METRICS_PORT="9464",
        REMINDER_INTERVAL_SECONDS="0.1",
        DATASTORE_DATABASE="other",
        DATASTORE_EMULATOR_HOST="localhost:1",
        PUBSUB_EMULATOR_HOST="localhost:2",
        **AUTH,
        ENVIRONMENT="production",
    )

    assert settings.publish_topic == "a topic"
    assert settings.subscribe_topics == ("a", "b", "c")
    assert (settings.metrics_port, settings.reminder_interval_seconds) == (9464, 0.1)
    assert settings.backend == BackendSettings("gcp", "a-project", "other", "localhost:1", "localhost:2")
    assert settings.production


def test_embedded_backend_needs_a_file_and_no_project():
    embedded = {"BACKEND": "embedded", "EMBEDDED_FILE": "x/y"}

    assert BackendSettings.from_environ(embedded) == BackendSettings(
        "embedded", "embedded", embedded_file=Path("x/y")
    )
    with pytest.raises(SettingsError, match="EMBEDDED_FILE is not set"):
        BackendSettings.from_environ({"BACKEND": "embedded"})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ENVIRONMENT": "production"}, "AUTH_ISSUER is not set: ENVIRONMENT=production requires it"),
        ({"AUTH_ISSUER": "https://issuer.example"}, "AUTH_AUDIENCE is not set"),
        ({"AUTH_AUDIENCE": "saga"}, "AUTH_ISSUER is not set"),
        ({"AUTH_KEYS_FILE": "/keys.json"}, "AUTH_ISSUER is not set"),
        ({**AUTH, "AUTH_ISSUER": "http://issuer.example"}, "AUTH_ISSUER must be an https URL"),
        ({**AUTH, "AUTH_ISSUER": "issuer.example"}, "AUTH_ISSUER must be an https URL"),
        (
            {**AUTH, "AUTH_ISSUER": "http://127.0.0.1:1", "ENVIRONMENT": "production"},
            "AUTH_ISSUER must be an https URL",
        ),
        (
            {**AUTH, "AUTH_KEYS_FILE": "/keys.json", "ENVIRONMENT": "production"},
            "AUTH_KEYS_FILE is for development",
        ),
    ],
)
def test_incomplete_authentication_is_rejected(environ, message):
    with pytest.raises(SettingsError, match=f"^{message}"):
        read(**environ)
