"""The Datastore adapter against a scripted server: errors and batches that no emulator produces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.cloud.datastore_v1 import types

from sagakit import deadline
from sagakit.backends.gcp.datastore import DEFERRED_ROUNDS, open_datastore
from sagakit.backends.gcp.values import fill, to_key
from sagakit.errors import Contention, OutcomeUnknown, Poison, SagaError, Unavailable
from sagakit.tables import Insert, Key, Tables
from tests.support.grpcserver import serving

SERVICE = "google.datastore.v1.Datastore"
A = Key("Thing", "a")
B = Key("Thing", "b")

Partition = types.PartitionId.pb()
LookupRequest = types.LookupRequest.pb()
LookupResponse = types.LookupResponse.pb()
EntityResult = types.EntityResult.pb()
RunQueryRequest = types.RunQueryRequest.pb()
RunQueryResponse = types.RunQueryResponse.pb()
NOT_FINISHED = types.QueryResultBatch.MoreResultsType.NOT_FINISHED
NO_MORE_RESULTS = types.QueryResultBatch.MoreResultsType.NO_MORE_RESULTS


def to_entity(key: Any, entity: dict[str, Any]) -> Any:
    pb = types.Entity.pb()(key=key)
    fill(pb, entity)
    return pb


def failing(code: grpc.StatusCode) -> dict[str, Callable[[bytes, Any], Any]]:
    async def fail(request: bytes, context: Any) -> bytes:
        await context.abort(code, "scripted")

    return {"Lookup": fail, "Commit": fail, "RunQuery": fail}


@asynccontextmanager
async def scripted(methods: dict[str, Callable[[bytes, Any], Any]], **how: float) -> AsyncIterator[Tables]:
    async with serving(SERVICE, methods) as address:
        async with open_datastore("project", "", address, **how) as tables:
            yield tables


# The meaning of a commit's code, by Datastore's documentation of errors and the emulators.
COMMIT_ERRORS = {
    grpc.StatusCode.ABORTED: Contention,
    grpc.StatusCode.ALREADY_EXISTS: Contention,
    grpc.StatusCode.FAILED_PRECONDITION: Contention,
    grpc.StatusCode.NOT_FOUND: Contention,
    grpc.StatusCode.INVALID_ARGUMENT: Poison,
    grpc.StatusCode.PERMISSION_DENIED: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: Unavailable,
    grpc.StatusCode.UNAVAILABLE: OutcomeUnknown,
    grpc.StatusCode.DEADLINE_EXCEEDED: OutcomeUnknown,
    grpc.StatusCode.INTERNAL: OutcomeUnknown,
    grpc.StatusCode.UNKNOWN: OutcomeUnknown,
    grpc.StatusCode.CANCELLED: OutcomeUnknown,
    grpc.StatusCode.DATA_LOSS: OutcomeUnknown,
    grpc.StatusCode.OUT_OF_RANGE: OutcomeUnknown,
}


@pytest.mark.parametrize("code", sorted(COMMIT_ERRORS, key=str))
async def test_failed_commit_is_translated(code: grpc.StatusCode):
    async with scripted(failing(code)) as tables:
        with pytest.raises(SagaError) as raised:
            await tables.commit([Insert(A, {})])

    assert type(raised.value) is COMMIT_ERRORS[code]
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("code", sorted(COMMIT_ERRORS, key=str))
async def test_failed_read_is_unavailable(code: grpc.StatusCode):
    async with scripted(failing(code)) as tables:
        for read in (tables.lookup([A]), tables.due("Thing", "0", "9", 10)):
            with pytest.raises(Unavailable) as raised:
                await read
            assert type(raised.value) is Unavailable


async def test_commit_is_not_retried():
    """It may have been applied, so that gRPC must not repeat it either."""
    sent = []

    async def fail(request: bytes, context: Any) -> bytes:
        sent.append(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "try again")

    async with scripted({"Commit": fail}) as tables:
        with pytest.raises(OutcomeUnknown):
            await tables.commit([Insert(A, {})])
        await asyncio.sleep(0.2)

    assert len(sent) == 1


async def test_calls_time_out():
    async def hang(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()

    async with scripted({"Lookup": hang, "Commit": hang}, call_timeout_seconds=0.2) as tables:
        with pytest.raises(Unavailable):
            await tables.lookup([A])
        with pytest.raises(OutcomeUnknown):
            await tables.commit([Insert(A, {})])


async def test_deadline_of_a_call_is_passed_on():
    timeouts: list[float] = []

    async def record(request: bytes, context: Any) -> bytes:
        timeouts.append(context.time_remaining())
        return b""

    async with scripted({"Lookup": record, "Commit": record}) as tables:
        await tables.lookup([A])
        with deadline.set_deadline(2.5):
            await tables.lookup([A])
            await tables.commit([Insert(A, {})])
        await tables.commit([Insert(A, {})])

    before, lookup, commit, after = timeouts
    # gRPC rounds up.
    assert lookup < 2.6
    assert commit < 2.6
    assert before > 3
    assert after > 3


def deferring(rounds: int) -> Callable[[bytes, Any], Any]:
    """Return the first key of a lookup and defer the others, for that number of rounds."""

    async def lookup(request: bytes, context: Any) -> bytes:
        nonlocal rounds
        keys = list(LookupRequest.FromString(request).keys)
        rounds -= 1
        returned = keys if rounds < 0 else keys[:1]
        found = [EntityResult(entity=to_entity(key, {"n": 1}), version=7) for key in returned]
        return LookupResponse(found=found, deferred=keys[len(returned) :]).SerializeToString()

    return lookup


async def test_deferred_keys_are_looked_up_again():
    keys = [Key("Thing", str(number)) for number in range(5)]
    async with scripted({"Lookup": deferring(3)}) as tables:
        found = await tables.lookup(keys)

    assert list(found) == keys
    assert {row.version for row in found.values()} == {7}


async def test_endlessly_deferred_keys_are_unavailable():
    keys = [Key("Thing", str(number)) for number in range(DEFERRED_ROUNDS + 2)]
    async with scripted({"Lookup": deferring(1_000)}) as tables:
        with pytest.raises(Unavailable, match="deferring"):
            await tables.lookup(keys)


def in_batches(keys: list[Key], sizes: list[int]) -> tuple[Callable[[bytes, Any], Any], list[int]]:
    """Return a behaviour that answers a query in batches of those sizes, and the limits it receives."""
    limits: list[int] = []

    async def run_query(request: bytes, context: Any) -> bytes:
        query = RunQueryRequest.FromString(request).query
        start, size = int(query.start_cursor or b"0"), min(sizes[len(limits)], query.limit.value)
        limits.append(query.limit.value)
        batch = [
            EntityResult(entity=to_entity(to_key(Partition(), key), {"n": 1}), version=7)
            for key in keys[start : start + size]
        ]
        more = NO_MORE_RESULTS if len(limits) == len(sizes) else NOT_FINISHED
        response = {"entity_results": batch, "end_cursor": b"%d" % (start + size), "more_results": more}
        return RunQueryResponse(batch=response).SerializeToString()

    return run_query, limits


@pytest.mark.parametrize("method", ["due", "page"])
async def test_query_is_read_to_its_end_in_several_batches(method: str):
    """Some are empty, as a batch may end anywhere. A short result would be taken for the last page."""
    keys = [Key("Thing", str(number)) for number in range(9)]
    run_query, limits = in_batches(keys, [3, 0, 4, 9])
    async with scripted({"RunQuery": run_query}) as tables:
        bounds = ("0", "9") if method == "due" else ("",)
        found = await getattr(tables, method)("Thing", *bounds, 8)

    assert [key for key, _ in found] == keys[:8]
    assert limits == [8, 5, 5, 1]


def test_reserved_names_are_escaped():
    assert to_key(Partition(), Key("Thing", "__a__")).path[0].name == "~__a__"
    assert to_key(Partition(), Key("Thing", "a__")).path[0].name == "a__"


def test_only_due_is_indexed():
    """Unused indexes cost with every write, and limit the size of values."""
    entity = to_entity(
        to_key(Partition(), A),
        {"due": "1", "text": "x" * 2_000, "list": ["x" * 2_000], "dict": {"inner": "x" * 2_000, "due": "1"}},
    )

    indexed = {name for name, value in entity.properties.items() if not value.exclude_from_indexes}
    assert indexed == {"due", "list"}
    assert all(each.exclude_from_indexes for each in entity.properties["list"].array_value.values)
    inner = entity.properties["dict"].entity_value.properties
    assert all(each.exclude_from_indexes for each in inner.values())


def test_unsupported_type_is_rejected():
    with pytest.raises(TypeError, match="object cannot be stored"):
        to_entity(to_key(Partition(), A), {"value": object()})


@pytest.mark.parametrize(
    "name", ["", "x" * 1_501, "__" + "x" * 1_498], ids=["empty", "long", "long if escaped"]
)
async def test_name_that_datastore_rejects_is_poison_and_is_not_sent(name: str):
    """The server's INVALID_ARGUMENT could also mean a project that is misspelled: no event's fault."""
    key = Key("Thing", name)
    async with scripted(failing(grpc.StatusCode.INVALID_ARGUMENT)) as tables:
        for call in (tables.lookup([A, key]), tables.commit([Insert(key, {})])):
            with pytest.raises(Poison, match="unstorable: a name of"):
                await call
        with pytest.raises(Unavailable):
            await tables.lookup([A])
