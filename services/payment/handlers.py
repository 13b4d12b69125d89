"""Events to use cases: payment's reactions to stock's and purchase's tickets."""

from contract.reactions import Reaction
from contract.tickets import APPROVED, CANCELED, PAID, PAYMENT_FAILED, RESERVE_FAILED, RESERVED
from services.payment.usecases import UseCases

REACTIONS = {
    RESERVED: Reaction(UseCases.charge, replies=(PAID, PAYMENT_FAILED)),
    APPROVED: Reaction(UseCases.settle),
    PAYMENT_FAILED: Reaction(UseCases.cancel),
    CANCELED: Reaction(UseCases.cancel),
    # Stock publishes it for orders that were never to be charged, too.
    RESERVE_FAILED: Reaction(UseCases.cancel_if_charged),
}
