"""Explore every state of an order: `python -m tests.model`."""

import argparse
import sys

from tests.model.shops import STARTS, explore


def main() -> None:
    parser = argparse.ArgumentParser(prog="make model")
    parser.add_argument(
        "--running", type=int, default=2, help="operations of a service between two steps, at most"
    )
    arguments = parser.parse_args()
    broken = False
    for start in STARTS:
        found = explore(start, arguments.running)
        broken |= found.violation is not None
        print(f"{start.name}: {found}", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    main()
