"""Run a program with a bug: `python -m tests.chaos.planted drops-unknown-fields services.stock`."""

import runpy
import sys

from tests.support.intolerance import BUGS

if __name__ == "__main__":
    bug, module = sys.argv[1:3]
    del sys.argv[1:3]
    with BUGS[bug]():
        runpy.run_module(module, run_name="__main__", alter_sys=True)
