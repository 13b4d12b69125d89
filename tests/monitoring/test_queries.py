"""Every query of the rules and the dashboards asks for what there is, with labels that it has."""

import json
import re
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from tests.monitoring.promql import Asked, asked, left_labels
from tests.monitoring.rules import MONITORING, alerts, rules
from tests.support.metrics import declared_series

TARGET = {"service", "instance", "job", "pod", "container", "namespace"}
"""What whoever scrapes adds, to everything."""
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))


def serve_metrics() -> dict[str, frozenset[str]]:
    """What can be asked for, with the labels it has."""
    registry = CollectorRegistry()
    own = ProcessCollector(registry=registry).collect()
    return {
        **{series.name: series.labels | TARGET for series in declared_series()},
        **{sample.name: frozenset(TARGET) for family in own for sample in family.samples},
        **{rule["record"]: left_labels(rule["expr"]) or frozenset() for rule in rules() if "record" in rule},
        "up": frozenset(TARGET),
    }


def amiss(expression: str) -> list[str]:
    """What an expression asks for that there is not."""
    there = serve_metrics()
    return [
        f"{each.name} {sorted(each.labels - there.get(each.name, frozenset()))}"
        for each in asked(expression.replace("$__rate_interval", "5m"))
        if each.labels - there.get(each.name, frozenset()) or each.name not in there
    ]


def targets() -> Iterator[tuple[str, str, str]]:
    """Of every query of a dashboard: where it is, the query, and what its lines are called."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"], target["legendFormat"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_there_is(rule):
    assert amiss(rule["expr"]) == []


@pytest.mark.parametrize(("place", "expression", "legend"), list(targets()))
def test_a_dashboard_asks_for_what_there_is(place: str, expression: str, legend: str):
    assert amiss(expression) == []
    left = left_labels(expression.replace("$__rate_interval", "5m"))
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    if left is None:
        names = {each.name for each in asked(expression.replace("$__rate_interval", "5m"))}
        left = frozenset().union(*(serve_metrics()[name] for name in names))
    assert shown <= left, place


@pytest.mark.parametrize("rule", alerts().values(), ids=lambda rule: rule["alert"])
def test_an_alarm_shows_labels_that_are_left(rule):
    shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))

    assert shown <= (left_labels(rule["expr"]) or TARGET)


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
def test_a_query_for_what_there_is_not_would_be_found(expression: str):
    assert amiss(expression)


def test_what_a_query_asks_for_is_seen_wherever_it_stands():
    found = asked('max(a{x="1"}) / (sum by (y) (rate(b{z=~".+"}[5m] offset 1m)) or vector(0)) > -c unless d')

    assert found == {
        Asked("a", frozenset({"x"})),
        Asked("b", frozenset({"y", "z"})),
        Asked("c", frozenset()),
        Asked("d", frozenset()),
    }


def test_every_metric_that_is_declared_is_on_a_dashboard():
    on_dashboards = {
        each.name for _, query, _ in targets() for each in asked(query.replace("$__rate_interval", "5m"))
    }
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in on_dashboards}

    declared = {re.sub(r"_(bucket|sum|count|total)$", "", series.name) for series in declared_series()}
    assert declared <= families


def test_dashboards_are_told_apart_and_their_panels_do_not_overlap():
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
