"""The saga as the documentation shows it, drawn from the tables the services run on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.reactions import Reaction
from contract.topology import LISTENS_TO
from services.delivery.handlers import REACTIONS as DELIVERY
from services.payment.handlers import REACTIONS as PAYMENT
from services.purchase.ticket import CANCELLATION, FAILED, OPEN, REPORTS, SAID, TRANSITIONS, Transition
from services.stock.handlers import REACTIONS as STOCK

REACTIONS: Mapping[str, Mapping[str, Reaction]] = {"stock": STOCK, "payment": PAYMENT, "delivery": DELIVERY}
"""What the services do that answer purchase."""

BEGIN, END = "<!-- drawn from the tables: {} -->", "<!-- end -->"
_NOTHING = "\N{EN DASH}"
_WITHDRAWN = "client cancels, or deadline"


def drawings() -> dict[str, str]:
    """What is drawn, by the name it has in the documentation."""
    return {
        "ticket": _fenced(_states()),
        "moves": "\n".join(_moves()),
        "reactions": "\n".join(_reactions()),
    }


def redrawn(text: str) -> str:
    """The documentation with every drawing as it is to be. LookupError where it has no place for one."""
    for name, drawing in drawings().items():
        begin = BEGIN.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(END)
        if not found or not closed:
            raise LookupError(f"there is no place for {begin}")
        text = f"{before}{begin}\n{drawing}\n{END}{after}"
    return text


def redraw(file: Path) -> None:
    file.write_text(redrawn(file.read_text()))


def _fenced(lines: Iterator[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])


def _states() -> Iterator[str]:
    # A dash in a state's own name would be taken for part of an arrow.
    name = {status: status.replace("-", "_") for status in TRANSITIONS}
    yield from (f'state "{status}" as {name[status]}' for status in TRANSITIONS if name[status] != status)
    yield f"[*] --> {name[next(iter(TRANSITIONS))]}: checkout"
    for status, moves in TRANSITIONS.items():
        for report, move in moves.items():
            if move.to is not None:
                what = _WITHDRAWN if report == CANCELLATION else report
                yield f"{name[status]} --> {name[move.to]}: {what}"
    yield from (f"{name[status]} --> [*]" for status in TRANSITIONS if status not in OPEN)


def _moves() -> Iterator[str]:
    reports = (*REPORTS[:-1], CANCELLATION, REPORTS[-1])
    names = [_WITHDRAWN if report == CANCELLATION else f"`{report}`" for report in reports]
    yield f"| ticket is | {' | '.join(names)} |"
    yield "|---" * (len(reports) + 1) + "|"
    rows = {f"`{status}`": status for status in TRANSITIONS if status not in FAILED}
    for title, status in {**rows, "closed as failed": next(iter(FAILED))}.items():
        cells = [_in_words(status, TRANSITIONS[status].get(report), report) for report in reports]
        yield f"| {title} | {' | '.join(cells)} |"


def _in_words(status: str, move: Transition | None, report: str) -> str:
    if move is None and report == CANCELLATION:
        return "a canceled ticket is returned; else refused" if status in FAILED else "refused"
    if move is None:
        return _NOTHING
    if move.note:
        return "noted in the history"
    if move.to is None:
        return "say again if it is marked `again`" if move.if_again else "say again"
    return f"→ `{move.to}`" + (", say" if move.say else "")


def _reactions() -> Iterator[str]:
    yield "| service | hears | from | does | says |"
    yield "|---|---|---|---|---|"
    for service, reactions in REACTIONS.items():
        for status, reaction in reactions.items():
            says = ", ".join(f"`{said}`" for said in reaction.says) or _NOTHING
            publishers = ", ".join(_publishers(service, status))
            yield f"| {service} | `{status}` | {publishers} | {reaction.do.__name__} | {says} |"


def _publishers(service: str, status: str) -> Iterator[str]:
    for publisher in LISTENS_TO[service]:
        said = {said for reaction in REACTIONS.get(publisher, {}).values() for said in reaction.says}
        if status in (SAID if publisher == "purchase" else said):
            yield publisher


if __name__ == "__main__":
    redraw(Path("docs/architecture.md"))
