"""The implementations that the contract suites run over."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sagakit.tables import Insert, Mutation, Tables, Update
from sagakit.testing.contracts import OpenTables
from tests.support import cloud
from tests.support.brokers import BROKERS, Broker, BrokerAt
from tests.support.counter import COUNTER
from tests.support.stores import STORES, opener


@pytest.fixture(params=STORES)
def open_tables(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> OpenTables:
    """Opens tables of the test's own, once for each of its processes."""
    store = request.param.partition(",")[0]
    on_emulator = store in ("firestore", "datastore")
    emulator = request.getfixturevalue(f"{store}_emulator") if on_emulator else ""
    owner = cloud.own_prefix() if request.param == cloud.CLOUD else project
    return opener(request.param, tmp_path / "data.sqlite3", owner, emulator)


@pytest.fixture
async def tables(open_tables: OpenTables):
    async with open_tables() as tables:
        yield tables


@pytest.fixture
async def seen(open_tables: OpenTables):
    """The same tables, as another process sees them."""
    async with open_tables() as tables:
        yield tables


@pytest.fixture
async def rival(tables: Tables) -> Callable[[], list[Mutation]]:
    """Return the mutations of another writer, which adds 100 to the counter that is at 5 now."""
    await tables.commit([Insert(COUNTER, {"n": 5})])
    version = (await tables.lookup([COUNTER]))[COUNTER].version
    return lambda: [Update(COUNTER, {"n": 105}, version)]


@pytest.fixture
def broker_at(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> BrokerAt:
    """Returns a broker by its name."""

    def named(name: str) -> Broker:
        emulator = request.getfixturevalue("pubsub_emulator") if name == "pubsub" else ""
        owner = cloud.own_prefix() if name == cloud.CLOUD else project
        return Broker(name, tmp_path / "data.sqlite3", owner, emulator)

    return named


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, broker_at: BrokerAt) -> Broker:
    return broker_at(request.param)


@pytest.fixture
async def bus(broker: Broker):
    async with broker.open() as bus:
        yield bus
