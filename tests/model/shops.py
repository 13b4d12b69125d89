"""The starting points of explorations: what is in stock, and what is ordered."""

from dataclasses import dataclass

from structlog.testing import capture_logs

from contract.tickets import CartItem, TicketMessage, ticket_event
from sagakit.events import Event
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import opened
from services.stock import inventory
from services.stock.inventory import Item
from services.stock.storage import item_entity, item_key, shard_entities
from tests.model.explore import Exploration, Explored
from tests.model.promises import Promises
from tests.model.shop import LIMIT, SERVICES
from tests.model.steps import NOW, Records
from tests.model.world import World


@dataclass(frozen=True, slots=True)
class Start:
    """A shop, and orders that have just been checked out."""

    name: str
    item: Item
    orders: tuple[int, ...] = (1,)
    """Units of each order."""


STARTS = (
    Start("paid order", Item("blue", 100, 5)),
    Start("declined order", Item("gold", LIMIT + 1, 5)),
    Start("order of price 0", Item("gift", 0, 5)),
    Start("order without payment", Item("red", 100, 5, waives_payment=True)),
    Start("sold out", Item("rare", 100, 0)),
    Start(
        "two orders for the last units of two shards",
        Item("red", 1, 2, waives_payment=True, shards=2),
        (1, 2),
    ),
)


def explore(start: Start, max_running: int = 2, *, loses_each: bool = False) -> Explored:
    """Explore every state that is reachable from the checkout of the orders. Parameters: see `World`."""
    world = World(max_running, loses_each)
    records: dict[str, Records] = {service: {} for service in SERVICES}
    records["stock"] = _stock(start.item)
    published = []
    for number, count in enumerate(start.orders, 1):
        ticket, event = _checked_out(f"order-{number}", CartItem(start.item.itemid, count))
        records["purchase"] = {**records["purchase"], **ticket}
        published.append(event)
    promises = Promises(world)
    state = world.start(records, published)
    with capture_logs():
        return Exploration(world, state).run(promises.violation, promises.is_end)


def _stock(item: Item) -> Records:
    shards = inventory.put(None, {}, item)
    return {item_key(item.itemid): item_entity(item), **shard_entities(item.itemid, shards)}


def _checked_out(orderid: str, item: CartItem) -> tuple[Records, Event]:
    """Return the ticket of an order, and the event that announces it."""
    ticket = opened(orderid, "cart", (item,), NOW)
    message = TicketMessage(orderid, ticket.status, ticket.items)
    return {ticket_key(orderid): ticket_entity(ticket, NOW + 1)}, ticket_event(message, "id", NOW)
