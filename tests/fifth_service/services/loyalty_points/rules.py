"""The points that an order earns."""

from contract.tickets import TicketMessage


def earned(ticket: TicketMessage, rate: int) -> int:
    """Return `rate` points for each unit of an item."""
    return rate * sum(item.count for item in ticket.cart_items)
