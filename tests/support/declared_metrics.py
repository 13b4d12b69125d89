"""The metrics that the suite declares."""

from sagakit.ctl.inspect import audit_metrics as audit
from sagakit.telemetry import metrics as kit
from sagakit.telemetry.instruments import Instrument
from services.gateway import metrics as gateway
from services.purchase import metrics as purchase
from tests.support.metrics import Series, series_of

DECLARED = {
    "every service": [each for each in vars(kit).values() if isinstance(each, Instrument)],
    "purchase": [each for each in vars(purchase).values() if isinstance(each, Instrument)],
    "gateway": [each for each in vars(gateway).values() if isinstance(each, Instrument)],
    "audit": [each for each in vars(audit).values() if isinstance(each, Instrument)],
}
ALL = [instrument for instruments in DECLARED.values() for instrument in instruments]


def declared_series(*, without: str = "") -> set[Series]:
    """Return the series of all of them; `without` those of one process."""
    instruments = (each for of, declared in DECLARED.items() if of != without for each in declared)
    return {series for instrument in instruments for series in series_of(instrument)}
