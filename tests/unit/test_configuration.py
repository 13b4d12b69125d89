"""The generated documentation of every environment variable."""

from sagactl.configuration import FILE, SECTIONS, document
from sagakit.settings import variables


def test_documentation_is_current():
    assert FILE.read_text() == document(), "run `make generate`"


def test_every_variable_is_described_in_a_sentence():
    for settings in SECTIONS.values():
        for each in variables(settings):
            assert each.meaning.endswith("."), each
