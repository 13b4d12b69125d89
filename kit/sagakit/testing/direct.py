"""RPCs called directly, without a server: gRPC's generated code registers its methods here."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sagakit.errors import Unavailable

if TYPE_CHECKING:
    import grpc

    Method = grpc.RpcMethodHandler[Any, Any]


class DirectCalls:
    """Stands for the gRPC server that a service's servicers are registered with."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._stopped = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def call(self, method: str, request: Any) -> Any:
        """Call a method by its name and return the response. Raises what the servicer raises."""
        if self._stopped:
            raise Unavailable("the server has stopped")
        behavior: Any = self._methods[method].unary_unary
        self._in_flight += 1
        self._idle.clear()
        try:
            return await behavior(request, None)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def set_serving(self, serving: bool) -> None:
        """Do nothing: callers do not ask."""

    async def stop(self, grace_seconds: float) -> None:
        """Reject new calls and wait for current ones until the grace is over."""
        self._stopped = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_seconds)

    def add_generic_rpc_handlers(self, _: Any) -> None:
        """Ignore what generated code registers first."""

    def add_registered_method_handlers(self, _: str, methods: "dict[str, Method]") -> None:
        """Keep the methods that generated code registers."""
        self._methods |= methods
