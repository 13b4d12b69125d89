"""Garbage-collector tuning for servers."""

import subprocess
import sys

PROGRAM = """
import gc
import sagakit.grpc.server
from sagakit.run import GC_THRESHOLDS, tune_gc
before = len(gc.get_objects())
tune_gc()
print(gc.get_threshold() == GC_THRESHOLDS)
print(gc.get_freeze_count() > before / 2, len(gc.get_objects()) < before / 10)
"""


def test_existing_objects_are_frozen_and_collections_are_rare():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True"] * 3
