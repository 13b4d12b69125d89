"""gRPC to use cases: the service `Payment`."""

from typing import Any

from contract.fields import checked_id
from rpc import payment_pb2 as pb
from rpc.payment_pb2_grpc import PaymentServicer
from sagakit.events import timestamp
from services.payment.charge import Charge
from services.payment.usecases import UseCases


class Servicer(PaymentServicer):
    """Validate requests, call the use cases, convert results to messages."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Any) -> pb.GetPaymentResponse:
        charge = await self._usecases.get_payment(checked_id("orderid", request.orderid))
        return pb.GetPaymentResponse(payment=charge_to_message(charge))


def charge_to_message(charge: Charge) -> pb.Charge:
    return pb.Charge(
        orderid=charge.orderid,
        status=charge.status,
        amount=charge.amount,
        refunded=charge.refunded,
        reason=charge.reason,
        time=timestamp(charge.time),
        settled_time=None if charge.settled_time is None else timestamp(charge.settled_time),
    )
