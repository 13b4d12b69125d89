"""Composition root of the service."""

from functools import partial

from contract.reactions import by_topic, handlers
from contract.shop import SHOP, publishers
from rpc.loyalty_points_pb2 import DESCRIPTOR
from rpc.loyalty_points_pb2_grpc import add_LoyaltyPointsServicer_to_server
from sagakit.run import main
from sagakit.service import Kit, Service
from services.loyalty_points.servicer import Servicer
from services.loyalty_points.settings import Settings
from services.loyalty_points.usecases import IGNORES, POINTS_EARNED, REACTIONS, UseCases


def build(kit: Kit) -> Service:
    settings = Settings.from_environ(kit.environ)
    usecases = UseCases(kit.store, kit.inbox, kit.runtime, settings.rate)
    known = publishers(kit.subscribe_topics)
    return Service(
        servicers=[partial(add_LoyaltyPointsServicer_to_server, Servicer(usecases))],
        reflection_names=[DESCRIPTOR.services_by_name["LoyaltyPoints"].full_name],
        handlers=handlers(REACTIONS, usecases, known),
        ignores=by_topic(IGNORES, known),
        publishes=[POINTS_EARNED],
    )


if __name__ == "__main__":
    main("loyalty-points", build, SHOP)
