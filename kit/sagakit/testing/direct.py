"""RPCs called directly, without a server: gRPC's generated code registers its methods here."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

    Method = grpc.RpcMethodHandler[Any, Any]


class DirectCalls:
    """Stands for the gRPC server that a service's servicers are registered with."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    async def call(self, method: str, request: Any) -> Any:
        """Call a method by its name and return the response. Raises what the servicer raises."""
        behavior: Any = self._methods[method].unary_unary
        return await behavior(request, None)

    def add_generic_rpc_handlers(self, _: Any) -> None:
        """Ignore what generated code registers first."""

    def add_registered_method_handlers(self, _: str, methods: "dict[str, Method]") -> None:
        """Keep the methods that generated code registers."""
        self._methods |= methods
