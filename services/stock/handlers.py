"""Events to use cases: stock's reactions to purchase's tickets."""

from contract.reactions import Reaction
from contract.tickets import (
    APPROVED,
    CANCELED,
    PAID,
    PAYMENT_FAILED,
    PRE_APPROVED,
    RESERVE_FAILED,
    RESERVED,
)
from services.stock.usecases import UseCases

REACTIONS = {
    PRE_APPROVED: Reaction(UseCases.reserve, replies=(RESERVED, RESERVE_FAILED, PAID)),
    APPROVED: Reaction(UseCases.sell),
    PAYMENT_FAILED: Reaction(UseCases.release),
    CANCELED: Reaction(UseCases.release),
    RESERVE_FAILED: Reaction(UseCases.release),
}
