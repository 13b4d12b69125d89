"""Test support for projects that are built on the kit: it is also what the kit itself is tested with.

`import sagakit` does not import this package, and nothing in it runs in production.

| to…                                              | see                                                   |
|--------------------------------------------------|-------------------------------------------------------|
| run all services under faults, from a seed       | `Simulation`, `Scenario`, `World`                     |
| choose what fails                                | `FaultRates`, `UNRELIABLE`, `NO_MESSAGE_LOSS`         |
| read what came out                               | `Outcome`, `Failure`, `SimulationFailed`              |
| check each commit                                | `Commit`                                              |
| test without a backend                           | `MemoryTables`, `MemoryBroker`, `MemoryBus`           |
| count calls, lose responses, cause conflicts | `CountedTables`, `LostResponseTables`, `ConflictingTables` |
| control time                                     | `Clock`, `impatient`                                  |
| let tasks run, wait for a condition              | `settled`, `eventually`                               |
"""

from sagakit.testing.backends import Commit
from sagakit.testing.broker import MemoryBroker
from sagakit.testing.bus import MemoryBus, MemoryPullSubscription
from sagakit.testing.clock import Clock, impatient, settled
from sagakit.testing.eventually import eventually
from sagakit.testing.faults import NO_MESSAGE_LOSS, UNRELIABLE, FaultRates
from sagakit.testing.scenario import Outcome, Scenario
from sagakit.testing.simulation import Failure, Simulation, SimulationFailed
from sagakit.testing.tables import ConflictingTables, CountedTables, LostResponseTables, MemoryTables
from sagakit.testing.world import World

__all__ = [
    "NO_MESSAGE_LOSS",
    "UNRELIABLE",
    "Clock",
    "Commit",
    "ConflictingTables",
    "CountedTables",
    "Failure",
    "FaultRates",
    "LostResponseTables",
    "MemoryBroker",
    "MemoryBus",
    "MemoryPullSubscription",
    "MemoryTables",
    "Outcome",
    "Scenario",
    "Simulation",
    "SimulationFailed",
    "World",
    "eventually",
    "impatient",
    "settled",
]
