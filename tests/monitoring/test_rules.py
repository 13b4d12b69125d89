"""Every alarm fires when it should and only then; tests/unit/test_runbook.py has its severity and link."""

import json
import re
from collections.abc import Mapping

import pytest
import yaml

from tests.monitoring import rules
from tests.monitoring.cases import CASES, Case
from tests.support.manifests import rendered


def expected(case: Case) -> dict[str, object]:
    rule = rules.alerts()[case.alert]
    labels = {**rule["labels"], **case.labels}
    annotations = {name: shown(text, labels) for name, text in rule["annotations"].items()}
    return {"exp_labels": labels, "exp_annotations": annotations}


def shown(text: str, labels: Mapping[str, str]) -> str:
    """Fill labels into `text` as Prometheus does. Raises KeyError if a label is missing."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alarm_fires_as_expected(case: Case, tmp_path):
    alarms = [] if case.labels is None else [expected(case)]
    test = {
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"alertname": case.alert, "eval_time": case.at, "exp_alerts": alarms}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(rules.FILE)], "tests": [test]}))

    rules.promtool("test", "rules", str(file))


def test_every_alarm_has_a_firing_and_a_silent_case():
    firing = {case.alert for case in CASES if case.labels is not None}
    silent = {case.alert for case in CASES if case.labels is None}

    assert firing == silent == rules.alerts().keys()


def test_rule_that_never_fires_is_found(tmp_path, monkeypatch):
    broken = tmp_path / "rules.yaml"
    broken.write_text(
        rules.FILE.read_text().replace("(saga_outbox_oldest_age_seconds) > 60", "(vector(0)) > 60")
    )
    monkeypatch.setattr(rules, "FILE", broken)
    case = next(case for case in CASES if case.alert == "OutboxNotPublished" and case.labels is not None)

    with pytest.raises(AssertionError):
        test_alarm_fires_as_expected(case, tmp_path)


def test_promtool_accepts_the_rules():
    rules.promtool("check", "rules", str(rules.FILE))


def test_promtool_accepts_the_configuration_of_prometheus():
    rules.promtool("check", "config", str(rules.MONITORING / "prometheus.yaml"))


def test_missing_promtool_fails_the_test(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(pytest.fail.Exception, match="promtool is missing"):
        rules.promtool("--version")


def test_gke_overlay_has_the_same_rules():
    (document,) = rendered("gke").of("Rules")

    assert document["spec"]["groups"] == yaml.safe_load(rules.FILE.read_text())["groups"]
