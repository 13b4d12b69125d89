"""A DNS server whose names appear when a test wants it, for gRPC targets `dns://127.0.0.1:PORT/NAME:PORT`."""

import asyncio
import ipaddress
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
        self._transport.sendto(self._answer(data), address)

    @property
    def authority(self) -> str:
        """The server's address, for targets."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", HEADER.size) + 5
        question, (kind,) = query[HEADER.size : end], struct.unpack("!H", query[end - 4 : end - 2])
        addresses = [ipaddress.IPv4Address(each).packed for each in self.addresses] if kind == A else []
        flags = RESPONSE | (0 if self.addresses else NO_SUCH_NAME)
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
