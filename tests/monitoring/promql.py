"""What a PromQL expression asks for: the series it names, and the labels it has of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql


@dataclass(frozen=True, slots=True)
class Asked:
    """One name, with every label that is matched, or grouped by, or shown, where it is looked at."""

    name: str
    labels: frozenset[str]


def asked(expression: str) -> set[Asked]:
    """Raises ValueError where it is no PromQL."""
    return set(_walk(promql.parse(expression), frozenset()))


def _walk(node: Any, wanted: frozenset[str]) -> Iterator[Asked]:
    match node:
        case promql.VectorSelector():
            yield Asked(node.name, wanted | {each.name for each in node.matchers.matchers})
        case promql.MatrixSelector():
            yield from _walk(node.vector_selector, wanted)
        case promql.AggregateExpr():
            # What is outside sees only what is left by then.
            kept = frozenset(node.modifier.labels) if node.modifier else frozenset()
            yield from _walk(node.expr, kept)
        case promql.BinaryExpr():
            yield from _walk(node.lhs, wanted)
            yield from _walk(node.rhs, wanted)
        case promql.Call():
            for argument in node.args:
                yield from _walk(argument, wanted)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _walk(node.expr, wanted)
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case _:
            raise NotImplementedError(type(node).__name__)


def left_labels(expression: str) -> frozenset[str] | None:
    """The labels that a result has for certain; None: whatever its series have."""
    return _left(promql.parse(expression))


def _left(node: Any) -> frozenset[str] | None:
    match node:
        case promql.AggregateExpr():
            return frozenset(node.modifier.labels) if node.modifier else frozenset()
        case promql.BinaryExpr():
            sides = [
                _left(each) for each in (node.lhs, node.rhs) if not isinstance(each, promql.NumberLiteral)
            ]
            known = [each for each in sides if each is not None]
            return known[0] if known else None
        case promql.Call() if node.func.name == "histogram_quantile":
            inner = _left(node.args[1])
            return None if inner is None else inner - {"le"}
        case promql.Call() if node.args:
            return _left(node.args[0])
        case promql.ParenExpr() | promql.UnaryExpr():
            return _left(node.expr)
        case _:
            return None
