"""Composition root of the purchase service."""

from functools import partial

from contract.shop import SHOP, publishers
from contract.tickets import ORDER_TICKET, PUBLISHED_BY
from contract.topology import TOPOLOGY
from rpc.purchase_pb2 import DESCRIPTOR
from rpc.purchase_pb2_grpc import add_PurchaseServicer_to_server
from sagakit.run import main
from sagakit.service import Kit, Service
from sagakit.topology import Topology
from services.purchase.servicer import Servicer
from services.purchase.settings import Settings
from services.purchase.storage import TICKET, opened_at
from services.purchase.usecases import UseCases


def build(kit: Kit, topology: Topology = TOPOLOGY) -> Service:
    settings = Settings.from_environ(kit.environ)
    limits = (settings.order_deadline_seconds, settings.cart_ttl_seconds)
    also_awaits = tuple(each for each in topology.service("purchase").awaits if each not in PUBLISHED_BY)
    usecases = UseCases(
        kit.store, kit.inbox, kit.runtime, kit.schedule, *limits, kit.metrics, also_awaits=also_awaits
    )
    return Service(
        servicers=[partial(add_PurchaseServicer_to_server, Servicer(usecases))],
        reflection_names=[DESCRIPTOR.services_by_name["Purchase"].full_name],
        handlers=usecases.handlers(publishers(kit.subscribe_topics, topology)),
        publishes=[ORDER_TICKET],
        dead_letter_reasons=["unknown-order"],
        reminders={TICKET: usecases.remind},
        waiting_since={TICKET: opened_at},
    )


if __name__ == "__main__":
    main("purchase", build, SHOP)
