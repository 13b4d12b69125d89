"""A DNS server whose names appear when a test wants it, for gRPC targets `dns://127.0.0.1:PORT/NAME:PORT`.

As a process it serves port 53 of an address, with the names of a file:
`python -m tests.support.late_dns ADDRESS FILE`.
"""

import asyncio
import ipaddress
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

HEADER = struct.Struct("!6H")
RESPONSE = 0x8580
NO_SUCH_NAME = 3
A = 1


class LateDns(asyncio.DatagramProtocol):
    """Answers every name with `addresses`; while they are empty, that it does not exist."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked_at: list[float] = []
        """When it was asked (time.monotonic)."""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance of DatagramTransport before Python 3.12.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self._transport is not None
        self.asked_at.append(time.monotonic())
        if (answer := self._answer(data)) is not None:
            self._transport.sendto(answer, address)

    @property
    def authority(self) -> str:
        """The server's address, for targets."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def addresses_of(self, _name: str) -> list[str] | None:
        """Return the addresses of a name, none if it does not exist; None: do not answer."""
        return self.addresses

    def _answer(self, query: bytes) -> bytes | None:
        end = query.index(b"\0", HEADER.size) + 5
        question, (kind,) = query[HEADER.size : end], struct.unpack("!H", query[end - 4 : end - 2])
        known = self.addresses_of(question[1 : 1 + question[0]].decode())
        if known is None:
            return None
        addresses = [ipaddress.IPv4Address(each).packed for each in known] if kind == A else []
        flags = RESPONSE | (0 if known else NO_SUCH_NAME)
        header = HEADER.pack(*struct.unpack("!H", query[:2]), flags, 1, len(addresses), 0, 0)
        # Each record: the question's name, type A, class IN, valid for 5 seconds, four bytes.
        records = (struct.pack("!HHHIH", 0xC00C, A, 1, 5, 4) + each for each in addresses)
        return header + question + b"".join(records)


@asynccontextmanager
async def late_dns() -> AsyncIterator[LateDns]:
    """Serve until the block ends."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(LateDns, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


class DnsOfFile(LateDns):
    """Answers with the first matching lines `ADDRESS NAME` of a file; while it is empty, not at all."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def addresses_of(self, name: str) -> list[str] | None:
        lines = [line.split() for line in self._file.read_text().splitlines()]
        return [address for address, known in lines if known == name] if lines else None


async def serve_file(address: str, file: Path) -> None:
    """Serve port 53 of the address until the process ends."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: DnsOfFile(file), local_addr=(address, 53))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_file(sys.argv[1], Path(sys.argv[2])))
