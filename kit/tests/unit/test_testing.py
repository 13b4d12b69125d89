"""`sagakit.testing` is for tests: production code does not load it."""

import subprocess
import sys


def test_importing_the_kit_does_not_import_its_testing_package():
    code = (
        "import sys, sagakit, sagakit.run; assert not any('sagakit.testing' in each for each in sys.modules)"
    )

    subprocess.run((sys.executable, "-c", code), check=True)
