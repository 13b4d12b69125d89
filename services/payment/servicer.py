"""gRPC to use cases: the service `Payment`."""

from typing import Any

from contract.fields import checked_id
from contract.messages import to_message
from rpc import payment_pb2 as pb
from rpc.payment_pb2_grpc import PaymentServicer
from services.payment.usecases import UseCases


class Servicer(PaymentServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Any) -> pb.GetPaymentResponse:
        charge = await self._usecases.get_payment(checked_id("orderid", request.orderid))
        return pb.GetPaymentResponse(payment=to_message(pb.Charge, charge))
