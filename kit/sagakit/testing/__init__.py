"""Test support for projects that are built on the kit: it is also what the kit itself is tested with.

`import sagakit` does not import this package, and nothing in it runs in production.

| to…                                          | see                                                        |
|----------------------------------------------|------------------------------------------------------------|
| run all services under faults, from a seed   | `Simulation`, `Scenario`, `World`                          |
| choose what fails                            | `FaultRates`, `UNRELIABLE`, `NO_MESSAGE_LOSS`              |
| draw another world for each run               | `draw_world`                                               |
| count what was reached                       | `World.reached`, `Simulation.must_reach`                   |
| demand that the kit's own counts are reached | `TAKEN_OVER`, `HALF_FAILED`, `REMINDERS_PAUSED`            |
| check each commit                            | `Commit`                                                   |
| read the result                              | `Outcome`, `Failure`, `SimulationFailed`                   |
| let each call of a handler or RPC fail       | `each_await_fails`, `Fault`                                |
| repeat each delivery                         | `each_delivery_twice`                                      |
| record what clients saw                      | `History`, `Call`                                          |
| check it: a register, idempotency keys       | `linearizability_violation`, `repeat_violations`           |
| check it: statuses, ETags                    | `progress_violations`, `version_violations`                |
| check it: event streams                      | `stream_violations`                                        |
| name the service, act, and check             | `ServiceUnderTest`, `ServiceProcess`, `Left`               |
| annotate what acts, and what checks          | `Act`, `Check`                                             |
| run services in one process, without faults  | `running_suite`, `SagaSuite`, `MemoryBackend`              |
| test without a backend                       | `MemoryTables`, `MemoryBroker`, `MemoryBus`                |
| pull by hand                                 | `MemoryPullSubscription`                                   |
| count calls, lose responses, cause conflicts | `CountedTables`, `LostResponseTables`, `ConflictingTables` |
| control time                                 | `Clock`, `impatient`                                       |
| let tasks run, wait for a condition          | `settled`, `eventually`                                    |

A pytest plugin (`sagakit.testing.plugin`) has the fixtures `memory_backend`, `saga_suite` and `emulators`.
The contract suites for authors of backends are in `sagakit.testing.contracts`; they need the extra `testing`.
"""

from sagakit.testing.backends import Commit
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.bus import MemoryBus, MemoryPullSubscription
from sagakit.testing.clock import Clock, impatient, settled
from sagakit.testing.enumerated import (
    Act,
    Check,
    Fault,
    Left,
    ServiceProcess,
    ServiceUnderTest,
    each_await_fails,
    each_delivery_twice,
)
from sagakit.testing.eventually import eventually
from sagakit.testing.faults import NO_MESSAGE_LOSS, UNRELIABLE, FaultRates
from sagakit.testing.history import (
    Call,
    History,
    progress_violations,
    repeat_violations,
    stream_violations,
    version_violations,
)
from sagakit.testing.linearizable import Undecided, linearizability_violation
from sagakit.testing.reached import HALF_FAILED, REMINDERS_PAUSED, TAKEN_OVER
from sagakit.testing.scenario import Outcome, Scenario
from sagakit.testing.simulation import Failure, Simulation, SimulationFailed
from sagakit.testing.suite import MemoryBackend, SagaSuite, running_suite
from sagakit.testing.swarm import draw_world
from sagakit.testing.tables import ConflictingTables, CountedTables, LostResponseTables, MemoryTables
from sagakit.testing.world import World

__all__ = [
    "HALF_FAILED",
    "NO_MESSAGE_LOSS",
    "REMINDERS_PAUSED",
    "TAKEN_OVER",
    "UNRELIABLE",
    "Act",
    "Call",
    "Check",
    "Clock",
    "Commit",
    "ConflictingTables",
    "CountedTables",
    "Failure",
    "Fault",
    "FaultRates",
    "History",
    "Left",
    "LostResponseTables",
    "MemoryBackend",
    "MemoryBroker",
    "MemoryBus",
    "MemoryPullSubscription",
    "MemoryTables",
    "Outcome",
    "SagaSuite",
    "Scenario",
    "ServiceProcess",
    "ServiceUnderTest",
    "Simulation",
    "SimulationFailed",
    "Undecided",
    "World",
    "draw_world",
    "each_await_fails",
    "each_delivery_twice",
    "eventually",
    "impatient",
    "linearizability_violation",
    "progress_violations",
    "repeat_violations",
    "running_suite",
    "settled",
    "stream_violations",
    "version_violations",
]
