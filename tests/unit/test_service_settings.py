"""The settings of single services: defaults, limits, and errors that name the variable."""

import pytest

from contract.fields import MAX_AMOUNT
from sagakit.settings import SettingsError
from services.payment.settings import Settings as PaymentSettings
from services.purchase.settings import Settings as PurchaseSettings


def test_every_variable_of_one_service_has_a_default():
    assert PurchaseSettings.from_environ({}) == PurchaseSettings(1800, 30 * 24 * 3600)
    assert PaymentSettings.from_environ({}) == PaymentSettings("simulated", 100_000)


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
def test_invalid_variable_of_one_service_is_named(settings, name: str, value: str):
    with pytest.raises(SettingsError, match=f"^{name} must be") as raised:
        settings.from_environ({name: value})

    assert raised.value.name == name


def test_variables_of_one_service_are_used():
    assert PurchaseSettings.from_environ({"ORDER_DEADLINE": "0.5"}).order_deadline_seconds == 0.5
    assert PaymentSettings.from_environ({"PAYMENT_LIMIT": "0"}).limit == 0
    assert PaymentSettings.from_environ({"PAYMENT_LIMIT": str(MAX_AMOUNT)}).limit == MAX_AMOUNT
