"""Events to use cases: delivery's reaction to purchase's tickets."""

from contract.reactions import Reaction
from contract.tickets import APPROVED, DELIVERY_ARRANGED
from services.delivery.usecases import UseCases

REACTIONS = {APPROVED: Reaction(UseCases.arrange, replies=(DELIVERY_ARRANGED,))}
