"""The Idempotency-Key header: a client's name for a request that it may have to repeat.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ has it as a quoted string;
many clients leave the quotes out, and are understood.
"""

import re
from typing import Any

from starlette.requests import Request

from contract.fields import ID_PATTERN
from sagakit.inbox import INBOX_RETENTION
from services.gateway.errors import Problem

HEADER = "Idempotency-Key"
_CHARACTERS = ID_PATTERN.strip("^$")
_PATTERN = rf'^("{_CHARACTERS}"|{_CHARACTERS})$'
_KEY = re.compile(_PATTERN.replace("^", r"\A").replace("$", r"\Z"))

PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Names this request, so that it may be repeated: for "
        f"{INBOX_RETENTION.days} days a repeat is answered as the first was, and changes nothing. Another "
        "request about the same cart or order under the same key is refused with 422. What failed is not "
        "remembered, and may be tried again under the same key."
    ),
    "schema": {"type": "string", "pattern": _PATTERN},
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}


def commandid_of(request: Request) -> str:
    """The key without its quotes; "" where there is none. Raises Problem where it is malformed."""
    keys = request.headers.getlist(HEADER)
    if not keys:
        return ""
    if len(keys) > 1 or not _KEY.match(keys[0]):
        message = "must be one of 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, in quotes or without"
        errors = [{"field": HEADER, "message": message}]
        raise Problem(400, "invalid-argument", f"{HEADER}: {message}", errors)
    return keys[0].strip('"')
