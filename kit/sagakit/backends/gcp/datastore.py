"""`Tables` over Datastore: lookups outside transactions, single-use commits that check versions."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.datastore_v1 import types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcAsyncIOTransport
from google.cloud.datastore_v1.services.datastore.transports.base import DEFAULT_CLIENT_INFO

from sagakit import deadline
from sagakit.backends.gcp.channels import RawUnaryCall, aio_channel
from sagakit.backends.gcp.errors import describe, to_unavailable, translated
from sagakit.backends.gcp.values import fill, from_entity, from_key, to_key
from sagakit.errors import Contention, OutcomeUnknown, Poison, SagaError, Unavailable
from sagakit.tables import DUE, UNSTORABLE, Delete, Insert, Key, Mutation, Row, Update, check_lookup

CALL_TIMEOUT_SECONDS = 5.0
DEFERRED_ROUNDS = 10

_CONFLICTS = (
    exceptions.FailedPrecondition,  # the version is another one (both emulators)
    exceptions.AlreadyExists,  # insert of an existing entity
    exceptions.NotFound,  # update of a missing entity
    exceptions.Aborted,  # contention in production, whose code for a version conflict is undocumented
)
_NOT_APPLIED = (
    exceptions.PermissionDenied,
    exceptions.Unauthenticated,
    exceptions.ResourceExhausted,
    exceptions.MethodNotImplemented,
    GoogleAuthError,  # the call was not sent
    grpc.aio.UsageError,  # nor was it on a closed channel
)

_LookupRequest: Any = types.LookupRequest.pb()
_CommitRequest: Any = types.CommitRequest.pb()
_RunQueryRequest: Any = types.RunQueryRequest.pb()
_Partition: Any = types.PartitionId.pb()
_Query: Any = types.Query.pb()
_Filter: Any = types.Filter.pb()
_Operator = types.PropertyFilter.Operator
_TRANSACTIONAL = types.CommitRequest.Mode.TRANSACTIONAL
# By default the server would keep its own entity and commit the others.
_FAIL = types.Mutation.ConflictResolutionStrategy.FAIL

_NOT_FINISHED = types.QueryResultBatch.MoreResultsType.NOT_FINISHED

_NAME = "__key__"


class DatastoreTables:
    """`Tables` in one database of one project."""

    def __init__(
        self, channel: grpc.aio.Channel, project: str, database: str, call_timeout_seconds: float
    ) -> None:
        self._call_timeout_seconds = call_timeout_seconds
        self._address = {"project_id": project, "database_id": database}
        self._partition = _Partition(**self._address)
        self._lookup = self._method(channel, "Lookup", types.LookupResponse.pb())
        self._commit = self._method(channel, "Commit", types.CommitResponse.pb())
        self._run_query = self._method(channel, "RunQuery", types.RunQueryResponse.pb())

    def _method(self, channel: grpc.aio.Channel, name: str, response: Any) -> RawUnaryCall:
        routing = {field: value for field, value in self._address.items() if value}
        return RawUnaryCall(
            channel, f"/google.datastore.v1.Datastore/{name}", response, DEFAULT_CLIENT_INFO, routing
        )

    async def lookup(self, keys: Sequence[Key]) -> dict[Key, Row]:
        check_lookup(keys)
        found: dict[Key, Row] = {}
        wanted = [to_key(self._partition, key) for key in keys]
        for _ in range(DEFERRED_ROUNDS):
            request = _LookupRequest(**self._address, keys=wanted)
            response = await self._call(self._lookup, request)
            found.update(_rows(response.found))
            if not response.deferred:
                return found
            wanted = list(response.deferred)
        raise Unavailable("Datastore kept deferring a lookup")

    async def commit(self, mutations: Sequence[Mutation]) -> None:
        request = _CommitRequest(**self._address, mode=_TRANSACTIONAL)
        request.single_use_transaction.read_write.SetInParent()
        for mutation in mutations:
            self._add(request.mutations.add(), mutation)
        with translated(_commit_error):
            await self._commit(request, deadline.remaining(self._call_timeout_seconds))

    async def due(self, kind: str, start: str, end: str, limit: int) -> list[tuple[Key, Row]]:
        bounds = [
            _compared(DUE, _Operator.GREATER_THAN_OR_EQUAL, {"string_value": start}),
            _compared(DUE, _Operator.LESS_THAN, {"string_value": end}),
        ]
        return await self._query(kind, DUE, bounds, limit)

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        last = {"key_value": to_key(self._partition, Key(kind, after))} if after else None
        bounds = [_compared(_NAME, _Operator.GREATER_THAN, last)] if last else []
        return await self._query(kind, _NAME, bounds, limit)

    async def expire(self, now: float, limit: int) -> int:  # noqa: ARG002  TTL policies do it
        return 0

    async def _query(self, kind: str, order: str, bounds: list[Any], limit: int) -> list[tuple[Key, Row]]:
        query = _Query(kind=[{"name": kind}], order=[{"property": {"name": order}}], limit={"value": limit})
        if bounds:
            query.filter.composite_filter.op = types.CompositeFilter.Operator.AND
            query.filter.composite_filter.filters.extend(bounds)
        found: list[tuple[Key, Row]] = []
        while len(found) < limit:
            batch = await self._batch(query)
            found += _rows(batch.entity_results)
            if batch.more_results != _NOT_FINISHED:
                break
            # A batch may end anywhere: after 300 entities, or after none if it took long.
            query.start_cursor = batch.end_cursor
            query.limit.value = limit - len(found)
        return found

    async def _batch(self, query: Any) -> Any:
        request = _RunQueryRequest(**self._address, partition_id=self._partition, query=query)
        return (await self._call(self._run_query, request)).batch

    async def _call(self, method: RawUnaryCall, request: Any) -> Any:
        with translated():
            return await method(request, deadline.remaining(self._call_timeout_seconds))

    def _add(self, pb: Any, mutation: Mutation) -> None:
        key = to_key(self._partition, mutation.key)
        match mutation:
            case Insert(_, entity):
                pb.insert.key.CopyFrom(key)
                fill(pb.insert, entity)
            case Update(_, entity, version):
                pb.update.key.CopyFrom(key)
                fill(pb.update, entity)
                pb.base_version = version
                pb.conflict_resolution_strategy = _FAIL
            case Delete():
                pb.delete.CopyFrom(key)


def _commit_error(error: Exception) -> SagaError:
    match error:
        case exceptions.GoogleAPICallError() if isinstance(error, _CONFLICTS):
            return Contention(str(error.message))
        case exceptions.InvalidArgument():
            return Poison(f"{UNSTORABLE}: {error.message}")
        case _ if isinstance(error, _NOT_APPLIED):
            return to_unavailable(error)
    return OutcomeUnknown(describe(error))


def _rows(results: Iterable[Any]) -> Iterable[tuple[Key, Row]]:
    for result in results:
        yield from_key(result.entity.key), Row(from_entity(result.entity), result.version)


def _compared(name: str, operator: int, value: dict[str, Any]) -> Any:
    return _Filter(property_filter={"property": {"name": name}, "op": operator, "value": value})


@asynccontextmanager
async def open_datastore(
    project: str, database: str, emulator: str, call_timeout_seconds: float = CALL_TIMEOUT_SECONDS
) -> AsyncIterator[DatastoreTables]:
    """Open the tables of `database` in `project`, or in the emulator at `host:port` if one is given."""
    channel = aio_channel(DatastoreGrpcAsyncIOTransport, emulator)
    try:
        yield DatastoreTables(channel, project, database, call_timeout_seconds)
    finally:
        await channel.close()
