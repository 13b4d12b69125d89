"""Events to use cases: what stock asks money for, and how purchase's tickets end."""

from contract.reactions import Reaction
from contract.tickets import APPROVED, CANCELED, PAID, PAYMENT_FAILED, RESERVE_FAILED, RESERVED
from services.payment.usecases import UseCases

REACTIONS = {
    RESERVED: Reaction(UseCases.charge, replies=(PAID, PAYMENT_FAILED)),
    APPROVED: Reaction(UseCases.settle),
    PAYMENT_FAILED: Reaction(UseCases.cancel),
    CANCELED: Reaction(UseCases.cancel),
    # Stock says so too, of orders that nobody was ever asked to charge.
    RESERVE_FAILED: Reaction(UseCases.cancel_if_charged),
}
