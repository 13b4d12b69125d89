"""What can be done with a resource, as its routes and its documentation are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from pydantic import BaseModel

from services.gateway.models import Request
from services.gateway.v1.models import Nothing


@dataclass(frozen=True, slots=True)
class Made:
    """Something was made: the status that says so, and where it is, by fields of the answer."""

    status: int
    location: str
    if_created: bool = False
    """Only where the service says that it has created it; else it was there, which is a 200."""


@dataclass(frozen=True, slots=True)
class Action:
    """`method` at `path`: calls `rpc`, and answers `part` of what that answers (all of it, where "")."""

    name: str
    """Its operationId."""
    method: str
    path: str
    rpc: MethodDescriptor
    answer: type[BaseModel]
    part: str
    summary: str
    example: Mapping[str, Any]
    at: type[Request] | None
    """What is in the path."""
    query: type[Request] | None = None
    body: type[Request] = Nothing
    body_example: Mapping[str, Any] = field(default_factory=dict)
    made: Made | None = None
    refusals: tuple[int, ...] = ()
    """The statuses it fails with beside those that anything can fail with."""
    leads_to: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Names of actions on what was answered, with where the answer or the request has their parameters."""

    @property
    def keyed(self) -> bool:
        """It takes an Idempotency-Key."""
        return "commandid" in self.rpc.input_type.fields_by_name
