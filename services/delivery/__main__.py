"""Composition root of the delivery service."""

from functools import partial

from contract.reactions import by_topic, handlers
from contract.shop import SHOP, publishers
from contract.tickets import ORDER_TICKET
from rpc.delivery_pb2 import DESCRIPTOR
from rpc.delivery_pb2_grpc import add_DeliveryServicer_to_server
from sagakit.run import main
from sagakit.service import Kit, Service
from services.delivery.servicer import Servicer
from services.delivery.usecases import IGNORES, REACTIONS, UseCases


def build(kit: Kit) -> Service:
    usecases = UseCases(kit.store, kit.inbox, kit.runtime)
    known = publishers(kit.subscribe_topics)
    return Service(
        servicers=[partial(add_DeliveryServicer_to_server, Servicer(usecases))],
        reflection_names=[DESCRIPTOR.services_by_name["Delivery"].full_name],
        handlers=handlers(REACTIONS, usecases, known),
        ignores=by_topic(IGNORES, known),
        publishes=[ORDER_TICKET],
    )


if __name__ == "__main__":
    main("delivery", build, SHOP)
