"""The metrics that the suite declares."""

from sagakit.telemetry import metrics as kit
from sagakit.telemetry.instruments import Instrument
from services.gateway import metrics as gateway
from services.purchase import metrics as purchase
from tests.support.metrics import Series, series_of

DECLARED = {
    "every service": [each for each in vars(kit).values() if isinstance(each, Instrument)],
    "purchase": [each for each in vars(purchase).values() if isinstance(each, Instrument)],
    "gateway": [each for each in vars(gateway).values() if isinstance(each, Instrument)],
}
ALL = [instrument for instruments in DECLARED.values() for instrument in instruments]


def declared_series() -> set[Series]:
    """Return the series of all of them."""
    return {series for instrument in ALL for series in series_of(instrument)}
