"""The garbage collector of a server."""

import subprocess
import sys

PROGRAM = """
import gc
import sagakit.grpc.server
from sagakit.run import GC_THRESHOLDS, tune_gc
there = len(gc.get_objects())
tune_gc()
print(gc.get_threshold() == GC_THRESHOLDS)
print(gc.get_freeze_count() > there / 2, len(gc.get_objects()) < there / 10)
"""


def test_what_is_there_is_never_looked_through_again_and_the_rest_rarely():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True"] * 3
