"""Composition root of the payment service."""

from functools import partial

from contract.reactions import by_topic, handlers
from contract.shop import SHOP, publishers
from contract.tickets import ORDER_TICKET
from rpc.payment_pb2 import DESCRIPTOR
from rpc.payment_pb2_grpc import add_PaymentServicer_to_server
from sagakit.run import main
from sagakit.service import Kit, Service
from services.payment.provider import PaymentProvider
from services.payment.servicer import Servicer
from services.payment.settings import Settings
from services.payment.simulated import SimulatedProvider
from services.payment.storage import PAYMENT
from services.payment.usecases import IGNORES, REACTIONS, UseCases


def build(kit: Kit) -> Service:
    provider = _provider(kit, Settings.from_environ(kit.environ))
    usecases = UseCases(kit.store, kit.inbox, kit.runtime, kit.schedule, provider)
    known = publishers(kit.subscribe_topics)
    return Service(
        servicers=[partial(add_PaymentServicer_to_server, Servicer(usecases))],
        reflection_names=[DESCRIPTOR.services_by_name["Payment"].full_name],
        handlers=handlers(REACTIONS, usecases, known),
        ignores=by_topic(IGNORES, known),
        publishes=[ORDER_TICKET],
        reminders={PAYMENT: usecases.remind},
        waiting_since={PAYMENT: lambda entity: float(entity["time"])},
        health_checks=[provider.check],
        tasks={"side-effects": usecases.side_effects.run},
    )


def _provider(kit: Kit, settings: Settings) -> PaymentProvider:
    """Return the provider named by PAYMENT_PROVIDER; add a case here and a name in PROVIDERS for others."""
    match settings.provider:
        case "simulated":
            return SimulatedProvider(kit.tables, kit.runtime, settings.limit)
    raise NotImplementedError(settings.provider)


if __name__ == "__main__":
    main("payment", build, SHOP)
