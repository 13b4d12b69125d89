"""Every query of the rules and dashboards uses existing metrics and labels."""

import json
import re
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from tests.monitoring.promql import Reference, references, result_labels
from tests.monitoring.rules import MONITORING, rules
from tests.support.declared_metrics import declared_series

TARGET = {"service", "instance", "job", "pod", "container", "namespace"}
"""Labels that the scrape configuration adds to every series."""
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))


def available() -> dict[str, frozenset[str]]:
    """Return every series that can be queried, with its labels."""
    registry = CollectorRegistry()
    own = ProcessCollector(registry=registry).collect()
    return {
        **{series.name: series.labels | TARGET for series in declared_series()},
        **{sample.name: frozenset(TARGET) for family in own for sample in family.samples},
        **{
            rule["record"]: result_labels(rule["expr"]) or frozenset() for rule in rules() if "record" in rule
        },
        "up": frozenset(TARGET),
    }


def missing(expression: str) -> list[str]:
    """Return the series or labels that `expression` uses and that do not exist."""
    existing = available()
    return [
        f"{each.name} {sorted(each.labels - existing.get(each.name, frozenset()))}"
        for each in references(expression.replace("$__rate_interval", "5m"))
        if each.labels - existing.get(each.name, frozenset()) or each.name not in existing
    ]


def targets() -> Iterator[tuple[str, str, str]]:
    """Return place, query and legend of every query on a dashboard."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"], target["legendFormat"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_uses_existing_series(rule):
    assert missing(rule["expr"]) == []


@pytest.mark.parametrize(("place", "expression", "legend"), list(targets()))
def test_dashboard_uses_existing_series(place: str, expression: str, legend: str):
    assert missing(expression) == []
    labels = result_labels(expression.replace("$__rate_interval", "5m"))
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    if labels is None:
        names = {each.name for each in references(expression.replace("$__rate_interval", "5m"))}
        labels = frozenset().union(*(available()[name] for name in names))
    assert shown <= labels, place


@pytest.mark.parametrize(
    "expression",
    [
        "saga_overdew > 1",
        "rate(saga_transactions_conflicts[5m])",
        "sum by (orderid) (rate(saga_transactions_conflicts_total[5m]))",
        'saga_subscription_active{subscribtion="a"}',
        "histogram_quantile(0.9, sum by (le) (rate(saga_transaction_duration_seconds_count[5m])))",
        "saga_order_duration_bucket",
    ],
)
def test_query_of_missing_series_is_found(expression: str):
    assert missing(expression)


def test_references_are_found_anywhere_in_an_expression():
    found = references(
        'max(a{x="1"}) / (sum by (y) (rate(b{z=~".+"}[5m] offset 1m)) or vector(0)) > -c unless d'
    )

    assert found == {
        Reference("a", frozenset({"x"})),
        Reference("b", frozenset({"y", "z"})),
        Reference("c", frozenset()),
        Reference("d", frozenset()),
    }


def test_every_declared_metric_is_on_a_dashboard():
    on_dashboards = {
        each.name for _, query, _ in targets() for each in references(query.replace("$__rate_interval", "5m"))
    }
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in on_dashboards}

    declared = {re.sub(r"_(bucket|sum|count|total)$", "", series.name) for series in declared_series()}
    assert declared <= families


def test_dashboards_have_unique_ids_and_panels_do_not_overlap():
    boards = [json.loads(file.read_text()) for file in DASHBOARDS]

    assert len({board["uid"] for board in boards}) == len(boards) == 3
    for board in boards:
        cells = [
            (x, y)
            for panel in board["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
