"""Every alarm goes off when it is to, and not when it is not; each says what to do."""

import json
import re
from collections.abc import Mapping

import pytest
import yaml

from tests.monitoring import rules
from tests.monitoring.cases import CASES, Case
from tests.support.manifests import ROOT, rendered

SEVERITIES = {"page", "ticket"}


def expected(case: Case) -> dict[str, object]:
    rule = rules.alerts()[case.alert]
    labels = {**rule["labels"], **case.labels}
    annotations = {name: shown(text, labels) for name, text in rule["annotations"].items()}
    return {"exp_labels": labels, "exp_annotations": annotations}


def shown(text: str, labels: Mapping[str, str]) -> str:
    """As Prometheus fills in labels; KeyError where it would leave a gap."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_goes_off_when_it_is_to(case: Case, tmp_path):
    alarms = [] if case.labels is None else [expected(case)]
    test = {
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"alertname": case.alert, "eval_time": case.at, "exp_alerts": alarms}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(rules.FILE)], "tests": [test]}))

    rules.promtool("test", "rules", str(file))


def test_every_alarm_was_seen_to_go_off_and_to_be_silent():
    loud = {case.alert for case in CASES if case.labels is not None}
    silent = {case.alert for case in CASES if case.labels is None}

    assert loud == silent == rules.alerts().keys()


def test_a_rule_that_never_goes_off_would_be_found(tmp_path, monkeypatch):
    broken = tmp_path / "rules.yaml"
    broken.write_text(
        rules.FILE.read_text().replace("(saga_outbox_oldest_age_seconds) > 60", "(vector(0)) > 60")
    )
    monkeypatch.setattr(rules, "FILE", broken)
    case = next(case for case in CASES if case.alert == "OutboxOld" and case.labels is not None)

    with pytest.raises(AssertionError):
        test_it_goes_off_when_it_is_to(case, tmp_path)


def test_prometheus_understands_the_rules():
    rules.promtool("check", "rules", str(rules.FILE))


def test_a_missing_promtool_is_said_and_not_passed_over(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(pytest.fail.Exception, match="promtool is missing"):
        rules.promtool("--version")


@pytest.mark.parametrize("rule", rules.alerts().values(), ids=lambda rule: rule["alert"])
def test_every_alarm_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in SEVERITIES
    assert len(rule["annotations"]["summary"]) > 20
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor
    assert (ROOT / file).is_file()


def test_google_is_given_the_same_rules():
    (document,) = rendered("gke").of("Rules")

    assert document["spec"]["groups"] == yaml.safe_load(rules.FILE.read_text())["groups"]
