"""The documented metrics are the declared ones, and their labels have bounded values."""

import subprocess
import sys

import pytest

from sagakit.telemetry.instruments import Instrument
from tests.metrics_table import FILE, regenerated
from tests.support.declared_metrics import ALL
from tests.support.metrics import base_name

UNBOUNDED = ("orderid", "cartid", "itemid", "eventid", "client", "sub", "path", "url")


def test_documentation_lists_every_declared_metric():
    text = FILE.read_text()

    assert text == regenerated(text), "regenerate it: make generate"
    assert all(f"`{base_name(instrument)}" in text for instrument in ALL)


@pytest.mark.parametrize("instrument", ALL, ids=lambda each: each.name)
def test_labels_have_bounded_values(instrument: Instrument):
    assert not set(instrument.attributes) & set(UNBOUNDED)
    assert len(instrument.description) > 20


def test_metric_names_are_unique():
    names = [base_name(instrument) for instrument in ALL]

    assert len(set(names)) == len(names) > 15


def test_a_gateway_without_metrics_does_not_load_their_library():
    program = "import sys, services.gateway.__main__; sys.exit('prometheus_client' in sys.modules)"

    subprocess.run([sys.executable, "-c", program], check=True)
