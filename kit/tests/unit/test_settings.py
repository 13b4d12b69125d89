"""The environment: read once, and what is missing or malformed is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import MAX_AMOUNT
from sagakit.backends import BackendSettings
from sagakit.reminders import ReminderSchedule
from sagakit.service import ServiceSettings
from sagakit.settings import Environ, SettingsError
from sagakit.telemetry.logging import LogSettings
from services.payment.settings import Settings as PaymentSettings
from services.purchase.settings import Settings as PurchaseSettings

MINIMAL = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "EVENT_PUBLISH_TOPIC": "com.example.stock",
    "EVENT_SUBSCRIBE_TOPICS": "com.example.purchase",
    "EVENT_DEAD_LETTER_TOPIC": "com.example.dead-letter",
    "PORT": "8081",
}
SIGNED_IN = {"AUTH_ISSUER": "https://issuer.example", "AUTH_AUDIENCE": "saga"}


def test_text_is_taken_without_the_blanks_around_it():
    assert Environ({"NAME": "  a value \n"}).text("NAME") == "a value"


@pytest.mark.parametrize("environ", [{}, {"NAME": ""}, {"NAME": "  "}])
def test_what_is_empty_is_missing(environ):
    with pytest.raises(SettingsError, match="NAME is not set"):
        Environ(environ).text("NAME")
    assert Environ(environ).text("NAME", "default") == "default"
    assert Environ(environ).text("NAME", "") == ""


def test_lists_are_parted_by_commas():
    assert Environ({"NAME": " a, b ,,c "}).texts("NAME") == ("a", "b", "c")
    with pytest.raises(SettingsError, match="NAME names nothing"):
        Environ({"NAME": " , "}).texts("NAME")


def test_a_choice_is_one_of_its_words():
    assert Environ({"NAME": "b"}).choice("NAME", ("a", "b"), "a") == "b"
    assert Environ({}).choice("NAME", ("a", "b"), "a") == "a"
    with pytest.raises(SettingsError, match="NAME must be one of a, b, not 'c'"):
        Environ({"NAME": "c"}).choice("NAME", ("a", "b"), "a")


def test_only_a_service_that_is_told_so_is_in_production():
    assert not ServiceSettings.from_environ(MINIMAL).production
    assert not ServiceSettings.from_environ({**MINIMAL, "ENVIRONMENT": "development"}).production
    assert ServiceSettings.from_environ({**MINIMAL, **SIGNED_IN, "ENVIRONMENT": "production"}).production
    with pytest.raises(SettingsError, match="ENVIRONMENT must be one of development, production"):
        ServiceSettings.from_environ({**MINIMAL, "ENVIRONMENT": "prod"})


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "-1", "11", "1 2", "0x1", "nan"])
def test_a_malformed_integer_is_refused(text: str):
    with pytest.raises(SettingsError, match="NAME"):
        Environ({"NAME": text}).integer("NAME", low=0, high=10)


@pytest.mark.parametrize("text", ["x", "-0.1", "10.1", "nan", "inf", "1s"])
def test_malformed_seconds_are_refused(text: str):
    with pytest.raises(SettingsError, match="NAME"):
        Environ({"NAME": text}).seconds("NAME", low=0, high=10)


@given(text=st.text(max_size=20))
def test_whatever_a_number_is_set_to_it_is_a_number_or_refused(text: str):
    for read in (Environ({"NAME": text}).integer, Environ({"NAME": text}).seconds):
        try:
            assert 0 <= read("NAME", 1, low=0, high=10) <= 10
        except SettingsError as error:
            assert error.name == "NAME"


def test_numbers_have_defaults():
    assert Environ({}).integer("NAME", 3) == 3
    assert Environ({}).seconds("NAME", 0.5) == 0.5
    assert Environ({"NAME": "2"}).seconds("NAME", 0.5) == 2.0


def test_a_service_needs_no_more_than_the_wire_contract_says():
    settings = ServiceSettings.from_environ(MINIMAL)

    assert settings.publish_topic == "com.example.stock"
    assert settings.subscribe_topics == ("com.example.purchase",)
    assert (settings.host, settings.port) == ("127.0.0.1", 8081)
    assert settings.logs == LogSettings("console", "info", "a-project")
    assert settings.backend == BackendSettings("gcp", "a-project", "", "", "", Path())


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_what_is_missing_is_named(name: str):
    environ = {each: value for each, value in MINIMAL.items() if each != name}

    with pytest.raises(SettingsError) as raised:
        ServiceSettings.from_environ(environ)

    assert raised.value.name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("BACKEND", "aws"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("DRAIN_DELAY_SECONDS", "soon"),
        ("SWEEP_SECONDS", "0"),
        ("REMINDER_INTERVAL_SECONDS", "0"),
        ("REMINDER_INTERVAL_SECONDS", "-15"),
        ("REMINDER_INTERVAL_SECONDS", "nan"),
        ("REMINDER_INTERVAL_SECONDS", "15s"),
        ("REMINDER_INTERVAL_SECONDS", "86401"),
        ("EVENT_SUBSCRIBE_TOPICS", ","),
    ],
)
def test_what_is_malformed_is_named(name: str, value: str):
    with pytest.raises(SettingsError) as raised:
        ServiceSettings.from_environ({**MINIMAL, name: value})

    assert raised.value.name == name


def test_emulators_and_the_database_come_from_the_environment():
    environ = {
        **MINIMAL,
        "DATASTORE_DATABASE": "other",
        "DATASTORE_EMULATOR_HOST": "localhost:1",
        "PUBSUB_EMULATOR_HOST": "localhost:2",
    }

    backend = ServiceSettings.from_environ(environ).backend

    assert (backend.database, backend.datastore_emulator, backend.pubsub_emulator) == (
        "other",
        "localhost:1",
        "localhost:2",
    )


def test_the_embedded_backend_needs_a_file_and_no_project():
    assert BackendSettings.from_environ({"BACKEND": "embedded", "EMBEDDED_FILE": "x/y"}) == BackendSettings(
        "embedded", "embedded", "", "", "", Path("x/y")
    )
    with pytest.raises(SettingsError, match="EMBEDDED_FILE"):
        BackendSettings.from_environ({"BACKEND": "embedded"})


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (PurchaseSettings, "ORDER_DEADLINE", "half an hour"),
        (PurchaseSettings, "ORDER_DEADLINE", "0"),
        (PurchaseSettings, "ORDER_DEADLINE", "-1"),
        (PurchaseSettings, "ORDER_DEADLINE", "inf"),
        (PurchaseSettings, "ORDER_DEADLINE", "2592001"),
        (PurchaseSettings, "CART_TTL_SECONDS", "0"),
        (PaymentSettings, "PAYMENT_PROVIDER", "the-bank"),
        (PaymentSettings, "PAYMENT_PROVIDER", "Simulated"),
        (PaymentSettings, "PAYMENT_LIMIT", "-1"),
        (PaymentSettings, "PAYMENT_LIMIT", "1000.50"),
        (PaymentSettings, "PAYMENT_LIMIT", "a lot"),
        (PaymentSettings, "PAYMENT_LIMIT", str(MAX_AMOUNT + 1)),
    ],
)
def test_what_is_malformed_of_a_services_own_settings_is_named(settings, name: str, value: str):
    with pytest.raises(SettingsError) as raised:
        settings.from_environ({name: value})

    assert raised.value.name == name
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        (
            {"ORDER_DEADLINE": "0.5"},
            lambda env: PurchaseSettings.from_environ(env).order_deadline_seconds == 0.5,
        ),
        ({"PAYMENT_LIMIT": "0"}, lambda env: PaymentSettings.from_environ(env).limit == 0),
        (
            {"PAYMENT_LIMIT": str(MAX_AMOUNT), "PAYMENT_PROVIDER": "simulated"},
            lambda env: PaymentSettings.from_environ(env) == PaymentSettings("simulated", MAX_AMOUNT),
        ),
        (
            {"REMINDER_INTERVAL_SECONDS": "0.1"},
            lambda env: ServiceSettings.from_environ({**MINIMAL, **env}).schedule == ReminderSchedule(0.1),
        ),
    ],
)
def test_what_is_set_is_used(environ, read):
    assert read(environ)


def test_a_services_own_settings_have_defaults():
    assert PurchaseSettings.from_environ({}) == PurchaseSettings(1800, 30 * 24 * 3600)
    assert PaymentSettings.from_environ({}) == PaymentSettings("simulated", 100_000)
    assert ServiceSettings.from_environ(MINIMAL).schedule == ReminderSchedule(15)


def test_production_does_not_run_open():
    with pytest.raises(
        SettingsError, match="AUTH_ISSUER is not set: ENVIRONMENT=production does not run open"
    ):
        ServiceSettings.from_environ({**MINIMAL, "ENVIRONMENT": "production"})


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"AUTH_ISSUER": "https://issuer.example"}, "AUTH_AUDIENCE is not set"),
        ({"AUTH_AUDIENCE": "saga"}, "AUTH_ISSUER is not set"),
        ({"AUTH_KEYS_FILE": "/keys.json"}, "AUTH_ISSUER is not set"),
        ({**SIGNED_IN, "AUTH_ISSUER": "http://issuer.example"}, "AUTH_ISSUER must be an https URL"),
        ({**SIGNED_IN, "AUTH_ISSUER": "issuer.example"}, "AUTH_ISSUER must be an https URL"),
        (
            {**SIGNED_IN, "AUTH_ISSUER": "http://127.0.0.1:1", "ENVIRONMENT": "production"},
            "AUTH_ISSUER must be an https URL",
        ),
        (
            {**SIGNED_IN, "AUTH_KEYS_FILE": "/keys.json", "ENVIRONMENT": "production"},
            "AUTH_KEYS_FILE is for development",
        ),
    ],
)
def test_half_of_sign_in_is_refused(environ, complaint):
    with pytest.raises(SettingsError, match=complaint):
        ServiceSettings.from_environ({**MINIMAL, **environ})


def test_without_an_issuer_nobody_signs_in():
    assert ServiceSettings.from_environ(MINIMAL).auth is None


@pytest.mark.parametrize(
    ("told", "port"), [({}, None), ({"METRICS_PORT": " "}, None), ({"METRICS_PORT": "9464"}, 9464)]
)
def test_metrics_are_served_where_a_port_is_named_for_them(told, port):
    assert ServiceSettings.from_environ({**MINIMAL, **told}).metrics_port == port


@pytest.mark.parametrize("port", ["none", "-1", "65536"])
def test_a_metrics_port_that_is_none_is_refused(port):
    with pytest.raises(SettingsError, match="METRICS_PORT must be"):
        ServiceSettings.from_environ({**MINIMAL, "METRICS_PORT": port})
