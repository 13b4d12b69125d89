"""Answers that a client may have already: entity tags, and 304 where they have not changed (RFC 9110)."""

import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

_TAG = re.compile(r'"[^"]*"')
"""Without the W/ of a weak one, which counts as well (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2)."""


def unless_known(request: Request, response: Response) -> Response:
    """The response with its ETag, or that the client has it: If-None-Match names it."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = ", ".join(request.headers.getlist("if-none-match"))
    if known.strip() == "*" or tag in _TAG.findall(known):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response
