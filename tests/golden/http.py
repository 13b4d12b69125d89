"""Requests and their answers as text."""

import json
import re
from collections import defaultdict
from typing import Any

import httpx

from tests.golden.text import Names

EVERYWHERE = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""The expected headers of an answer; only differences are recorded."""
UNSTABLE = {"content-length", "last-modified", "date"}
MAX_SHOWN = 200


class Http:
    """Sends requests, and remembers them with what was answered, by file."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._seen: dict[str, list[str]] = defaultdict(list)

    async def __call__(
        self,
        client: httpx.AsyncClient,
        file: str,
        case: str,
        line: str,
        body: Any = None,
        *,
        headers: Any = (),
        show: bool = True,
    ) -> httpx.Response:
        """`line`: method and path; `body`: an object to be sent as JSON, or text or bytes as they are."""
        method, _, url = line.partition(" ")
        raw = isinstance(body, (str, bytes))
        sent = {} if body is None else {"content": body} if raw else {"json": body}
        answer = await client.request(method, url, headers=headers, **sent)
        asked = [line, *_headers(httpx.Headers(headers))]
        if body is not None:
            asked.append(_abbreviated(body if raw else json.dumps(body)))
        shown = {**dict.fromkeys(EVERYWHERE, "(none)"), **answer.headers}
        headers = [(n, v) for n, v in shown.items() if n not in UNSTABLE and EVERYWHERE.get(n) != v]
        self._seen[file].append(
            "\n".join(
                [f"## {case}", *asked, f"-> {answer.status_code}", *self._answer(answer, headers, show)]
            )
        )
        return answer

    def files(self) -> dict[str, str]:
        return {name: self._names("\n\n".join(cases)) + "\n" for name, cases in self._seen.items()}

    def _answer(self, answer: httpx.Response, headers: Any, show: bool) -> list[str]:
        # The tag of a body that is always the same is always the same.
        if not show or self._names(answer.text) != answer.text:
            headers = [(n, '"<etag>"' if n == "etag" else v) for n, v in headers]
        lines = [f"{name}: {value}" for name, value in sorted(headers)]
        if not answer.text:
            return lines
        return [*lines, answer.text.rstrip("\n") if show else "(a body)"]


def _headers(headers: httpx.Headers) -> list[str]:
    return [
        f"{name}: {re.sub('Bearer e.*', 'Bearer <token>', value)}" for name, value in headers.multi_items()
    ]


def _abbreviated(body: Any) -> str:
    text = body if isinstance(body, str) else repr(body)
    return text if len(text) <= MAX_SHOWN else f"{text[:60]}... ({len(body)} in all)"
