"""Events to use cases: which of purchase's tickets are approved."""

from contract.reactions import Reaction
from contract.tickets import APPROVED, DELIVERY_ARRANGED
from services.delivery.usecases import UseCases

REACTIONS = {APPROVED: Reaction(UseCases.arrange, replies=(DELIVERY_ARRANGED,))}
