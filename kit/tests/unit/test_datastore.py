"""The Datastore adapter, where no emulator can be made to misbehave: a server that answers as it is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.cloud.datastore_v1 import types

from sagakit import deadline
from sagakit.backends.gcp.datastore import DEFERRED_ROUNDS, open_datastore
from sagakit.backends.gcp.values import to_entity, to_key
from sagakit.errors import Contention, OutcomeUnknown, Poison, SagaError, Unavailable
from sagakit.tables import Insert, Key
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


def failing(code: grpc.StatusCode) -> dict[str, Callable[[bytes, Any], Any]]:
    async def fail(request: bytes, context: Any) -> bytes:
        await context.abort(code, "as told")

    return {"Lookup": fail, "Commit": fail, "RunQuery": fail}


# What Datastore's documentation of errors, and the emulators, mean by a code of a commit.
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
async def test_what_a_failed_commit_means(code: grpc.StatusCode):
    async with serving(SERVICE, failing(code)) as address, open_datastore("project", "", address) as tables:
        with pytest.raises(SagaError) as raised:
            await tables.commit([Insert(A, {})])

    assert type(raised.value) is COMMIT_ERRORS[code]
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("code", sorted(COMMIT_ERRORS, key=str))
async def test_a_failed_read_is_unavailable_whatever_the_reason(code: grpc.StatusCode):
    async with serving(SERVICE, failing(code)) as address, open_datastore("project", "", address) as tables:
        for read in (tables.lookup([A]), tables.due("Thing", "0", "9", 10)):
            with pytest.raises(Unavailable) as raised:
                await read
            assert type(raised.value) is Unavailable


async def test_a_commit_is_sent_once():
    """Nobody repeats it behind our back: it may have been applied."""
    sent = []

    async def fail(request: bytes, context: Any) -> bytes:
        sent.append(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "try again")

    async with serving(SERVICE, {"Commit": fail}) as address:
        async with open_datastore("project", "", address) as tables:
            with pytest.raises(OutcomeUnknown):
                await tables.commit([Insert(A, {})])
            await asyncio.sleep(0.2)

    assert len(sent) == 1


async def test_a_server_that_does_not_answer_is_not_waited_for_without_end():
    async def hang(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()

    async with serving(SERVICE, {"Lookup": hang, "Commit": hang}) as address:
        async with open_datastore("project", "", address, call_timeout_seconds=0.2) as tables:
            with pytest.raises(Unavailable):
                await tables.lookup([A])
            with pytest.raises(OutcomeUnknown):
                await tables.commit([Insert(A, {})])


async def test_what_is_left_of_a_calls_time_is_handed_on():
    given: list[float] = []

    async def remember(request: bytes, context: Any) -> bytes:
        given.append(context.time_remaining())
        return b""

    async with serving(SERVICE, {"Lookup": remember, "Commit": remember}) as address:
        async with open_datastore("project", "", address) as tables:
            await tables.lookup([A])
            with deadline.set_deadline(1):
                await tables.lookup([A])
                await tables.commit([Insert(A, {})])
            await tables.commit([Insert(A, {})])

    before, lookup, commit, after = given
    # gRPC rounds up.
    assert lookup < 1.1
    assert commit < 1.1
    assert before > 2
    assert after > 2


def deferring(rounds: int) -> Callable[[bytes, Any], Any]:
    """Finds the first key of those asked for, and defers the others, so often."""

    async def lookup(request: bytes, context: Any) -> bytes:
        nonlocal rounds
        keys = list(LookupRequest.FromString(request).keys)
        rounds -= 1
        answered = keys if rounds < 0 else keys[:1]
        found = [EntityResult(entity=to_entity(key, {"n": 1}), version=7) for key in answered]
        return LookupResponse(found=found, deferred=keys[len(answered) :]).SerializeToString()

    return lookup


async def test_deferred_keys_are_asked_again():
    keys = [Key("Thing", str(number)) for number in range(5)]
    async with serving(SERVICE, {"Lookup": deferring(3)}) as address:
        async with open_datastore("project", "", address) as tables:
            found = await tables.lookup(keys)

    assert list(found) == keys
    assert {row.version for row in found.values()} == {7}


async def test_keys_that_are_deferred_for_ever_are_an_outage():
    keys = [Key("Thing", str(number)) for number in range(DEFERRED_ROUNDS + 2)]
    async with serving(SERVICE, {"Lookup": deferring(1_000)}) as address:
        async with open_datastore("project", "", address) as tables:
            with pytest.raises(Unavailable, match="deferring"):
                await tables.lookup(keys)


def in_batches(keys: list[Key], sizes: list[int]) -> tuple[Callable[[bytes, Any], Any], list[int]]:
    """Answers a query in batches of those sizes, and the limits it was asked with."""
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
        answer = {"entity_results": batch, "end_cursor": b"%d" % (start + size), "more_results": more}
        return RunQueryResponse(batch=answer).SerializeToString()

    return run_query, limits


@pytest.mark.parametrize("method", ["due", "page"])
async def test_a_query_is_read_to_its_end_in_however_many_batches(method: str):
    """Some of them empty: Datastore stops where it likes. A short answer would be taken for the last."""
    keys = [Key("Thing", str(number)) for number in range(9)]
    run_query, limits = in_batches(keys, [3, 0, 4, 9])
    async with serving(SERVICE, {"RunQuery": run_query}) as address:
        async with open_datastore("project", "", address) as tables:
            bounds = ("0", "9") if method == "due" else ("",)
            found = await getattr(tables, method)("Thing", *bounds, 8)

    assert [key for key, _ in found] == keys[:8]
    assert limits == [8, 5, 5, 1]


def test_names_that_datastore_keeps_for_itself_are_escaped():
    assert to_key(Partition(), Key("Thing", "__a__")).path[0].name == "~__a__"
    assert to_key(Partition(), Key("Thing", "a__")).path[0].name == "a__"


def test_only_due_is_indexed():
    """An index that nobody asks is paid for with every write, and caps what a value may be."""
    entity = to_entity(
        to_key(Partition(), A),
        {"due": "1", "text": "x" * 2_000, "list": ["x" * 2_000], "dict": {"inner": "x" * 2_000, "due": "1"}},
    )

    indexed = {name for name, value in entity.properties.items() if not value.exclude_from_indexes}
    assert indexed == {"due", "list"}
    assert all(each.exclude_from_indexes for each in entity.properties["list"].array_value.values)
    inner = entity.properties["dict"].entity_value.properties
    assert all(each.exclude_from_indexes for each in inner.values())


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(TypeError, match="object cannot be stored"):
        to_entity(to_key(Partition(), A), {"value": object()})
