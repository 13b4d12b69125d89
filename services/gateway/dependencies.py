"""Dependencies of routes, as `Annotated` types: clients, order feeds, idempotency keys, entity tags."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from contract.fields import ID_PATTERN, ID_RULE
from sagakit.inbox import INBOX_RETENTION
from services.gateway.clients import Clients
from services.gateway.errors import Problem
from services.gateway.order_feed.live import LiveOrders

_ETAG = re.compile(r'"[^"]*"')
"""Without the W/ of a weak tag, which matches as well (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2)."""
_KEY_PATTERN = '^("{0}"|{0})$'.format(ID_PATTERN.strip("^$"))
_KEY = re.compile(_KEY_PATTERN.strip("^$"))
_KEY_DESCRIPTION = (
    f"Names this request, so that it can be retried: for {INBOX_RETENTION.days} days a retry gets the first "
    "answer, and changes nothing. Another request about the same cart or order under the same key is "
    "rejected with 422. Failed requests are not stored, and can be retried under the same key."
)


async def _clients(request: Request) -> Clients:
    clients: Clients = request.app.state.clients
    return clients


async def _live_orders(request: Request) -> LiveOrders:
    live: LiveOrders = request.app.state.live_orders
    return live


async def _idempotency_key(
    request: Request,
    _: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            default_factory=str,
            description=_KEY_DESCRIPTION,
            json_schema_extra={"pattern": _KEY_PATTERN},
            examples=['"8e03978e-40d5-43e8-bc93-6894a57f9324"'],
        ),
    ],
) -> str:
    """The key without its quotes, "" if the header is missing. Raises Problem (400) if it is malformed.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ requires quotes, which many
    clients leave out.
    """
    keys = request.headers.getlist("Idempotency-Key")
    if not keys:
        return ""
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Problem.invalid_field("Idempotency-Key", f"must be {ID_RULE}, in quotes or without")
    return keys[0].strip('"')


@dataclass(frozen=True, slots=True)
class ConditionalAnswer:
    """Answers with an entity tag, or with 304 if the client's If-None-Match has it (RFC 9110)."""

    if_none_match: str

    def __call__(self, answer: BaseModel) -> Response:
        body = answer.model_dump_json()
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if self.if_none_match.strip() == "*" or tag in _ETAG.findall(self.if_none_match):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")


async def _conditional_answer(
    request: Request,
    _: Annotated[
        str,
        Header(
            alias="If-None-Match",
            default_factory=str,
            description="The ETag of an earlier answer: answered with 304 if nothing has changed.",
        ),
    ],
) -> ConditionalAnswer:
    return ConditionalAnswer(", ".join(request.headers.getlist("if-none-match")))


# FastAPI calls a dependency that is not a coroutine function in a thread, which costs 0.2 ms: none is.
Services = Annotated[Clients, Depends(_clients)]
Live = Annotated[LiveOrders, Depends(_live_orders)]
IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
Conditional = Annotated[ConditionalAnswer, Depends(_conditional_answer)]
