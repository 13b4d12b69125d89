"""CPU time and memory of the suite's processes, and the CPU time of the emulators."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures
from tests.support.local_suite import command_line, descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Use:
    """Resources that a process has used so far."""

    cpu_seconds: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources used so far by the suite and by its backend."""

    processes: Mapping[str, Use]
    """The suite's processes by name."""
    emulators_cpu_seconds: float
    """CPU time of the emulators that this process has started."""


def used(pid: int) -> Use:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    cpu_seconds = (int(stat[11]) + int(stat[12])) / _TICKS_PER_SECOND
    return Use(cpu_seconds, int(resident) * os.sysconf("SC_PAGE_SIZE") / 2**20)


def emulators_cpu_seconds() -> float:
    emulators = (
        pid for pid in descendants(os.getpid()) if any("emulator" in each for each in command_line(pid))
    )
    return sum(used(pid).cpu_seconds for pid in emulators)


def usage_figures(before: Usage, after: Usage, orders: int, orders_per_second: float) -> Figures:
    """Return CPU and memory for `orders` orders between two readings.

    `cpu_ms` and `orders_per_cpu_s` count all our processes, `emulators_cpu_ms` their backend. Rates per
    vCPU are of the whole machine, which the clients share.
    """
    cpu = {
        name: (after.processes[name].cpu_seconds - use.cpu_seconds) * 1000 / max(orders, 1)
        for name, use in before.processes.items()
    }
    total = sum(cpu.values())
    emulators = after.emulators_cpu_seconds - before.emulators_cpu_seconds
    return {
        "orders_per_cpu_s": round(1000 / total, 1) if total and orders else 0.0,
        "orders_per_s_per_vcpu": round(orders_per_second / (os.cpu_count() or 1), 1),
        "cpu_ms": round(total, 1),
        "emulators_cpu_ms": round(emulators * 1000 / max(orders, 1), 1),
        "cpu_ms_of": {name: round(ms, 1) for name, ms in cpu.items()},
        "mb_of": {name: round(use.megabytes) for name, use in after.processes.items()},
    }
