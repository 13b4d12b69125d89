"""The series and labels that a PromQL expression uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql


@dataclass(frozen=True, slots=True)
class Reference:
    """A series name, with every label that one use of it matches, groups by or shows."""

    name: str
    labels: frozenset[str]


def references(expression: str) -> set[Reference]:
    """Return what `expression` refers to. Raises ValueError if it is not PromQL."""
    return set(_walk(promql.parse(expression), frozenset()))


def _walk(node: Any, wanted: frozenset[str]) -> Iterator[Reference]:
    match node:
        case promql.VectorSelector():
            yield Reference(node.name, wanted | {each.name for each in node.matchers.matchers})
        case promql.MatrixSelector():
            yield from _walk(node.vector_selector, wanted)
        case promql.AggregateExpr():
            # Outer expressions see only the labels that the aggregation keeps.
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


def result_labels(expression: str) -> frozenset[str] | None:
    """Return the labels that a result certainly has; None: all labels of its series."""
    return _labels(promql.parse(expression))


def _labels(node: Any) -> frozenset[str] | None:
    match node:
        case promql.AggregateExpr():
            return frozenset(node.modifier.labels) if node.modifier else frozenset()
        case promql.BinaryExpr():
            sides = [
                _labels(each) for each in (node.lhs, node.rhs) if not isinstance(each, promql.NumberLiteral)
            ]
            known = [each for each in sides if each is not None]
            return known[0] if known else None
        case promql.Call() if node.func.name == "histogram_quantile":
            inner = _labels(node.args[1])
            return None if inner is None else inner - {"le"}
        case promql.Call() if node.args:
            return _labels(node.args[0])
        case promql.ParenExpr() | promql.UnaryExpr():
            return _labels(node.expr)
        case _:
            return None
