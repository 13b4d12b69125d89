"""The addresses of emulators, in every form in which tools print them."""

import re
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator

MAX_PORT = 65_535


def host_and_port(address: str) -> str:
    """Return the `host:port` of an emulator, from any form in which tools print it.

    IPv6 addresses may lack their brackets (`::1:8081`, as gcloud prints it), `http://` and a slash at the end
    are removed, and an address to listen at stands for the loopback address. Raises ValueError.
    """
    plain = re.sub("^http://", "", address.strip(), flags=re.IGNORECASE).removesuffix("/")
    match = re.fullmatch(r"(?:\[(?P<v6>.+)\]|(?P<host>.+)):(?P<port>[0-9]{1,5})", plain)
    host = match and (match["v6"] or match["host"])
    if not match or not host or not 0 < int(match["port"]) <= MAX_PORT or not _is_host(host, match["v6"]):
        raise ValueError(f"must be host:port, not {address!r}")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  nothing listens there
    return f"[{host}]:{match['port']}" if ":" in host else f"{host}:{match['port']}"


def _is_host(host: str, bracketed: str | None) -> bool:
    if bracketed or ":" in host:
        with suppress(ValueError):
            return bool(IPv6Address(host))
        return False
    return re.fullmatch("[A-Za-z0-9._-]+", host) is not None


def _emulator(address: str) -> str:
    return host_and_port(address) if address else ""


EmulatorHost = Annotated[str, AfterValidator(_emulator)]
