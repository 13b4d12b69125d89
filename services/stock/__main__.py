"""Composition root of the stock service."""

from functools import partial

from contract.reactions import by_topic, handlers
from contract.shop import SHOP, publishers
from contract.tickets import ORDER_TICKET
from rpc.stock_pb2 import DESCRIPTOR
from rpc.stock_pb2_grpc import add_StockServicer_to_server
from sagakit.run import main
from sagakit.service import Kit, Service
from services.stock.catalogue import Catalogue
from services.stock.servicer import Servicer
from services.stock.shards import ShardHints
from services.stock.storage import RESERVATION
from services.stock.usecases import IGNORES, REACTIONS, UseCases


def build(kit: Kit) -> Service:
    shard_hints = ShardHints()
    usecases = UseCases(kit.store, kit.inbox, kit.runtime, kit.schedule, shard_hints)
    servicer = Servicer(usecases, Catalogue(kit.store, shard_hints))
    known = publishers(kit.subscribe_topics)
    return Service(
        servicers=[partial(add_StockServicer_to_server, servicer)],
        reflection_names=[DESCRIPTOR.services_by_name["Stock"].full_name],
        handlers=handlers(REACTIONS, usecases, known),
        ignores=by_topic(IGNORES, known),
        publishes=[ORDER_TICKET],
        reminders={RESERVATION: usecases.remind},
        waiting_since={RESERVATION: lambda entity: float(entity["time"])},
    )


if __name__ == "__main__":
    main("stock", build, SHOP)
