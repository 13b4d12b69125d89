"""Draw the saga for the documentation from the tables the services run on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.reactions import Reaction
from contract.tickets import FAILED, OPEN, PUBLISHED_BY
from contract.topology import TOPOLOGY
from services.delivery.usecases import REACTIONS as DELIVERY
from services.payment.usecases import REACTIONS as PAYMENT
from services.purchase.ticket import CANCELLATION, REPORTS, TRANSITIONS, Transition
from services.stock.usecases import REACTIONS as STOCK

REACTIONS: Mapping[str, Mapping[str, Reaction]] = {"stock": STOCK, "payment": PAYMENT, "delivery": DELIVERY}
"""The reactions of each service that replies to purchase, by the status it receives."""

BEGIN, END = "<!-- drawn from the tables: {} -->", "<!-- end -->"
_NOTHING = "\N{EN DASH}"
_CANCELLATION = "client cancels, or deadline"


def drawings() -> dict[str, str]:
    """Return the drawings, by the name each has in the documentation."""
    return {
        "services": "\n".join(_services()),
        "ticket": _mermaid(_states()),
        "transitions": "\n".join(_transitions()),
        "reactions": "\n".join(_reactions()),
    }


def redrawn(text: str) -> str:
    """Return the documentation with current drawings. Raises LookupError if the place for one is missing."""
    for name, drawing in drawings().items():
        begin = BEGIN.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(END)
        if not found or not closed:
            raise LookupError(f"no place for {begin}")
        text = f"{before}{begin}\n{drawing}\n{END}{after}"
    return text


def _services() -> Iterator[str]:
    yield "| service | gRPC | publishes to | subscribes to |"
    yield "|---|---|---|---|"
    for service in TOPOLOGY.services:
        grpc = ", ".join(f"`{each.rpartition('.')[2]}`" for each in service.grpc_services)
        topics = ", ".join(f"`{topic}`" for topic in TOPOLOGY.subscribed_topics(service.name))
        publishes_to = f"`{service.topic}`" if service.topic else ""
        yield f"| {service.name} | {grpc or _NOTHING} | {publishes_to or _NOTHING} | {topics or _NOTHING} |"
    yield f"| gateway | {_NOTHING} (REST in, gRPC out) | {_NOTHING} | ephemeral: all topics |"


def _mermaid(lines: Iterator[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])


def _states() -> Iterator[str]:
    # Mermaid takes a dash in a state's own name for part of an arrow.
    name = {status: status.replace("-", "_") for status in TRANSITIONS}
    yield from (f'state "{status}" as {name[status]}' for status in TRANSITIONS if name[status] != status)
    yield f"[*] --> {name[next(iter(TRANSITIONS))]}: checkout"
    for status, reports in TRANSITIONS.items():
        for report, transition in reports.items():
            if transition.to is not None:
                yield f"{name[status]} --> {name[transition.to]}: {_of_report(report, '')}"
    yield from (f"{name[status]} --> [*]" for status in TRANSITIONS if status not in OPEN)


def _of_report(report: str, quote: str = "`") -> str:
    return _CANCELLATION if report == CANCELLATION else f"{quote}{report}{quote}"


def _transitions() -> Iterator[str]:
    reports = (*REPORTS[:-1], CANCELLATION, REPORTS[-1])
    yield f"| ticket is | {' | '.join(map(_of_report, reports))} |"
    yield "|---" * (len(reports) + 1) + "|"
    rows = {f"`{status}`": status for status in TRANSITIONS if status not in FAILED}
    for title, status in {**rows, "failed": next(iter(FAILED))}.items():
        cells = [_effect(status, TRANSITIONS[status].get(report), report) for report in reports]
        yield f"| {title} | {' | '.join(cells)} |"


def _effect(status: str, transition: Transition | None, report: str) -> str:
    if transition is None and report == CANCELLATION:
        return "a canceled ticket is returned; else rejected" if status in FAILED else "rejected"
    if transition is None:
        return _NOTHING
    if transition.record:
        return "recorded in the history"
    if transition.to is None:
        return "republish if it is a reminder" if transition.only_if_reminder else "republish"
    return f"→ `{transition.to}`" + (", publish" if transition.publish else "")


def _reactions() -> Iterator[str]:
    yield "| service | receives | from | does | publishes |"
    yield "|---|---|---|---|---|"
    for service, reactions in REACTIONS.items():
        for status, reaction in reactions.items():
            subscribes_to = TOPOLOGY.service(service).subscribes_to
            publishers = ", ".join(each for each in subscribes_to if status in PUBLISHED_BY[each])
            replies = ", ".join(f"`{reply}`" for reply in reaction.replies) or _NOTHING
            yield f"| {service} | `{status}` | {publishers} | {reaction.do.__name__} | {replies} |"


if __name__ == "__main__":
    architecture = Path("docs/architecture.md")
    architecture.write_text(redrawn(architecture.read_text()))
